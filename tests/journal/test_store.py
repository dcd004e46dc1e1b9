"""Starts: a file that is fresh, used, restored, damaged, lost or a stranger's, and crashes between the steps of one."""

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import trio
from journal_sample import BARE, SMALL, VOLUME, names_in, opened

from rdscsi.errors import JournalFailed, SettingsInvalid
from rdscsi.journal import Journal, changes, files, lock, migrations, open_journal, schema
from rdscsi.journal.reading import read_journal
from rdscsi.testing.logbook import Logbook, open_logbook

NOW = 1_800_000_000.0  # 2027-01-15T08:00:00Z


@pytest.fixture
def log() -> Iterator[Logbook]:
    with open_logbook() as book:
        yield book


async def start(path: Path, *, at: float = NOW) -> Journal:
    """Start and end once; what the journal said of itself stays readable."""
    async with open_journal(path, precautions=SMALL, now=lambda: at) as journal:
        await journal.commit()
    return journal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal with a committed volume and one start."""

    async def make() -> None:
        async with open_journal(tmp_path / "journal.db", precautions=SMALL, now=lambda: NOW) as journal:
            await journal.commit(changes.put_volume(VOLUME))

    trio.run(make)
    return tmp_path / "journal.db"


def overwrite(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def drop_identity(path: Path) -> None:
    with opened(path) as connection:
        connection.execute("DELETE FROM meta WHERE key = 'journal.id'")


def forget_revision(path: Path) -> None:
    with opened(path) as connection:
        connection.execute("DELETE FROM alembic_version")


def drop_table(path: Path) -> None:
    with opened(path) as connection:
        connection.execute("DROP TABLE meta")


def orphan_a_step(path: Path) -> None:
    with opened(path) as connection:
        connection.execute("INSERT INTO steps (operation_id, at, name) VALUES ('x', 1.0, 'x')")


def garble_a_request(path: Path) -> None:
    with opened(path) as connection:
        row = (1, "aaaaaaaaaaaaa", "create", "v/1", "{]", "open", 1.0, 1, 1)
        columns = "number, id, kind, subject, request, state, opened_at, incarnation, attempts"
        connection.execute(f"INSERT INTO operations ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)


def break_a_rule(path: Path) -> None:
    with opened(path) as connection:
        connection.execute("PRAGMA ignore_check_constraints=ON")
        connection.execute("UPDATE volumes SET capacity_bytes = -1")


DAMAGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "a page of garbage": (lambda path: overwrite(path, 4096, os.urandom(4096)), ""),
    "garbage in the first page": (lambda path: overwrite(path, 100, b"\xff" * 3000), "malformed"),
    "no header": (lambda path: overwrite(path, 0, b"\0" * 100), "its header is gone"),
    "all zeros": (lambda path: overwrite(path, 0, b"\0" * path.stat().st_size), "its header is gone"),
    "nothing": (lambda path: os.truncate(path, 0), "it is empty"),
    "half of it": (lambda path: os.truncate(path, path.stat().st_size // 2), ""),
    "no identity": (drop_identity, "its identity is lost"),
    "no revision": (forget_revision, "the version of its schema is lost"),
    "no table": (drop_table, "tables are missing"),
    "an orphan": (orphan_a_step, "a row of steps has lost its parent in operations"),
    "a request that is no JSON": (garble_a_request, "the request of operation 1 is not readable"),
    "a row that breaks a rule": (break_a_rule, "CHECK constraint failed in volumes"),
}


@pytest.mark.parametrize(("damage", "reason"), DAMAGE.values(), ids=DAMAGE)
async def test_a_damaged_journal_is_put_aside_whole_and_a_fresh_one_takes_its_place(
    path: Path, damage: Callable[[Path], None], reason: str, log: Logbook
) -> None:
    former = (await start(path)).id
    damage(path)
    content = path.read_bytes()
    journal = await start(path)
    assert journal.fresh
    assert journal.id != former
    assert journal.incarnation == 1
    kept = path.with_name("journal.db.broken-20270115T080000Z")
    assert journal.set_aside == kept
    assert kept.read_bytes() == content
    (event,) = log.events("journal.set_aside")
    assert (event["level"], event["journal"], event["kept"]) == ("error", str(path), str(kept))
    assert reason in str(event["reason"])
    with read_journal(path) as reading:
        assert reading.volumes() == []
        assert reading.situation.set_aside == f"{kept.name}: {event['reason']}"
    again = await start(path)
    assert (again.fresh, again.set_aside, again.id) == (False, None, journal.id)


async def test_what_is_put_aside_never_takes_the_place_of_what_was_before(path: Path) -> None:
    contents = []
    for number in range(3):
        overwrite(path, 0, b"garbage" + bytes([number]) * 200)
        contents.append(path.read_bytes())
        await start(path)
    kept = [path.with_name(f"journal.db.broken-20270115T080000Z{end}") for end in ("", ".2", ".3")]
    assert [one.read_bytes() for one in kept] == contents


async def test_the_log_goes_with_the_journal(path: Path) -> None:
    """A crash leaves a write-ahead log; what is in it may be all that is left of the last hour."""
    with opened(path) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("INSERT INTO meta VALUES ('last', 'word')")
        for end in ("", "-wal", "-shm"):
            shutil.copyfile(files.beside(path, end), files.beside(path, f".copy{end}"))
    for end in ("", "-wal", "-shm"):
        files.beside(path, f".copy{end}").rename(files.beside(path, end))
    log_content = files.write_ahead_log(path).read_bytes()
    assert b"word" in log_content
    overwrite(path, 0, b"garbage!" * 20)
    journal = await start(path)
    assert journal.set_aside is not None
    assert files.write_ahead_log(journal.set_aside).read_bytes() == log_content


@pytest.mark.parametrize("moved", [1, 2])
async def test_a_crash_while_putting_aside_loses_nothing(path: Path, moved: int) -> None:
    """After the first rename the log stands alone, and must not be taken for the log of the fresh journal."""
    former = (await start(path)).id
    for end in ("-wal", "-shm"):
        files.beside(path, end).write_bytes(b"log of the broken one" + end.encode())
    for end in ("", "-wal")[:moved]:
        files.beside(path, end).rename(path.with_name(f"journal.db.broken-0{end}"))
    journal = await start(path)
    assert journal.fresh
    assert journal.id != former
    logs_kept = [one for one in path.parent.iterdir() if one.name.endswith("-wal")]
    assert [one.read_bytes() for one in logs_kept] == [b"log of the broken one-wal"]


async def test_a_journal_that_is_gone_is_made_anew_and_said_to_be(path: Path, log: Logbook) -> None:
    former = (await start(path)).id
    path.unlink()
    journal = await start(path)
    assert (journal.fresh, journal.set_aside) == (True, None)
    (event,) = log.events("journal.gone")
    assert event["id"] == former
    with read_journal(path) as reading:
        assert reading.situation.set_aside == f"{former} is gone"


async def test_a_file_that_somebody_touched_into_being_is_no_journal_yet(tmp_path: Path) -> None:
    (tmp_path / "journal.db").touch(mode=0o644)
    with pytest.raises(SettingsInvalid, match="is empty"), read_journal(tmp_path / "journal.db"):
        raise AssertionError
    journal = await start(tmp_path / "journal.db")
    assert journal.fresh
    assert (tmp_path / "journal.db").stat().st_mode & 0o777 == 0o600


async def test_a_restored_backup_is_a_journal_again(path: Path) -> None:
    await start(path, at=NOW + 1)
    backup = path.with_name("journal.db.backup-20270115T080001Z-1")
    async with open_journal(path, precautions=SMALL, now=lambda: NOW + 2) as journal:
        await journal.commit(changes.drop_volume(VOLUME.volume_id, None))
    shutil.copyfile(backup, path)
    async with open_journal(path, precautions=SMALL, now=lambda: NOW + 3) as restored:
        assert restored.id == journal.id
        assert await restored.volumes() == [VOLUME]
        assert restored.incarnation == 2
    with opened(path) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


class TestAStranger:
    @pytest.mark.parametrize("expected", [False, True])
    @pytest.mark.parametrize("mode", ["DELETE", "WAL"])
    async def test_a_database_of_somebody_else_is_not_touched(self, tmp_path: Path, mode: str, expected: bool) -> None:
        path = tmp_path / "journal.db"
        if expected:
            await start(path)
            path.unlink()
        with closing(sqlite3.connect(path)) as other:
            other.execute(f"PRAGMA journal_mode={mode}")
            other.execute("CREATE TABLE addresses (name TEXT)")
            other.commit()
        await self._refused(path)

    async def test_not_even_its_hot_journal_is_played_back(self, tmp_path: Path) -> None:
        path = tmp_path / "journal.db"
        with closing(sqlite3.connect(tmp_path / "live.db", isolation_level=None)) as other:
            other.execute("CREATE TABLE addresses (name TEXT)")
            other.execute("PRAGMA cache_size=1")
            other.execute("BEGIN")
            other.executemany("INSERT INTO addresses VALUES (?)", [("x" * 1000,)] * 100)
            for end in ("", "-journal"):
                shutil.copyfile(files.beside(tmp_path / "live.db", end), files.beside(path, end))
        await self._refused(path)

    @pytest.mark.parametrize("content", [b"x", b"dear diary", b"SQLite format 3", os.urandom(5000)])
    async def test_a_file_that_is_no_database_is_not_touched(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "journal.db").write_bytes(content)
        await self._refused(tmp_path / "journal.db")

    async def test_a_directory_is_not_touched(self, tmp_path: Path) -> None:
        (tmp_path / "journal.db").mkdir()
        with pytest.raises(SettingsInvalid, match="is not a journal of rdscsi"):
            await start(tmp_path / "journal.db")

    async def _refused(self, path: Path) -> None:
        before = {one: one.read_bytes() for one in path.parent.iterdir() if not one.name.endswith(".lock")}
        for _ in range(2):
            with pytest.raises(SettingsInvalid, match="is not a journal of rdscsi; nothing was changed in it"):
                await start(path)
        with pytest.raises(SettingsInvalid, match="is not a journal of rdscsi"), read_journal(path):
            raise AssertionError
        after = {one: one.read_bytes() for one in path.parent.iterdir() if not one.name.endswith(".lock")}
        assert after == before


class TestBackups:
    async def test_the_first_start_has_nothing_to_copy(self, path: Path) -> None:
        assert not [name for name in names_in(path.parent) if "backup" in name]

    async def test_each_start_after_an_hour_makes_one_and_the_oldest_go(self, path: Path) -> None:
        for hour in range(1, 6):
            await start(path, at=NOW + hour * 3600)
            await start(path, at=NOW + hour * 3600 + 10)  # a process that is restarted in a loop
        assert sorted(name for name in names_in(path.parent) if "backup" in name) == [
            "journal.db.backup-20270115T120000Z-7",
            "journal.db.backup-20270115T130000Z-9",
        ]

    async def test_a_backup_holds_what_was_there_before_the_start(self, path: Path) -> None:
        async with open_journal(path, precautions=SMALL, now=lambda: NOW) as journal:
            await journal.commit(changes.drop_volume(VOLUME.volume_id, None))
        backup = path.with_name("journal.db.backup-20270115T080000Z-1")
        assert backup.stat().st_mode & 0o777 == 0o600
        with read_journal(backup) as reading:
            assert reading.volumes() == [VOLUME]
            assert reading.situation.held is False
        assert not files.write_ahead_log(backup).exists()

    async def test_a_clock_that_was_set_back_does_not_stop_them(self, path: Path) -> None:
        await start(path, at=NOW + 9 * 3600)
        await start(path, at=NOW)
        assert len([name for name in names_in(path.parent) if "backup" in name]) == 2

    async def test_what_a_crash_left_half_made_is_replaced(self, path: Path) -> None:
        path.with_name("journal.db.backup.part").write_bytes(b"half")
        await start(path)
        assert "journal.db.backup.part" not in names_in(path.parent)
        assert "journal.db.backup-20270115T080000Z-1" in names_in(path.parent)

    async def test_files_that_only_look_like_one_are_left_alone(self, path: Path) -> None:
        mine = [
            path.with_name(f"journal.db.backup-{end}") for end in ("mine", "20270115T080000Z", "20270115T080000Z-x")
        ]
        for one in mine:
            one.write_bytes(b"my own copy")
        for hour in range(1, 5):
            await start(path, at=NOW + hour * 3600)
        assert all(one.exists() for one in mine)

    async def test_none_are_kept_when_none_are_wanted(self, path: Path) -> None:
        await start(path)
        async with open_journal(path, precautions=BARE, now=lambda: NOW):
            pass
        assert not [name for name in names_in(path.parent) if "backup" in name]

    async def test_a_disk_that_fails_while_copying_stops_the_start(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(_descriptor: int) -> None:
            raise OSError(5, "Input/output error")

        with monkeypatch.context() as patch:
            patch.setattr("os.fsync", broken)
            with pytest.raises(JournalFailed, match="Input/output error"):
                await start(path)
        assert names_in(path.parent) == {"journal.db", "journal.db.lock", "journal.db.ballast"}
        assert not (await start(path)).fresh


class TestMaking:
    async def test_a_journal_has_its_name_only_when_it_is_whole(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "journal.db"

        class Killed(BaseException):
            pass

        def kill(*_: object) -> None:
            raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(migrations, "make_newest", kill)
            with pytest.raises(Killed):
                await start(path)
        assert not path.exists()
        for end in ("-wal", "-shm", "-journal"):
            files.beside(path, f".new{end}").write_bytes(b"left")
        assert (await start(path)).fresh
        assert names_in(tmp_path) == {"journal.db", "journal.db.lock", "journal.db.ballast"}

    async def test_its_header_bears_the_mark_without_the_log(self, path: Path) -> None:
        assert int.from_bytes(path.read_bytes()[68:72], "big") == schema.APPLICATION_ID

    async def test_a_filesystem_without_write_ahead_logging_is_a_wrong_setting(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        real = sqlite3.connect

        def connect(_database: str, **options: object) -> sqlite3.Connection:
            return real(":memory:", **options)  # type: ignore[call-overload,no-any-return]

        monkeypatch.setattr(sqlite3, "connect", connect)
        with pytest.raises(SettingsInvalid, match=r"cannot do write-ahead logging \(mode memory\); use a local disk"):
            await start(tmp_path / "journal.db")


class TestTheLock:
    async def test_a_second_holder_is_refused_and_told_who_has_it(self, path: Path) -> None:
        async with open_journal(path, precautions=SMALL) as journal:
            with pytest.raises(JournalFailed, match=f"in use by pid {os.getpid()} on .*; a journal belongs to one"):
                await start(path)
            assert lock.is_held(path) is True
            text = lock.lock_path(path).read_text()
            assert text.splitlines()[1] == f"journal {journal.id}"
        assert lock.is_held(path) is False
        await start(path)

    async def test_a_process_that_is_just_starting_has_no_name_yet(self, path: Path) -> None:
        os.truncate(lock.lock_path(path), 0)
        with lock.exclusive(path):
            os.truncate(lock.lock_path(path), 0)
            with pytest.raises(JournalFailed, match="in use by a process that is just starting"):
                await start(path)

    def test_a_name_that_grew_shorter_leaves_nothing_of_the_former(self, path: Path) -> None:
        with lock.exclusive(path) as held:
            held.name("a" * 40)
            held.name("")
            assert lock.lock_path(path).read_text().count("\n") == 1
        with lock.exclusive(path) as held:
            assert held.journal_id == ""

    def test_whether_it_is_held_cannot_always_be_told(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        assert lock.is_held(path.with_name("other.db")) is False

        for error in (PermissionError(13, "no"), FileNotFoundError(2, "no /proc")):

            def unreadable(_path: Path, error: OSError = error) -> str:
                raise error

            monkeypatch.setattr(Path, "read_text", unreadable)
            assert lock.is_held(path) is None

    async def test_a_wrong_place_for_it_is_a_wrong_setting(self, tmp_path: Path) -> None:
        (tmp_path / "journal.db.lock").mkdir()
        with pytest.raises(SettingsInvalid, match="Is a directory"):
            await start(tmp_path / "journal.db")
