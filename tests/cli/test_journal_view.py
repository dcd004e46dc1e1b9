"""How figures are shown to people: durations, sizes, and what is on a terminal only."""

import sys
from dataclasses import fields
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdscsi.cli import figures
from rdscsi.cli.journal_view import NEEDS_A_LOOK, View, print_tables
from rdscsi.controller.options import ControllerOptions
from rdscsi.journal.reading import Situation
from rdscsi.node.recovery import ROUND_SECONDS

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
    assert figures.duration(seconds) == shown


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0"), (1, "1"), (1 << 20, "1Mi"), (1 << 30, "1Gi"), (3 << 40, "3Ti"), (10_000_000_512, "10000000512")],
)
def test_sizes_are_exact(count: int, shown: str) -> None:
    assert figures.size(count) == shown


@given(st.integers(0, 1 << 62))
def test_no_two_sizes_look_the_same(count: int) -> None:
    shown = figures.size(count)
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
    print_tables(View(SITUATION, 10.0, tables={"volumes": [row | {"updated_at": 5.0, "quarantine": None}]}))
    assert ("\x1b[" in printed.getvalue()) is coloured
    assert "5s ago" in printed.getvalue()


OPERATION = {
    "id": "aaaaaaaaaaaaa",
    "kind": "delete",
    "subject": "rds/v-" + "x" * 30,
    "state": "open",
    "opened_at": 0.0,
    "closed_at": None,
    "attempts": 7,
    "incarnation": 1,
    "outcome": "",
    "error": "DeviceUnavailable: " + "away " * 40,
    "request": {},
    "csi_name": "",
    "last_step": {"name": "remove", "detail": "v", "at": 1.0},
    "next": "waits for the orchestrator",
    "steps": [{"at": float(number), "name": f"step {number}", "detail": ""} for number in range(40)],
}


def test_a_terminal_shows_a_line_and_below_it_what_matters(capsys: pytest.CaptureFixture[str]) -> None:
    done = OPERATION | {"state": "done", "kind": "create", "error": "", "id": "bbbbbbbbbbbbb"}
    print_tables(View(SITUATION, 10.0, tables={"operations": [OPERATION, done]}), width=80)
    _, head, line, step, error, following, last = capsys.readouterr().out.splitlines()
    assert head.split() == ["id", "kind", "subject", "state", "age", "attempts"]
    assert line.split() == ["aaaaaaaaaaaaa", "delete", OPERATION["subject"], "open", "10s", "7"]
    assert step == "    last step   remove v"
    assert error.startswith("    last error  DeviceUnavailable: away")
    assert following == "    next        waits for the orchestrator"
    assert last.split()[0] == "bbbbbbbbbbbbb"
    assert [word for word in ("id", "kind", "state") if head.index(word) != line.index(str(OPERATION[word]))] == []


def test_whoever_greps_gets_one_line_for_each_operation(capsys: pytest.CaptureFixture[str]) -> None:
    print_tables(View(SITUATION, 10.0, tables={"operations": [OPERATION]}))
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "aaaaaaaaaaaaa   delete" in line]
    assert "waits for the orchestrator" in line


def test_a_long_trail_is_shortened_in_its_middle(capsys: pytest.CaptureFixture[str]) -> None:
    print_tables(View(SITUATION, 10.0, tables={"operations": [OPERATION]}, details=True))
    shown = capsys.readouterr().out
    assert "step 5 " in shown
    assert "step 6 " not in shown
    assert "… 25 steps more" in shown
    assert "step 30 " not in shown
    assert "step 31 " in shown
    assert "step 39 " in shown


def test_a_journal_that_never_started_has_no_last_start(capsys: pytest.CaptureFixture[str]) -> None:
    print_tables(View(SITUATION, 10.0))
    assert capsys.readouterr().out.strip() == "journal /j (aaaaaaaaaaaaa): no driver uses it"


def test_on_a_narrow_terminal_what_needs_a_look_is_said_in_whole_lines(capsys: pytest.CaptureFixture[str]) -> None:
    why = "odd, " * 40 + "odd"
    kept = {"volume_id": "rds/v-1", "csi_name": "pvc-1", "state": "ready", "updated_at": 5.0, "quarantine": why}
    view = View(SITUATION, 10.0, tables={"quarantined": [kept]}, status=NEEDS_A_LOOK, hint="type this next")
    print_tables(view, width=80)
    _, head, line, reason, hint = capsys.readouterr().out.splitlines()
    assert head.split() == ["volume", "id", "csi", "name", "state", "updated"]
    assert line.split() == ["rds/v-1", "pvc-1", "ready", "5s", "ago"]
    assert reason == f"    quarantine  {why}"
    assert hint == "type this next"


def test_whoever_greps_gets_no_hint_and_the_name_on_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    named = OPERATION | {"csi_name": "pvc-1"}
    print_tables(View(SITUATION, 10.0, tables={"operations": [named]}, status=NEEDS_A_LOOK, hint="type this next"))
    shown = capsys.readouterr().out
    assert "type this next" not in shown
    assert "pvc-1" in next(line for line in shown.splitlines() if "aaaaaaaaaaaaa   delete" in line)


def test_rounds_are_as_far_apart_as_people_are_told() -> None:
    assert _default("retry_every") == 5.0
    assert _default("refresh_every") == ROUND_SECONDS == 60.0


def _default(name: str) -> object:
    return next(one.default for one in fields(ControllerOptions) if one.name == name)
