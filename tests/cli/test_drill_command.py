"""`rdscsi drill` as a person and as a script see it."""

import json
from pathlib import Path

import pytest

from rdscsi.cli.main import main
from rdscsi.drill import running
from rdscsi.drill.drills import DRILLS
from rdscsi.drill.rehearsal import Case
from rdscsi.drill.results import Rehearsal


def test_list_names_every_drill(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["drill", "list"]) == 0
    told = capsys.readouterr().out
    assert all(name in told for name in DRILLS)
    assert main(["drill", "list", "--output", "json"]) == 0
    assert [one["name"] for one in json.loads(capsys.readouterr().out)] == list(DRILLS)


def test_a_run_tells_verdict_before_and_after(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["drill", "run", "slot-taken"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("passed slot-taken: a stranger's disk sits in the slot (3 cases, ")
    assert all(when in told for when in ("before", "after the strike", "after recovery"))
    assert told.endswith("1 of 1 drills passed, 3 cases\n")


def test_a_failed_drill_ends_with_1_and_says_what_is_wrong(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fails(case: Case) -> Rehearsal:
        return Rehearsal(case.name, wrong=["the disk is [bold]gone[/bold]"])

    monkeypatch.setattr(running, "rehearse", fails)
    report = tmp_path / "drills.html"
    assert main(["drill", "run", "slot-taken", "--report", str(report)]) == 1
    told = capsys.readouterr().out
    assert told.startswith("FAILED slot-taken")
    assert told.count("wrong: the disk is [bold]gone[/bold]") == 3
    assert "FAILED" in report.read_text()
    assert main(["drill", "run", "slot-taken", "--output", "json"]) == 1
    assert json.loads(capsys.readouterr().out)["passed"] is False


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "name drills, or say --all"),
        (["nope"], "no such drill: nope; they are create-killed, "),
        (["slot-taken", "--all"], "name drills, or say --all"),
        (["slot-taken", "--report", "/nowhere/at/all.html"], "/nowhere/at is not a directory"),
    ],
)
def test_a_wrong_command_line_ends_with_2_before_anything_runs(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["drill", "run", *arguments]) == 2
    assert told in capsys.readouterr().err
