"""docs/settings.md says what the code says, and every default passes the check of its own setting."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from rdscsi.config.definition import Definition, definitions
from rdscsi.config.reference import render
from rdscsi.config.settings import SECTIONS

ALL = [definition for section in SECTIONS.values() for definition in definitions(section)]
PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


def test_the_page_is_fresh() -> None:
    assert PAGE.read_text() == render(), "run: python -m rdscsi.config.reference > docs/settings.md"


def test_names_are_unique_over_all_sections() -> None:
    assert len({definition.name for definition in ALL}) == len(ALL)


@pytest.mark.parametrize("definition", ALL, ids=lambda definition: definition.name)
def test_a_default_passes_its_own_check(definition: Definition) -> None:
    text = definition.default_text
    if text is not None:
        definition.kind.parse(text)


@pytest.mark.parametrize("definition", ALL, ids=lambda definition: definition.name)
def test_no_name_collides_with_what_kubernetes_makes_of_a_service(definition: Definition) -> None:
    assert not re.match(r"RDSCSI_(PORT$|PORT_|SERVICE_)", definition.environment)


def test_the_page_is_written_by_the_module_itself() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "rdscsi.config.reference"], capture_output=True, text=True, check=True
    )
    assert ended.stdout == render()


def test_a_default_is_shown_as_it_is_written_or_as_it_is_found() -> None:
    shown = {definition.name: definition.default_shown for definition in ALL}
    assert (shown["journal"], shown["node-name"]) == ("/var/lib/rdscsi/journal.db", "the host name")
    assert (shown["cluster-id"], shown["base-path"]) == ("", "")
