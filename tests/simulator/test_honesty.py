"""The honesty tables: fresh in the docs, complete, and each statement pinned by tests that exist."""

import ast
import itertools
import re
from dataclasses import fields
from pathlib import Path

import pytest

from rdscsi.simulator import texts
from rdscsi.simulator.behaviours import FACTS, GROUPS
from rdscsi.simulator.honesty import counts, render
from rdscsi.simulator.options import Behaviour
from rdscsi.simulator.texts import Mark

ROOT = Path(__file__).resolve().parents[2]


def _test_names() -> set[str]:
    found: set[str] = set()
    for path in (ROOT / "tests/simulator").rglob("test_*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name[:4] == "test"}
        found |= {
            target.id
            for node in tree.body
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        }
    return found


def test_the_document_is_fresh() -> None:
    written = (ROOT / "docs/simulator-honesty.md").read_text(encoding="utf-8")
    assert written == render(), "run: python -m rdscsi.simulator.honesty > docs/simulator-honesty.md"


def test_every_named_test_is_there() -> None:
    named = set(itertools.chain.from_iterable(fact.tests for fact in FACTS))
    assert named - _test_names() == set()


def test_every_group_has_statements_and_every_statement_has_tests() -> None:
    assert {fact.group for fact in FACTS} == set(range(1, len(GROUPS) + 1)) == set(range(1, 15))
    assert all(fact.tests for fact in FACTS)


def test_every_switch_is_listed_once() -> None:
    listed = [fact.switch for fact in FACTS if fact.switch]
    assert len(listed) == len(set(listed))
    assert set(listed) == {field.name for field in fields(Behaviour)}


def test_no_text_is_spelled_twice_and_each_is_counted() -> None:
    templates = [text.template for text in texts.table().values()]
    assert len(templates) == len(set(templates))
    assert sum(counts()["texts"].values()) == len(templates)
    assert sum(counts()["behaviours"].values()) == len(FACTS)


@pytest.mark.parametrize("what", ["behaviours", "texts"])
def test_guesses_are_admitted(what: str) -> None:
    assert counts()[what][Mark.GUESS] > 0


def test_error_texts_are_spelled_in_one_file_only() -> None:
    for path in (ROOT / "rdscsi/simulator").rglob("*.py"):
        if path.name not in ("texts.py", "behaviours.py", "fault_command.py"):
            assert not re.search(r"""["'](failure: |no such |input does not)""", path.read_text(encoding="utf-8")), path
