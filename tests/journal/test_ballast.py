"""A full disk: what is open can end, nothing new begins, and when there is space all is as before."""

import errno
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
import trio
from journal_sample import SMALL, VOLUME, names_in, opened

from rdscsi.errors import DeviceUnavailable, JournalFailed, OperationPending
from rdscsi.journal import Change, Journal, JournalFull, Precautions, changes, open_journal, schema
from rdscsi.journal.ballast import PAUSE_SECONDS, Ballast
from rdscsi.journal.engine import connect
from rdscsi.journal.faults import is_full
from rdscsi.journal.reading import read_journal
from rdscsi.journal.threads import SqlThread
from rdscsi.journal.writer import Writer

DISK = Precautions(backups=2, ballast_bytes=1 << 20)
LARGE = "x" * 1500


class Clock:
    """Seconds since the epoch, as the test says."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def small_disk(at: Path, size: int) -> Iterator[None]:
    """Mount a filesystem of `size` bytes; skips the test where that is not possible."""
    at.mkdir()
    mounting = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(at)], capture_output=True, text=True, check=False
    )
    if mounting.returncode:
        pytest.skip(f"cannot mount a small disk: {mounting.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(at)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", 4 << 20):
        yield tmp_path / "disk"


def fill(disk: Path, *, leave: int = 0) -> Path:
    """Take all of the space but so many bytes."""
    filler = disk / "filler"
    free = os.statvfs(disk)
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(free.f_bavail * free.f_frsize - leave, 1))
    return filler


class TestBallast:
    def test_it_takes_its_space_once(self, tmp_path: Path) -> None:
        ballast = Ballast(tmp_path / "j", size=1 << 16, now=Clock())
        assert not ballast.held
        assert ballast.ensure()
        stat = (tmp_path / "j.ballast").stat()
        assert (stat.st_size, stat.st_blocks * 512, stat.st_mode & 0o777) == (1 << 16, 1 << 16, 0o600)
        (tmp_path / "j.ballast").unlink()
        assert ballast.ensure()
        assert not (tmp_path / "j.ballast").exists()

    def test_half_of_it_is_made_whole(self, tmp_path: Path) -> None:
        (tmp_path / "j.ballast").write_bytes(b"x")
        assert Ballast(tmp_path / "j", size=1 << 16, now=Clock()).ensure()
        assert (tmp_path / "j.ballast").stat().st_size == 1 << 16

    def test_what_was_given_up_is_not_taken_back_at_once(self, tmp_path: Path) -> None:
        clock = Clock()
        ballast = Ballast(tmp_path / "j", size=1 << 16, now=clock)
        ballast.ensure()
        assert ballast.release()
        assert not (tmp_path / "j.ballast").exists()
        assert not ballast.release()
        clock.now += PAUSE_SECONDS - 0.1
        assert not ballast.ensure()
        clock.now += 0.1
        assert ballast.ensure()
        ballast.release()
        clock.now -= 3600  # set back
        assert ballast.ensure()

    def test_none_is_promised_where_none_is_wanted(self, tmp_path: Path) -> None:
        ballast = Ballast(tmp_path / "j", size=0, now=Clock())
        assert ballast.ensure()
        assert not ballast.release()
        assert names_in(tmp_path) == set()

    @pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
    def test_without_space_nothing_is_left_lying(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
    ) -> None:
        def full(_descriptor: int, _offset: int, _size: int) -> None:
            raise OSError(code, "full")

        monkeypatch.setattr(os, "posix_fallocate", full)
        assert not Ballast(tmp_path / "j", size=1 << 16, now=Clock()).ensure()
        assert names_in(tmp_path) == set()

    def test_a_disk_that_fails_is_another_matter(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(_descriptor: int, _offset: int, _size: int) -> None:
            raise OSError(errno.EIO, "broken")

        monkeypatch.setattr(os, "posix_fallocate", broken)
        with pytest.raises(OSError, match="broken"):
            Ballast(tmp_path / "j", size=1 << 16, now=Clock()).ensure()


class TestWhatSaysFull:
    @pytest.mark.parametrize("code", [sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE])
    def test_sqlite_says_it_in_two_ways(self, code: int) -> None:
        assert is_full(told(code))

    @pytest.mark.parametrize("code", [sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_ERROR])
    def test_other_troubles_are_other_troubles(self, code: int) -> None:
        assert not is_full(told(code))
        assert not is_full(sqlite3.OperationalError("raised by Python, without a code"))

    def test_the_system_says_it_too(self) -> None:
        assert is_full(OSError(errno.ENOSPC, "full"))
        assert not is_full(OSError(errno.EIO, "broken"))

    def test_it_is_seen_through_what_it_was_wrapped_in(self) -> None:
        last = sqlite3.OperationalError("no such savepoint: sa_savepoint_1")
        last.__context__ = sa.exc.OperationalError("COMMIT", None, KeyError())
        last.__context__.__cause__ = told(sqlite3.SQLITE_FULL)
        assert is_full(last)


def told(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("x")
    error.sqlite_errorcode = code
    return error


class Shelf(Ballast):
    """Ballast that is pages of the database file itself: full disks without root. Giving it up lifts the limit."""

    def __init__(self, connection: sqlite3.Connection, *, spare: int) -> None:
        super().__init__(Path("nowhere"), size=1, now=Clock())
        self._connection = connection
        self._spare = spare
        self.held = True

    def release(self) -> bool:
        spare, self._spare, self.held = self._spare, 0, False
        if spare:
            pages = self._connection.execute("PRAGMA page_count").fetchone()[0]
            self._connection.execute(f"PRAGMA max_page_count={pages + spare}")
        return bool(spare)


class TestTheWriter:
    """SQLite says FULL in the middle of a statement here, and undoes the transaction by itself."""

    async def _write(self, path: Path, spare: int, count: int) -> tuple[list[int], list[type[Exception]]]:
        with opened(path) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("CREATE TABLE kept (value INTEGER, ballast TEXT)")
        errors: list[type[Exception]] = []

        def keep(connection: sqlite3.Connection, value: int) -> int:
            connection.execute("INSERT INTO kept VALUES (?, ?)", (value, LARGE))
            return value

        async def submit(value: int) -> None:
            try:
                assert await writer.submit(lambda connection: keep(connection, value)) == value
            except Exception as error:
                errors.append(type(error))

        with closing(connect(path)) as writing:
            writing.execute("PRAGMA max_page_count=4")
            writer = Writer(writing, ballast=Shelf(writing, spare=spare), thread=SqlThread(inline=True))
            async with trio.open_nursery() as nursery:
                await nursery.start(writer.run)
                async with trio.open_nursery() as callers:
                    for value in range(count):
                        callers.start_soon(submit, value)
                await submit(count)
                writer.close()
        with opened(path) as connection:
            rows = connection.execute("SELECT value FROM kept ORDER BY value").fetchall()
        return [value for (value,) in rows], errors

    async def test_a_transaction_that_finds_the_disk_full_is_tried_once_more(self, tmp_path: Path) -> None:
        kept, errors = await self._write(tmp_path / "file.db", spare=100, count=20)
        assert kept == list(range(21))
        assert errors == []

    async def test_when_the_ballast_is_not_enough_nothing_of_it_stays(self, tmp_path: Path) -> None:
        with pytest.RaisesGroup(pytest.RaisesExc(JournalFailed, match="cannot be written: the disk is full")):
            await self._write(tmp_path / "file.db", spare=1, count=20)
        with opened(tmp_path / "file.db") as connection:
            assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)


def grow(count: int) -> list[Change]:
    """Changes that take some pages each."""
    return [changes.put_meta(f"key {number}", LARGE) for number in range(count)]


@pytest.mark.root
class TestASmallDisk:
    async def test_what_is_open_ends_and_nothing_new_begins_until_there_is_space(self, tmp_path: Path) -> None:
        with small_disk(tmp_path / "disk", 20 << 20):
            await self._a_full_day(tmp_path / "disk")

    async def _a_full_day(self, disk: Path) -> None:
        clock, path = Clock(), disk / "journal.db"
        async with open_journal(path, now=clock) as journal:
            await self._leave_open(journal, 300)
            filler = fill(disk)
            assert journal.statistics().ballast
            for number in range(300):  # each in a transaction of its own: the worst case
                async with journal.operation("create", f"v/{number}", {}) as operation:
                    record = replace(VOLUME, volume_id=f"v/{number}", tag=LARGE)
                    await operation.finish(changes.put_volume(record))
            assert not journal.statistics().ballast
            with pytest.raises(JournalFull, match="v/new: the disk of the journal is full; create is not begun"):
                async with journal.operation("create", "v/new", {}):
                    raise AssertionError
            async with journal.operation("delete", "v/0", {}, undoing=True) as operation:
                await operation.finish(changes.drop_volume("v/0", None))
            with read_journal(path) as reading:
                assert reading.situation.held
                assert not reading.situation.ballast
            filler.unlink()
            clock.now += PAUSE_SECONDS
            async with journal.operation("create", "v/new", {}) as operation:
                await operation.finish()
            assert journal.statistics().ballast
        assert (disk / "journal.db.ballast").stat().st_size == Precautions().ballast_bytes

    async def test_a_delete_may_take_the_place_of_a_create(self, disk: Path) -> None:
        async with open_journal(disk / "journal.db", precautions=DISK) as journal:
            await self._leave_open(journal, 2)
            fill(disk)
            await self._use_up(journal)
            async with journal.operation("delete", "v/0", {}, supersedes=["create"]) as operation:
                await operation.finish()
            async with journal.operation("create", "v/1", {}) as operation:
                assert operation.resumed
                await operation.finish()

    async def test_when_even_that_is_used_up_the_process_ends_and_forgets_nothing(self, disk: Path) -> None:
        """Somebody else takes the space as soon as it is given up."""
        with pytest.RaisesGroup(JournalFailed, JournalFailed, flatten_subgroups=True):
            async with open_journal(disk / "journal.db", precautions=DISK) as journal:
                await self._leave_open(journal, 3)
                fill(disk)
                await self._use_up(journal)
                (disk / "filler2").write_bytes(b"")
                with (disk / "filler2").open("ab") as file:
                    free = os.statvfs(disk)
                    os.posix_fallocate(file.fileno(), 0, max(free.f_bavail * free.f_frsize, 1))
                await journal.commit(*grow(2000))
        for filler in ("filler", "filler2"):
            (disk / filler).unlink()
        async with open_journal(disk / "journal.db", precautions=DISK) as journal:
            assert [one.subject for one in await journal.open_operations()] == ["v/0", "v/1", "v/2"]

    async def test_a_start_on_a_full_disk_costs_the_ballast(self, disk: Path) -> None:
        async with open_journal(disk / "journal.db", precautions=DISK) as journal:
            await self._leave_open(journal, 1)
        fill(disk)
        async with open_journal(disk / "journal.db", precautions=DISK) as journal:
            assert not journal.fresh
            with pytest.raises(JournalFull):
                async with journal.operation("create", "v/new", {}):
                    raise AssertionError
            async with journal.operation("create", "v/0", {}) as operation:
                await operation.finish()

    async def test_a_start_without_space_and_ballast_says_what_is_wrong(self, disk: Path) -> None:
        async with open_journal(disk / "journal.db", precautions=DISK):
            pass
        (disk / "journal.db.ballast").unlink()
        filler = fill(disk)
        for _ in range(2):
            with pytest.raises(JournalFailed, match="disk is full"):
                async with open_journal(disk / "journal.db", precautions=DISK):
                    raise AssertionError
        filler.unlink()
        async with open_journal(disk / "journal.db", precautions=DISK) as journal:
            assert not journal.fresh

    async def test_a_first_start_without_space_leaves_no_half_journal(self, disk: Path) -> None:
        filler = fill(disk, leave=20_000)
        with pytest.raises(JournalFailed, match="the disk is full"):
            async with open_journal(disk / "journal.db", precautions=DISK):
                raise AssertionError
        assert "journal.db" not in names_in(disk)
        filler.unlink()
        async with open_journal(disk / "journal.db", precautions=DISK) as journal:
            assert journal.fresh

    async def test_without_space_there_is_no_backup_and_no_migration(
        self, disk: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with open_journal(disk / "journal.db", precautions=SMALL) as journal:
            await journal.commit(*grow(300))
        size = (disk / "journal.db").stat().st_size
        filler = fill(disk, leave=size // 2)
        async with open_journal(disk / "journal.db", precautions=SMALL) as journal:
            assert not journal.fresh
        assert not [name for name in names_in(disk) if "backup" in name]
        monkeypatch.setattr(schema, "HEAD", "0004")
        with pytest.raises(JournalFailed, match="disk is full"):
            async with open_journal(disk / "journal.db", precautions=SMALL):
                raise AssertionError
        filler.unlink()

    async def _leave_open(self, journal: Journal, count: int) -> None:
        for number in range(count):
            with pytest.raises(OperationPending if number % 2 else DeviceUnavailable):
                async with journal.operation("create", f"v/{number}", {}):
                    raise KeyError("bug") if number % 2 else DeviceUnavailable("away")

    async def _use_up(self, journal: Journal) -> None:
        """Write until the ballast is gone."""
        for number in range(1000):
            if not journal.statistics().ballast:
                return
            await journal.commit(changes.put_meta(f"filler {number}", LARGE * 10))
        raise AssertionError("the disk never grew full")
