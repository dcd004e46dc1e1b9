"""docs/journal.md shows what the command shows."""

from journal_page import PAGE, rendered


def test_the_outputs_on_the_page_are_fresh() -> None:
    page = PAGE.read_text()
    assert page == rendered(page), "run: python tests/cli/journal_page.py"
    assert page.count("<!-- output:") == page.count("\n$ rdscsi journal")
