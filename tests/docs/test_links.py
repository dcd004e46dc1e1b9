"""Every relative link in the README and in docs/ leads to a file of the repository."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")))
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)


def broken(page: Path) -> list[str]:
    targets = LINK.findall(CODE.sub("", page.read_text()))
    files = (target.partition("#")[0] for target in targets if not re.match(r"[a-z]+:", target))
    return [file for file in files if file and not (page.parent / file).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    assert broken(page) == []


def test_a_broken_link_is_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("[here](page.md#top) [there](gone.md) `[no](link)` [far](https://example.org)\n")
    assert broken(page) == ["gone.md"]
