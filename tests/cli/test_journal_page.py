"""docs/journal.md shows what the command shows, and every verb that there is."""

import argparse
import re

import pytest
from journal_page import PAGE, rendered

from rdscsi.cli import journal, publication


def test_the_outputs_on_the_page_are_fresh() -> None:
    page = PAGE.read_text()
    assert page == rendered(page), "run: python tests/cli/journal_page.py"
    assert page.count("<!-- output:") == page.count("-->\n```text\n$ rdscsi journal")


def test_the_pages_list_of_verbs_is_the_commands() -> None:
    told = re.findall(r"^\| `rdscsi (journal|publication) (\w+)` \|", PAGE.read_text(), re.MULTILINE)
    there = [
        (name, verb) for name, module in (("journal", journal), ("publication", publication)) for verb in _verbs(module)
    ]
    assert told == there


@pytest.mark.parametrize("status", range(5))
def test_each_exit_status_is_on_the_page_and_in_the_help(status: int) -> None:
    assert f"| {status} | " in PAGE.read_text()
    for module in (journal, publication):
        parser = argparse.ArgumentParser()
        module.add_arguments(parser)
        assert re.search(rf"\b{status} \w", (parser.epilog or "").partition("exit status:")[2])


def _verbs(module: object) -> list[str]:
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)  # type: ignore[attr-defined]
    [chosen] = [one.choices for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
    return list(chosen)
