"""`rdscsi journal`: each view, as table and as JSON, of journals in every state; exit statuses; no secret is shown."""

import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import trio
from journal_sample import BARE, STAGE, TARGET, TOMBSTONE, VOLUME, names_in

from rdscsi.cli.main import main
from rdscsi.errors import DeviceUnavailable, OutOfSpace
from rdscsi.journal import changes, open_journal, schema

ODD = "odd \x1b[31m\n name"


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """A journal whose driver has ended, with something of everything in it."""
    path = tmp_path / "journal.db"

    async def fill() -> None:
        async with open_journal(path, precautions=BARE) as opened:
            await opened.commit(
                changes.put_volume(VOLUME),
                changes.put_volume(
                    replace(VOLUME, volume_id="rds/vabcdef-9", csi_name=ODD, quarantine="its file is gone")
                ),
                changes.put_stage(STAGE),
                changes.put_target(TARGET),
                changes.put_target(replace(TARGET, target_path="/ro", readonly=True)),
                changes.drop_volume(TOMBSTONE.volume_id, TOMBSTONE),
            )
            async with opened.operation("create", VOLUME.volume_id, {"password": "hush", "size": 1}) as operation:
                await operation.step("add", "disk")
                await operation.finish(outcome="made")
            with pytest.raises(OutOfSpace):
                async with opened.operation("create", "rds/vabcdef-2", {}) as operation:
                    error = OutOfSpace("full")
                    await operation.fail(error)
                    raise error
            with pytest.raises(DeviceUnavailable):
                async with opened.operation("delete", VOLUME.volume_id, {}) as operation:
                    await operation.step("cut")
                    raise DeviceUnavailable("away")

    trio.run(fill)
    return path


class Shown:
    """Runs the command and keeps what it printed."""

    def __init__(self, capsys: pytest.CaptureFixture[str], journal: Path) -> None:
        self._capsys = capsys
        self._journal = journal

    def table(self, *arguments: str, status: int = 0) -> str:
        assert main(["journal", *arguments, "--journal", str(self._journal)]) == status
        return self._capsys.readouterr().out

    def json(self, *arguments: str, status: int = 0) -> Any:
        return json.loads(self.table(*arguments, "--output", "json", status=status))


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str], journal: Path) -> Shown:
    return Shown(capsys, journal)


def test_a_list_shows_what_is_unfinished_and_what_happens_next(shown: Shown, journal: Path) -> None:
    text = shown.table("list", status=3)
    assert f"journal {journal}" in text
    assert "no driver uses it; start 1 at " in text
    (row,) = [line for line in text.splitlines() if "delete" in line]
    for part in (VOLUME.volume_id, "open", "0s", "cut", "DeviceUnavailable: away", "the next start takes it up"):
        assert part in row
    assert "refused" not in text


def test_a_list_of_all_shows_history_too_newest_first(shown: Shown) -> None:
    kinds = [one["kind"] + " " + one["state"] for one in shown.json("list", "--state", "all", status=3)["operations"]]
    assert kinds == ["delete open", "create refused", "create done"]
    assert len(shown.json("list", "--state", "all", "--limit", "1", status=3)["operations"]) == 1


def test_json_has_everything_with_times_as_people_and_machines_read_them(shown: Shown, journal: Path) -> None:
    document = shown.json("list", status=3)
    assert document["journal"]["path"] == str(journal)
    assert document["journal"]["held"] is False
    assert document["journal"]["schema"] == schema.HEAD
    assert document["journal"]["incarnation"]["pid"] == os.getpid()
    (operation,) = document["operations"]
    opened = datetime.fromisoformat(operation["opened_at"])
    assert abs((datetime.now(UTC) - opened).total_seconds()) < 60
    assert operation["closed_at"] is None
    assert [step["name"] for step in operation["steps"]] == ["cut", "error"]
    assert operation["age_seconds"] < 60


def test_all_about_a_volume_is_shown_at_once(shown: Shown) -> None:
    document = shown.json("show", VOLUME.volume_id)
    assert set(document) == {"journal", "volumes", "stages", "targets", "operations"}
    assert [one["kind"] for one in document["operations"]] == ["delete", "create"]
    text = shown.table("show", VOLUME.volume_id)
    for part in ("pvc-1", "1Gi", "ext4", "/var/lib/kubelet/pods/1", "delete", "subject", "request", "add", "disk"):
        assert part in text
    assert "hush" not in text


def test_an_operation_is_found_by_its_id_with_its_volume(shown: Shown) -> None:
    identity = shown.json("list", status=3)["operations"][0]["id"]
    document = shown.json("show", identity)
    assert [one["id"] for one in document["operations"]] == [identity]
    assert document["volumes"][0]["volume_id"] == VOLUME.volume_id


def test_a_volume_that_is_gone_is_found_by_its_tombstone(shown: Shown) -> None:
    document = shown.json("show", TOMBSTONE.volume_id)
    assert set(document) == {"journal", "tombstones"}


@pytest.mark.parametrize("what", ["nobody", "", "%"])
def test_what_nobody_knows_is_told_with_status_1(shown: Shown, what: str) -> None:
    assert "nothing has this id" in shown.table("show", what, status=1)
    assert set(shown.json("show", what, status=1)) == {"journal"}


@pytest.mark.parametrize(
    ("verb", "parts"),
    [
        ("volumes", ["rds/vabcdef-1", "pvc-1", "1Gi", "ready", "yes", "its file is gone"]),
        ("stages", ["rds/vabcdef-1", "staged", "mount", "ext4", "1Gi", "yes", "/var/lib/kubelet/stage"]),
        ("targets", ["/var/lib/kubelet/pods/1", "rds/vabcdef-1", "SINGLE_NODE_WRITER", "no", "/ro", "yes"]),
        ("tombstones", ["rds/vabcdef-0", "bbbbbbbbbbbbb", "7", "ago"]),
    ],
)
def test_each_kind_of_record_has_a_view(shown: Shown, verb: str, parts: list[str]) -> None:
    text = shown.table(verb)
    for part in parts:
        assert part in text
    document = shown.json(verb)
    assert set(document) == {"journal", verb}


def test_a_name_cannot_move_the_cursor_or_begin_a_line(shown: Shown) -> None:
    text = shown.table("volumes")
    assert "odd \\x1b[31m\\n name" in text
    assert "\x1b" not in text


def test_secrets_are_shown_nowhere(shown: Shown) -> None:
    for arguments in (["list", "--state", "all"], ["show", VOLUME.volume_id]):
        assert "hush" not in shown.table(*arguments, status=3 if "list" in arguments else 0)
        assert "hush" not in shown.table(*arguments, "--output", "json", status=3 if "list" in arguments else 0)


def test_an_empty_journal_says_so(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    async def make() -> None:
        async with open_journal(tmp_path / "journal.db", precautions=BARE):
            pass

    trio.run(make)
    shown = Shown(capsys, tmp_path / "journal.db")
    assert "no unfinished operations" in shown.table("list")
    assert "no operations" in shown.table("list", "--state", "all")
    assert "no volumes" in shown.table("volumes")
    assert shown.json("list")["operations"] == []


async def test_a_live_journal_is_shown_without_disturbing_its_driver(
    journal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with open_journal(journal, precautions=BARE) as opened, opened.operation("create", "v/9", {}) as operation:
        before = names_in(journal.parent)
        text = Shown(capsys, journal).table("list", status=3)
        assert "a driver uses it" in text
        assert "its disk was found full: nothing new is begun" in text  # there is no ballast beside this one
        assert "runs now, attempt 1" in text
        assert "left by an earlier start" in text
        assert names_in(journal.parent) == before
        await operation.finish()


def test_a_journal_that_took_the_place_of_a_damaged_one_says_so(
    journal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with journal.open("r+b") as file:
        file.write(b"garbage" * 100)

    async def start() -> None:
        async with open_journal(journal, precautions=BARE):
            pass

    trio.run(start)
    assert "made when a journal was put aside, journal.db.broken-" in Shown(capsys, journal).table("list")


def test_whether_a_driver_runs_may_be_hidden(shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rdscsi.journal.lock.is_held", lambda _path: None)
    assert "whether a driver uses it cannot be seen" in shown.table("list", status=3)


def test_the_journal_is_found_where_the_driver_finds_it(
    journal: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RDSCSI_JOURNAL", str(journal))
    assert main(["journal", "list"]) == 3
    assert str(journal) in capsys.readouterr().out


def test_no_journal_is_a_wrong_setting_and_a_damaged_one_a_failure(
    journal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["journal", "list", "--journal", str(journal.with_name("absent"))]) == 2
    assert "No such file or directory" in capsys.readouterr().err
    with journal.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 3000)
    assert main(["journal", "list", "--journal", str(journal)]) == 1
    assert "malformed" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["explode"], ["list", "--limit", "0"], ["list", "--limit", "x"], ["show"]])
def test_a_wrong_command_line_is_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["journal", *arguments])
    assert ended.value.code == 2
    assert "usage:" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["list", "show", "volumes", "stages", "targets", "tombstones"])
def test_each_view_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["journal", verb, "--help"])
    assert ended.value.code == 0
    assert "RDSCSI_JOURNAL; default: /var/lib/rdscsi/journal.db" in " ".join(capsys.readouterr().out.split())
