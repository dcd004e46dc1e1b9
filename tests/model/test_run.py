"""The runner of docs/model: its cases fit its models, and no output of SPIN but a finished search passes for one."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

RUNNER = Path(__file__).resolve().parents[2] / "docs" / "model" / "run.py"


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_model_run", RUNNER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


run = _load()
CASES = run.load_cases((RUNNER.parent / "cases.toml").read_text())

FINISHED = """
State-vector 100 byte, depth reached 419, errors: 0
  1234 states, stored
  300.5	total actual memory usage
"""


def test_every_case_fits_its_model_and_every_ingredient_is_dropped_by_one() -> None:
    assert run.mistakes(CASES) == []


def test_a_case_with_an_unknown_switch_and_an_ingredient_that_nobody_drops_are_told() -> None:
    [first, *_] = CASES
    odd = run.Case("odd", first.model, {"NO_SUCH_SWITCH": 1}, (), (), run.HOLDS, False, 0, "")
    wrong = run.mistakes([odd])
    assert "odd: token has no switch NO_SUCH_SWITCH" in wrong
    assert "token: no case drops TOKEN" in wrong


@pytest.mark.parametrize("model", ["token", "volume", "publication"])
def test_a_model_is_shown_to_hold_and_shown_to_break(model: str) -> None:
    verdicts = {case.expect for case in CASES if case.model == model and not case.large}
    assert run.HOLDS in verdicts
    assert len(verdicts) > 2


def test_a_finished_search_without_errors_holds() -> None:
    result = run.read_search(FINISHED, 1.5)
    assert (result.verdict, result.states, result.depth, result.mib) == (run.HOLDS, 1234, 419, 300.5)


@pytest.mark.parametrize(
    "output",
    [
        "",
        "error: max search depth too small\n" + FINISHED,
        "pan: reached -DMEMLIM bound\nWarning: Search not completed\n" + FINISHED,
        "Warning: Search not completed\n" + FINISHED,
        FINISHED.replace("errors: 0", "errors: 1"),
        FINISHED.replace("states, stored", "states"),
    ],
)
def test_whatever_is_no_finished_search_does_not_hold(output: str) -> None:
    assert run.read_search(output, 1.0).verdict != run.HOLDS


def test_rows_replace_older_ones_of_their_case_and_keep_the_order_of_the_cases() -> None:
    table = "| case | x |\n|---|---|\n| b | old |\n| gone | old |\n"
    text = f"before\n<!-- results -->\n{table}<!-- end of results -->\nafter\n"
    assert run.with_rows(text, {"a": "| a | new |"}, ["a", "b"]) == text.replace(
        "| b | old |\n| gone | old |", "| a | new |\n| b | old |"
    )


def test_a_name_means_its_own_case_or_else_all_that_begin_with_it() -> None:
    names = [case.name for case in run.chosen(CASES, ["volume, large: two controllers, power"], large=False)]
    assert names == ["volume, large: two controllers, power"]
    assert all(case.name.startswith("token") for case in run.chosen(CASES, ["token"], large=False))
    with pytest.raises(SystemExit):
        run.chosen(CASES, ["no such case"], large=False)
