"""The journal's face: records there and back, reads from one moment, opening, closing, and breaking while open."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from journal_sample import BARE, SMALL, STAGE, TARGET, TOMBSTONE, VOLUME, names_in, opened
from trio.testing import MockClock, wait_all_tasks_blocked

from rdscsi import names
from rdscsi.errors import DeviceUnavailable, JournalFailed, SettingsInvalid
from rdscsi.journal import Journal, Retention, changes, open_journal, threads
from rdscsi.journal.journal import random_id

UNSETTLED = replace(
    VOLUME, volume_id="rds/vabcdef-2", state="creating", ever_published=False, quarantine="its file is gone"
)


async def test_records_come_back_as_they_went_in(tmp_path: Path) -> None:
    other_stage = replace(STAGE, volume_id="rds/vabcdef-2", state="staging", formatted=False, access_type="block")
    other_target = replace(TARGET, target_path="/a", volume_id="rds/vabcdef-2", readonly=True)
    later = replace(TOMBSTONE, backing="ccccccccccccc", deleted_at=1.0)
    async with open_journal(tmp_path / "journal.db", precautions=BARE) as journal:
        await journal.commit(
            changes.put_volume(UNSETTLED),
            changes.put_volume(VOLUME),
            changes.put_stage(other_stage),
            changes.put_stage(STAGE),
            changes.put_target(TARGET),
            changes.put_target(other_target),
            changes.drop_volume(TOMBSTONE.volume_id, TOMBSTONE),
            changes.drop_volume(TOMBSTONE.volume_id, later),
        )
    async with open_journal(tmp_path / "journal.db", precautions=BARE) as journal:
        assert await journal.volumes() == [VOLUME, UNSETTLED]
        assert await journal.volume(VOLUME.volume_id) == VOLUME
        assert await journal.volume("rds/other") is None
        assert await journal.stages() == [STAGE, other_stage]
        assert await journal.stage(other_stage.volume_id) == other_stage
        assert await journal.stage("rds/other") is None
        assert await journal.targets() == [other_target, TARGET]
        assert await journal.targets(TARGET.volume_id) == [TARGET]
        assert await journal.targets("rds/other") == []
        assert await journal.tombstones() == [TOMBSTONE, later]


async def test_what_an_inventory_learns_yields_to_what_a_call_has_committed(tmp_path: Path) -> None:
    learned = replace(VOLUME, capacity_bytes=1, csi_name="")
    async with open_journal(tmp_path / "journal.db", precautions=BARE) as journal:
        await journal.commit(changes.add_volume(VOLUME))
        await journal.commit(changes.add_volume(learned))
        assert await journal.volumes() == [VOLUME]
        await journal.commit(changes.amend_volume(learned, replace(learned, quarantine="odd")))
        assert await journal.volumes() == [VOLUME]
        odd = replace(VOLUME, quarantine="odd")
        await journal.commit(changes.amend_volume(VOLUME, odd))
        assert await journal.volumes() == [odd]


async def test_a_note_rides_with_the_next_transaction(tmp_path: Path) -> None:
    async with open_journal(tmp_path / "journal.db", precautions=BARE) as journal:
        journal.note(changes.put_meta("waits", "for nothing"))
        await journal.commit()
        assert await journal.get_meta("waits") == "for nothing"
        assert journal.statistics().commits <= 2
    journal.note(changes.put_meta("waits", "for ever"))  # nobody waits for it, so nobody hears that it was too late


async def test_a_tombstone_alone_drops_no_volume(tmp_path: Path) -> None:
    async with open_journal(tmp_path / "journal.db", precautions=BARE) as journal:
        await journal.commit(changes.put_volume(VOLUME), changes.bury(TOMBSTONE))
        assert await journal.tombstones() == [TOMBSTONE]
        assert await journal.volumes() == [VOLUME]


async def test_a_record_takes_the_place_of_the_former_one(tmp_path: Path) -> None:
    grown = replace(VOLUME, capacity_bytes=2 << 30, tag="", ever_published=False)
    risen = replace(TOMBSTONE, generation=9)
    async with open_journal(tmp_path / "journal.db", precautions=BARE) as journal:
        for record in (VOLUME, grown):
            await journal.commit(changes.put_volume(record))
        for stage in (STAGE, replace(STAGE, state="unstaging")):
            await journal.commit(changes.put_stage(stage))
        for target in (TARGET, replace(TARGET, readonly=True)):
            await journal.commit(changes.put_target(target))
        for stone in (TOMBSTONE, risen):
            await journal.commit(changes.drop_volume(TOMBSTONE.volume_id, stone))
        for value in ("1", "2"):
            await journal.commit(changes.put_meta("key", value))
        assert await journal.volumes() == [grown]
        assert [stage.state for stage in await journal.stages()] == ["unstaging"]
        assert [target.readonly for target in await journal.targets()] == [True]
        assert await journal.tombstones() == [risen]
        assert await journal.get_meta("key") == "2"


async def test_what_is_dropped_is_gone_and_may_be_dropped_twice(tmp_path: Path) -> None:
    async with open_journal(tmp_path / "journal.db", precautions=BARE) as journal:
        await journal.commit(changes.put_volume(VOLUME), changes.put_stage(STAGE), changes.put_target(TARGET))
        for _ in range(2):
            await journal.commit(
                changes.drop_volume(VOLUME.volume_id, None),
                changes.drop_stage(STAGE.volume_id),
                changes.drop_target(TARGET.target_path),
            )
        assert (await journal.volumes(), await journal.stages(), await journal.targets()) == ([], [], [])
        assert await journal.tombstones() == []


async def test_a_commit_is_all_or_nothing_and_an_empty_one_is_fine(tmp_path: Path) -> None:
    async with open_journal(tmp_path / "journal.db", precautions=BARE) as journal:
        await journal.commit()
        with pytest.raises(sqlite3.IntegrityError):
            await journal.commit(changes.put_volume(VOLUME), changes.put_volume(replace(VOLUME, capacity_bytes=-1)))
        assert await journal.volumes() == []


@pytest.mark.parametrize("key", ["journal.id", "journal.", "journal.anything"])
def test_the_journals_own_keys_are_its_own(key: str) -> None:
    with pytest.raises(ValueError, match="the journal's own"):
        changes.put_meta(key, "x")


def test_changes_say_what_they_are() -> None:
    assert changes.put_volume(VOLUME).what == f"put_volume {VOLUME.volume_id}"
    assert changes.drop_volume("v", TOMBSTONE).what == "drop_volume v"
    assert changes.drop_stage("v").what == "drop_stage v"
    assert changes.drop_target("/a").what == "drop_target /a"
    assert changes.put_meta("k", "v").what == "put_meta k"


async def test_operations_are_listed_by_state_newest_first_and_open_ones_oldest_first(tmp_path: Path) -> None:
    async with open_journal(tmp_path / "journal.db", precautions=BARE) as journal:
        for subject in ("v/1", "v/2"):
            async with journal.operation("create", subject, {}) as operation:
                await operation.finish()
        for subject in ("v/3", "v/4"):
            with pytest.raises(DeviceUnavailable):
                async with journal.operation("create", subject, {}) as operation:
                    raise DeviceUnavailable("away")
        assert [one.subject for one in await journal.open_operations()] == ["v/3", "v/4"]
        assert [one.subject for one in await journal.operations()] == ["v/4", "v/3", "v/2", "v/1"]
        assert [one.subject for one in await journal.operations(limit=1)] == ["v/4"]
        assert [one.subject for one in await journal.operations(state="done")] == ["v/2", "v/1"]
        assert await journal.operation_record("nope") is None


async def test_a_journal_keeps_its_id_and_counts_its_starts(tmp_path: Path) -> None:
    seen = []
    for _ in range(3):
        async with open_journal(tmp_path / "journal.db", precautions=SMALL, new_id=random_id) as journal:
            assert names.is_operation_id(journal.id)
            seen.append((journal.id, journal.incarnation, journal.fresh, journal.set_aside))
    assert [(fresh, set_aside) for _, _, fresh, set_aside in seen] == [(True, None), (False, None), (False, None)]
    assert {one for one, *_ in seen} == {seen[0][0]}
    assert [start for _, start, *_ in seen] == [1, 2, 3]


async def test_closing_leaves_one_file_and_its_companions(tmp_path: Path) -> None:
    async with open_journal(tmp_path / "journal.db", precautions=SMALL) as journal:
        await journal.commit(changes.put_meta("k", "v"))
        assert {"journal.db-wal", "journal.db-shm"} < names_in(tmp_path)
    assert names_in(tmp_path) == {"journal.db", "journal.db.lock", "journal.db.ballast"}
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


async def test_breadcrumbs_of_the_last_moment_are_kept(tmp_path: Path) -> None:
    async with (
        open_journal(tmp_path / "journal.db", precautions=BARE) as journal,
        journal.operation("create", "v/1", {}) as operation,
    ):
        await operation.finish()
        await operation.step("after")
    async with open_journal(tmp_path / "journal.db", precautions=BARE) as journal:
        record = await journal.operation_record(operation.id)
        assert record is not None
        assert [step.name for step in record.steps] == ["after"]


async def test_history_is_forgotten_at_the_start_and_while_operations_go_by(tmp_path: Path) -> None:
    small = Retention(closed_operations=5, batch=200)

    async def closed(journal: Journal) -> int:
        await journal.commit()
        return len(await journal.operations(limit=1000))

    async with open_journal(tmp_path / "journal.db", precautions=BARE, retention=small) as journal:
        for number in range(99):
            async with journal.operation("create", f"v/{number}", {}) as operation:
                await operation.finish()
        assert await closed(journal) == 99
        async with journal.operation("create", "v/99", {}) as operation:
            await operation.finish()
        assert await closed(journal) == 6
    async with open_journal(tmp_path / "journal.db", precautions=BARE, retention=small) as journal:
        assert await closed(journal) == 5


async def test_an_error_of_the_body_comes_out_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="mine") as caught:
        async with open_journal(tmp_path / "journal.db", precautions=BARE):
            raise KeyError("mine")
    assert caught.value.__cause__ is None


async def test_several_errors_of_the_body_stay_together(tmp_path: Path) -> None:
    with pytest.RaisesGroup(KeyError, ValueError):
        async with open_journal(tmp_path / "journal.db", precautions=BARE):
            raise ExceptionGroup("two", [KeyError(), ValueError()])


async def test_cancelling_the_body_closes_the_file_in_good_order(tmp_path: Path) -> None:
    with trio.CancelScope() as scope:
        async with open_journal(tmp_path / "journal.db", precautions=BARE) as journal:
            await journal.commit(changes.put_meta("k", "v"))
            scope.cancel()
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert names_in(tmp_path) == {"journal.db", "journal.db.lock"}


async def test_a_journal_that_is_closed_takes_nothing(tmp_path: Path) -> None:
    async with open_journal(tmp_path / "journal.db", precautions=BARE) as journal:
        pass
    with pytest.raises(JournalFailed, match="closed"):
        await journal.commit(changes.put_meta("k", "v"))
    with pytest.raises(JournalFailed, match="closed"):
        async with journal.operation("create", "v/1", {}):
            raise AssertionError


def spoil(journal: Journal, sql: str) -> changes.Change:
    """Break the journal's file under it, as a disk that rots would."""

    def apply(connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA writable_schema=ON")
        connection.execute(sql)
        connection.execute("PRAGMA schema_version=99")

    return changes.Change("spoil", apply)


async def test_a_read_that_fails_ends_the_journal(tmp_path: Path) -> None:
    cancelled = False
    with pytest.raises(JournalFailed, match="cannot be written"):
        async with open_journal(tmp_path / "journal.db", precautions=BARE) as journal:
            await journal.commit(spoil(journal, "UPDATE sqlite_master SET rootpage = 9999 WHERE name = 'volumes'"))
            with pytest.raises(JournalFailed, match=r"cannot be read: .*malformed"):
                await journal.volumes()
            try:
                await trio.sleep_forever()
            except trio.Cancelled:
                cancelled = True
                raise
    assert cancelled


async def test_a_broken_journal_is_told_beside_what_the_body_raises(tmp_path: Path) -> None:
    with pytest.RaisesGroup(JournalFailed, JournalFailed, flatten_subgroups=True):
        async with open_journal(tmp_path / "journal.db", precautions=BARE) as journal:
            await journal.commit(spoil(journal, "UPDATE sqlite_master SET rootpage = 9999 WHERE name = 'volumes'"))
            await journal.volumes()


async def test_a_disk_that_hangs_ends_the_journal_and_keeps_the_lock(
    tmp_path: Path, mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other process on this file waits in its transaction; ours hangs until the deadline, and nobody steps in."""
    monkeypatch.setattr("rdscsi.journal.engine.BUSY_SECONDS", 1.0)
    path = tmp_path / "journal.db"
    hung = pytest.RaisesExc(JournalFailed, match="cannot be written: the disk has not answered for 60 s")
    with pytest.RaisesGroup(hung, hung, flatten_subgroups=True):
        async with open_journal(path, precautions=BARE) as journal, trio.open_nursery() as nursery:
            await journal.commit()
            with opened(path) as other:
                other.execute("BEGIN IMMEDIATE")
                nursery.start_soon(journal.commit, changes.put_meta("k", "v"))
                await wait_all_tasks_blocked()
                mock_clock.jump(threads.JOB_SECONDS + 1)
                await trio.sleep_forever()
    with pytest.raises(JournalFailed, match="in use by pid"):
        async with open_journal(path, precautions=BARE):
            raise AssertionError


async def test_a_disk_that_hangs_at_the_start_is_told_and_keeps_the_lock(
    tmp_path: Path, mock_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal.db"
    async with open_journal(path, precautions=BARE):
        pass
    monkeypatch.setattr("rdscsi.journal.engine.BUSY_SECONDS", 1.0)
    with opened(path) as other:
        other.execute("BEGIN IMMEDIATE")

        async def start() -> None:
            with pytest.raises(JournalFailed, match="cannot be opened: the disk has not answered"):
                async with open_journal(path, precautions=BARE):
                    raise AssertionError
            nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(start)
            await wait_all_tasks_blocked()
            mock_clock.jump(threads.JOB_SECONDS + 1)
            await trio.sleep_forever()
    with pytest.raises(JournalFailed, match="in use by pid"):
        async with open_journal(path, precautions=BARE):
            raise AssertionError


@pytest.mark.parametrize("inline", [True, False])
async def test_a_path_that_cannot_be_a_journal_is_a_wrong_setting(tmp_path: Path, inline: bool) -> None:
    (tmp_path / "directory").mkdir()
    (tmp_path / "text").write_text("dear diary")
    with sqlite3.connect(tmp_path / "other.db") as other:
        other.execute("CREATE TABLE addresses (name TEXT)")
    other.close()
    for path, told in (
        ("absent/journal.db", "No such file or directory"),
        ("text/journal.db", "Not a directory"),
        ("x" * 300, "File name too long"),
        ("directory", "not a journal of rdscsi"),
        ("text", "not a journal of rdscsi"),
        ("other.db", "not a journal of rdscsi"),
    ):
        with pytest.raises(SettingsInvalid, match=told):
            async with open_journal(tmp_path / path, inline=inline):
                raise AssertionError
