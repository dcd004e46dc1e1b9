"""`rdscsi drill` as a person and as a script see it."""

import json
from pathlib import Path

import pytest

from rdscsi.cli.main import main
from rdscsi.drill import running
from rdscsi.drill.drills import DRILLS
from rdscsi.drill.rehearsal import Case
from rdscsi.drill.results import Rehearsal
from rdscsi.drill.stage import Stage


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
    def fails(case: Case, stage: Stage) -> Rehearsal:
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


def _settings(directory: Path) -> Path:
    key = directory / "key"
    key.write_text("")
    path = directory / "staging.toml"
    path.write_text(
        f"""
        endpoint = "unix://{directory}/csi.sock"
        cluster-id = "8c7d6a0e-33a4-4b7e-a1a5-4a0c7b3f9d52"
        journal = "{directory}/journal.db"
        rds-address = "192.0.2.10"
        rds-key-file = "{key}"
        rds-insecure-skip-host-key = true
        pool-slot = "pool1"
        portals = "192.0.2.10"
        """
    )
    return path


def test_an_appliance_is_not_touched_without_a_yes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    questions: list[str] = []

    def says_no(question: str) -> str:
        questions.append(question)
        return "n"

    monkeypatch.setattr("builtins.input", says_no)
    appliance = ["--appliance", str(_settings(tmp_path))]
    assert main(["drill", "run", "reply-lost", "power-loss", *appliance]) == 2
    assert "192.0.2.10, in the pool pool1" in questions[0]
    told = capsys.readouterr().err
    assert "only on the simulated RDS, and left out: power-loss" in told
    assert "nobody agreed; nothing was done" in told
    assert main(["drill", "run", "late-line", *appliance]) == 2
    assert len(questions) == 1


def test_with_a_yes_the_drill_runs_on_that_appliance(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stages: list[Stage] = []

    def goes_well(case: Case, stage: Stage) -> Rehearsal:
        stages.append(stage)
        return Rehearsal(case.name)

    monkeypatch.setattr(running, "rehearse", goes_well)
    path = _settings(tmp_path)
    assert main(["drill", "run", "journal-lost", "--yes", "--appliance", str(path)]) == 0
    assert stages
    assert not any(stage.simulated for stage in stages)
    assert "1 of 1 drills passed" in capsys.readouterr().out
