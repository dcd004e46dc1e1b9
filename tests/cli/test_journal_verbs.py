"""The verbs that ask for something, follow, or are about the whole file: what they say, leave behind, and end with."""

import io
import json
import sqlite3
from pathlib import Path

import pytest
import trio
from journal_sample import BARE, STAGE, opened
from trio.testing import MockClock
from verb_rig import VOLUME, Command, command, end, fill, record, world

from rdscsi.errors import NotFinal
from rdscsi.journal import changes, open_journal
from rdscsi.journal.reading import read_journal
from rdscsi.testing.orchestrator import attach, wish
from rdscsi.testing.world import World

__all__ = ["command", "world"]  # fixtures


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

    async def test_what_nobody_claims_is_shown_explained_and_deleted_when_a_person_says_so(
        self, world: World, command: Command, autojump_clock: MockClock
    ) -> None:
        async with world.process() as process:
            command.path = world.journal_path
            world.faults.add("drop-after", contains="/disk/add", times=1)
            with pytest.raises(NotFinal):
                await process.controller.create_volume(wish("pvc-1"))
            await trio.sleep(world.options.abandon_after + 120)
            document = json.loads(command.run("journal", "list", "--output", "json", status=3))
            [unclaimed] = document["unclaimed"]
            assert "claim-evidence=none" in unclaimed["why"]
            volume_id = unclaimed["volume_id"]
            assert "claim-evidence=none" in command.run("journal", "list", status=3)
            text = command.run("journal", "explain", volume_id, "--offline", status=3)
            assert f"{volume_id}: claimed by nobody" in text
            assert f"rdscsi journal abandon {volume_id}" in text
            assert "is deleted" in command.run("journal", "abandon", volume_id, "--yes", "--wait", "0", status=3)
            await trio.sleep(2 * world.options.refresh_every)
            assert (await process.controller.list_volumes(0, "")).volumes == ()
            command.run("journal", "list", status=0)

    async def test_what_was_published_since_is_claimed(
        self, world: World, command: Command, autojump_clock: MockClock
    ) -> None:
        async with world.process() as process:
            command.path = world.journal_path
            world.faults.add("drop-after", contains="/disk/add", times=1)
            with pytest.raises(NotFinal):
                await process.controller.create_volume(wish("pvc-1"))
            await trio.sleep(world.options.abandon_after + 120)
            [volume] = (await process.controller.list_volumes(0, "")).volumes
            await process.controller.publish_volume(attach(volume))
            await process.controller.unpublish_volume(volume.volume_id, "")
            command.run("journal", "list", status=0)
            command.run("journal", "abandon", volume.volume_id, "--yes", status=1)
            assert "nothing is open" in command.err


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
