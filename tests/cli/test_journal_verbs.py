"""The verbs that look closer, or ask for something: what they say, what they leave in the journal, how they end."""

import io
import json
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio
from journal_page import seen, tag, volume_id
from journal_sample import BARE, STAGE, opened
from trio.testing import MockClock

from rdscsi.cli import journal_explain, sight
from rdscsi.cli.main import main
from rdscsi.cli.publication import _rows
from rdscsi.errors import OperationPending
from rdscsi.journal import Journal, Json, VolumeRecord, changes, open_journal
from rdscsi.journal.reading import read_journal
from rdscsi.model import GIB
from rdscsi.tags import render_tag
from rdscsi.testing.orchestrator import attach, wish
from rdscsi.testing.world import World, open_world

VOLUME = volume_id("pvc-1")
BACKING = "aaaaaaaaaaaaa"


def record(**others: Any) -> VolumeRecord:
    slot = VOLUME.partition("/")[2]
    made = VolumeRecord(
        VOLUME, "rds", slot, "pvc-1", BACKING, 10 * GIB, "ready", render_tag(tag("pvc-1", BACKING)), True, "", 1.0
    )
    return replace(made, **others)


async def fill(path: Path, *kinds: str, volume: VolumeRecord | None = None) -> None:
    """Make a journal whose driver has ended, with an operation of each kind left open for the volume."""
    async with open_journal(path, precautions=BARE, inline=True) as journal:
        await journal.commit(changes.put_volume(volume or record()))
        for kind in kinds:
            await _leave(journal, kind)


async def _leave(journal: Journal, kind: str) -> None:
    with pytest.raises(OperationPending):
        async with journal.operation(kind, VOLUME, {"node": "x"}) as operation:
            await operation.step("begun", kind)
            raise RuntimeError("died here")


async def end(path: Path, kind: str, subject: str, request: dict[str, Json]) -> None:
    """Let an operation end well in another start of the driver."""
    async with (
        open_journal(path, precautions=BARE, inline=True) as journal,
        journal.operation(kind, subject, request) as operation,
    ):
        await operation.finish(outcome="gone")


class Command:
    """Runs `rdscsi` on one journal."""

    def __init__(self, capsys: pytest.CaptureFixture[str], path: Path) -> None:
        self._capsys = capsys
        self.path = path

    def run(self, *arguments: str, status: int) -> str:
        ended = main([*arguments, "--journal", str(self.path)])
        captured = self._capsys.readouterr()
        self.err = captured.err
        assert ended == status, captured
        return captured.out


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.delenv("RDSCSI_RDS_ADDRESS", raising=False)
    monkeypatch.delenv("RDSCSI_CONFIG", raising=False)
    return Command(capsys, tmp_path / "journal.db")


@pytest.fixture
async def world(tmp_path: Path, autojump_clock: MockClock) -> AsyncIterator[World]:
    async with open_world(tmp_path / "world") as made:
        yield made


class TestExplain:
    async def test_without_settings_nobody_looks_and_it_says_so(self, command: Command) -> None:
        await fill(command.path, "delete")
        text = command.run("journal", "explain", VOLUME, status=3)
        for part in (
            f"{VOLUME}: delete is open",
            "no driver runs on this journal",
            "RuntimeError: died here",
            "was not looked at: no settings for it are here",
            "begun delete",
            "start the driver",
        ):
            assert part in text
        assert "--offline" in command.run("journal", "explain", VOLUME, "--offline", status=3)
        assert "journal retry" not in text, "nobody could carry it out"

    async def test_json_has_the_records_and_what_helps(self, command: Command) -> None:
        await fill(command.path, "create", volume=record(state="creating"))
        document = json.loads(command.run("journal", "explain", VOLUME, "--output", "json", status=3))
        assert document["state"] == "create is open"
        assert document["operation"]["kind"] == "create"
        assert document["volume"]["capacity_bytes"] == 10 * GIB
        assert {one["about"] for one in document["told"]} >= {"volume", "operation", "driver", "appliance", "next"}

    async def test_what_is_fine_gone_or_unknown_has_a_status_of_its_own(self, command: Command) -> None:
        await fill(command.path)
        assert "as it should be" in command.run("journal", "explain", VOLUME, status=0)
        assert "nothing known" in command.run("journal", "explain", "rds/v-nobody", status=1)
        assert "nothing known" in command.run("journal", "explain", "not an id", status=1)

    async def test_an_operation_is_explained_by_its_id_too(self, command: Command) -> None:
        await fill(command.path, "delete")
        with read_journal(command.path) as reading:
            (operation,) = reading.open_operations()
        assert f"{VOLUME}: delete is open" in command.run("journal", "explain", operation.id, status=3)

    @pytest.mark.parametrize(
        ("comment", "advice"),
        [("mine", '/disk/set [find slot="'), (None, "--accept"), (None, "--restore")],
    )
    async def test_advice_for_a_contradiction_depends_on_what_is_there(
        self, comment: str | None, advice: str, command: Command
    ) -> None:
        await fill(command.path, volume=record(quarantine="contradiction: odd"))
        with read_journal(command.path) as reading:
            look = seen(reading)
            slot = VOLUME.partition("/")[2]
            item = replace(_item(command), comment=comment or record().tag)
            look = replace(look, items={slot: item}, backings={slot: frozenset([BACKING])})
            case = journal_explain.collect(reading, VOLUME, look, now=2.0, abandon_after=600)
            told = journal_explain.explain(case)
        assert case.state == "quarantined"
        assert any(advice in text for text, _ in told.help)

    async def test_two_leaders_are_told(self, world: World, command: Command, autojump_clock: MockClock) -> None:
        async with world.process() as process:
            volume = await process.controller.create_volume(wish("pvc-1"))
            look = await sight.see(process.controller.backend.device)
            with read_journal(world.journal_path) as reading:
                case = journal_explain.collect(reading, volume.volume_id, look, now=2.0, abandon_after=600)
                fine = dict(journal_explain.explain(case).told)["appliance"]
                other = replace(case, situation=replace(case.situation, journal_id="bbbbbbbbbbbbb"))
                led = dict(journal_explain.explain(other).told)["appliance"]
        assert "item ready, generation 2, 64Mi, export off" in fine
        assert fine.endswith("judged: as recorded")
        assert "led by another journal" in led


def _item(command: Command) -> Any:
    with opened(command.path) as connection:
        connection.execute("UPDATE volumes SET quarantine = ''")
    with read_journal(command.path) as reading:
        return next(iter(seen(reading).items.values()))


class TestSight:
    async def test_it_takes_no_token_and_changes_nothing(self, world: World, autojump_clock: MockClock) -> None:
        async with world.process() as process:
            volume = await process.controller.create_volume(wish("pvc-1"))
            mutations = world.appliance.mutations
            look = await sight.see(process.controller.backend.device)
            assert look.seen
            assert world.appliance.mutations == mutations
            slot = volume.volume_id.partition("/")[2]
            assert list(look.items) == [slot]
            assert len(look.backings[slot]) == 1
            assert look.marker is not None
            assert look.marker.journal_id == process.journal.id

    async def test_an_appliance_that_is_away_is_told_not_raised(self, world: World, autojump_clock: MockClock) -> None:
        async with world.process() as process:
            world.faults.add("drop-before")
            look = await sight.see(process.controller.backend.device)
            assert not look.seen
            assert "cannot be looked at" in look.why_not

    async def test_wrong_settings_are_wrong_settings(self, command: Command, tmp_path: Path) -> None:
        await fill(command.path)
        config = tmp_path / "wrong.toml"
        config.write_text('rds-address = "192.0.2.10"\n')
        command.run("journal", "explain", VOLUME, "--config", str(config), status=2)
        assert "cluster-id is required" in command.err


class TestAsking:
    @pytest.mark.parametrize(
        ("verb", "left", "why"),
        [
            (("journal", "retry"), None, "nothing is open"),
            (("journal", "abandon"), None, "nothing is open"),
            (("journal", "abandon"), "delete", "cannot be given up"),
            (("journal", "retry"), "stage", "is a node's"),
            (("journal", "resolve", "--forget"), None, "is not quarantined"),
            (("publication", "revoke"), None, "published to nobody"),
        ],
    )
    async def test_what_makes_no_sense_is_refused_before_anything_is_asked(
        self, verb: tuple[str, ...], left: str | None, why: str, command: Command
    ) -> None:
        await fill(command.path, *([left] if left else []))
        command.run(*verb, VOLUME, "--yes", status=1)
        assert why in command.err
        with read_journal(command.path) as reading:
            assert not [one for one in reading.open_operations() if one.subject.startswith("request/")]

    async def test_without_a_yes_nothing_is_done(self, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
        await fill(command.path, "delete")
        for answer in ("n\n", "", "what?\n"):
            monkeypatch.setattr("sys.stdin", io.StringIO(answer))
            text = command.run("journal", "retry", VOLUME, status=4)
            assert "is tried at once" in text
            assert text.endswith("nothing was done\n")
        with read_journal(command.path) as reading:
            assert [one.kind for one in reading.open_operations()] == ["delete"]

    async def test_without_a_driver_the_wish_waits_for_the_next_start(
        self, command: Command, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await fill(command.path, "delete")
        monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
        text = command.run("journal", "retry", VOLUME, status=3)
        assert "no driver runs on this journal: its next start carries it out" in text
        command.run("journal", "retry", VOLUME, "--yes", status=1)
        assert "was asked for before" in command.err
        listed = json.loads(command.run("journal", "list", "--output", "json", status=3))["operations"]
        assert [one["kind"] for one in listed] == ["delete", "retry"]
        assert listed[1]["request"]["asked_by"].startswith("uid ")

    async def test_a_publication_is_revoked_by_the_driver_that_runs(
        self, world: World, command: Command, autojump_clock: MockClock
    ) -> None:
        async with world.process() as process:
            volume = await process.controller.create_volume(wish("pvc-1"))
            await process.controller.publish_volume(attach(volume))
            command.path = world.journal_path
            arguments = ("publication", "revoke", volume.volume_id, "--yes", "--wait", "0", "--output", "json")
            document = json.loads(command.run(*arguments, status=3))
            assert document["wish"]["state"] == "open"
            assert "1. node-a" in command.err
            await trio.sleep(2 * world.options.refresh_every)
            document = json.loads(command.run("journal", "show", volume.volume_id, "--output", "json", status=0))
            kinds = [(one["kind"], one["state"]) for one in document["operations"]]
            assert ("revoke", "done") in kinds
            assert ("unpublish", "done") in kinds
            command.run("publication", "revoke", volume.volume_id, "--yes", status=1)

    async def test_publications_are_listed_as_journal_and_appliance_have_them(
        self, world: World, command: Command, autojump_clock: MockClock
    ) -> None:
        async with world.process() as process:
            volume = await process.controller.create_volume(wish("pvc-1"))
            await process.controller.publish_volume(attach(volume))
            command.path = world.journal_path
            text = command.run("publication", "list", status=0)
            assert volume.volume_id in text
            assert "the appliance was not looked at" in text
            kept = await process.journal.volume(volume.volume_id)
            assert kept is not None
            slot = kept.slot
            world.appliance.run(f"/disk/set [find where slot={slot}] nvme-tcp-export=no")
            (row,) = _rows(kept, await sight.see(process.controller.backend.device))
            assert (row["journal"], row["appliance"], row["exported_as"]) == ("published", "published", "-")


class TestWatch:
    async def test_the_latest_of_what_is_open_and_then_what_happens(self, command: Command) -> None:
        await fill(command.path, "delete")
        text = command.run("journal", "watch", "--seconds", "0.001", "--interval", "0.01", status=3)
        assert len(text.splitlines()) <= 2
        assert "RuntimeError: died here" in text

    async def test_what_is_named_is_told_from_its_beginning_to_its_end(self, command: Command) -> None:
        await fill(command.path, "delete")
        await end(command.path, "delete", VOLUME, {"node": "x"})
        lines = command.run("journal", "watch", VOLUME, "--output", "json", status=0).splitlines()
        texts = [json.loads(line)["text"] for line in lines]
        assert texts[0] == "asked for"
        assert texts[1] == "begun delete"
        assert texts[-1] == "done: gone"


class TestFiles:
    async def test_a_whole_journal_is_verified(self, command: Command) -> None:
        await fill(command.path)
        assert "the file is whole; the appliance was not looked at" in command.run("journal", "verify", status=0)

    @pytest.mark.parametrize(
        ("change", "told"),
        [
            ({"quarantine": "lost: odd"}, "quarantined: lost: odd"),
            ({"state": "deleting"}, "no delete is open"),
            ({"tag": "nonsense"}, "its tag is not readable"),
            ({"backing": "bbbbbbbbbbbbb"}, "its tag names create"),
        ],
    )
    async def test_what_contradicts_itself_is_told(self, change: dict[str, str], told: str, command: Command) -> None:
        await fill(command.path, volume=record(**change))
        assert told in command.run("journal", "verify", status=3)
        assert told in str(json.loads(command.run("journal", "verify", "--output", "json", status=3)))

    async def test_a_damaged_file_is_told(self, command: Command) -> None:
        await fill(command.path)
        with opened(command.path) as connection:
            connection.execute("PRAGMA writable_schema=ON")
            connection.execute("UPDATE meta SET key = 'x' WHERE key = 'journal.id'")
        assert "damaged: its identity is lost" in command.run("journal", "verify", status=1)

    async def test_an_export_has_everything_but_secrets(self, command: Command) -> None:
        await fill(command.path, "delete")
        await end(command.path, "create", "rds/other", {"password": "hush"})
        text = command.run("journal", "export", status=0)
        document = json.loads(text)
        assert set(document) >= {"journal", "operations", "volumes", "stages", "targets", "tombstones"}
        assert len(document["operations"]) == 2
        assert "hush" not in text

    async def test_a_backup_is_the_journal_and_overwrites_nothing(self, command: Command, tmp_path: Path) -> None:
        await fill(command.path, "delete")
        copy = tmp_path / "copy.db"
        async with open_journal(command.path, precautions=BARE, inline=True) as journal:
            await journal.commit(changes.put_meta("fresh", "yes"))  # in the log, not in the file yet
            assert str(copy) in command.run("journal", "backup", str(copy), status=0)
        assert sqlite3.connect(copy).execute("SELECT value FROM meta WHERE key = 'fresh'").fetchall() == [("yes",)]
        assert copy.stat().st_mode & 0o777 == 0o600
        before = copy.read_bytes()
        command.run("journal", "backup", str(copy), status=2)
        assert copy.read_bytes() == before

    async def test_a_rebuild_puts_the_journal_aside_at_the_next_start(self, command: Command) -> None:
        await fill(command.path, "delete")
        with read_journal(command.path) as reading:
            former = reading.situation.journal_id
        text = command.run("journal", "rebuild", "--yes", status=0)
        assert "learned from the owner tags on the appliance" in text
        assert f"delete of {VOLUME} is open: it is forgotten" in text
        async with open_journal(command.path, precautions=BARE, inline=True) as journal:
            assert journal.fresh
            assert journal.id != former
            assert journal.set_aside is not None
            assert await journal.volumes() == []
            kept = journal.set_aside
        assert kept.name.startswith("journal.db.aside-")
        with read_journal(kept) as reading:
            assert reading.situation.journal_id == former
            assert [one.kind for one in reading.open_operations()] == ["delete"]
        assert "put aside, journal.db.aside-" in command.run("journal", "list", status=0)
        async with open_journal(command.path, precautions=BARE, inline=True) as journal:
            assert not journal.fresh, "a wish is granted once"

    async def test_a_rebuild_that_died_halfway_is_finished(self, command: Command) -> None:
        await fill(command.path)
        command.run("journal", "rebuild", "--yes", status=0)
        command.path.rename(command.path.with_name("journal.db.aside-20260101T000000Z"))  # then the process died
        async with open_journal(command.path, precautions=BARE, inline=True) as journal:
            assert journal.fresh
        assert not command.path.with_name("journal.db.rebuild").exists()

    async def test_a_rebuild_is_not_asked_for_without_a_yes(
        self, command: Command, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await fill(command.path)
        async with open_journal(command.path, precautions=BARE, inline=True) as journal:
            await journal.commit(changes.put_stage(STAGE))
        monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
        assert "learned from mountinfo and sysfs" in command.run("journal", "rebuild", status=4)
        async with open_journal(command.path, precautions=BARE, inline=True) as journal:
            assert not journal.fresh


async def test_while_it_waits_for_the_appliance_the_list_says_so(
    world: World, command: Command, autojump_clock: MockClock
) -> None:
    async with world.process() as process:
        world.faults.add("drop-before")
        await trio.sleep(2 * world.options.refresh_every)
        await process.journal.commit()
        command.path = world.journal_path
        assert "the driver cannot act, since" in command.run("journal", "list", status=0)
        world.faults.clear()
        await trio.sleep(2 * world.options.refresh_every)
        await process.journal.commit()
        assert "cannot act" not in command.run("journal", "list", status=0)
