"""How figures are shown to people: durations, sizes, and what is on a terminal only."""

import sys
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdscsi.cli import journal_view
from rdscsi.cli.journal_view import View, print_tables
from rdscsi.journal.reading import Situation

SITUATION = Situation(Path("/j"), "aaaaaaaaaaaaa", "0001", None, False, "", True)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-5, "0s"),
        (0, "0s"),
        (59.9, "59s"),
        (60, "1m00s"),
        (187, "3m07s"),
        (7500, "2h05m"),
        (86_400 * 4 + 3 * 3600, "4d03h"),
    ],
)
def test_durations_have_a_persons_precision(seconds: float, shown: str) -> None:
    assert journal_view._duration(seconds) == shown


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0"), (1, "1"), (1 << 20, "1Mi"), (1 << 30, "1Gi"), (3 << 40, "3Ti"), (10_000_000_512, "10000000512")],
)
def test_sizes_are_exact(count: int, shown: str) -> None:
    assert journal_view._size(count) == shown


@given(st.integers(0, 1 << 62))
def test_no_two_sizes_look_the_same(count: int) -> None:
    shown = journal_view._size(count)
    units = {"Ti": 1 << 40, "Gi": 1 << 30, "Mi": 1 << 20}
    factor = units.get(shown[-2:], 1)
    assert int(shown.removesuffix("Ti").removesuffix("Gi").removesuffix("Mi")) * factor == count


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("stream", "coloured"), [(Terminal, True), (StringIO, False)])
def test_colours_are_for_terminals(stream: type[StringIO], coloured: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    printed = stream()
    monkeypatch.setattr(sys, "stdout", printed)
    row = {"volume_id": "v", "csi_name": "n", "capacity_bytes": 1, "state": "ready", "ever_published": False}
    print_tables(View(SITUATION, 10.0, {"volumes": [row | {"updated_at": 5.0, "quarantine": None}]}))
    assert ("\x1b[" in printed.getvalue()) is coloured
    assert "5s ago" in printed.getvalue()


def test_a_journal_that_never_started_has_no_last_start(capsys: pytest.CaptureFixture[str]) -> None:
    print_tables(View(SITUATION, 10.0))
    assert capsys.readouterr().out.strip() == "journal /j (aaaaaaaaaaaaa): no driver uses it"
