"""Group commit: who shares a transaction, who fails alone, what ends everybody, and what a caller is told."""

import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
import trio
from journal_sample import opened
from trio.testing import MockClock, wait_all_tasks_blocked

from rdscsi.errors import JournalFailed, OperationPending
from rdscsi.journal.ballast import Ballast
from rdscsi.journal.engine import connect
from rdscsi.journal.threads import SqlThread
from rdscsi.journal.writer import LINGER_SECONDS, Moment, Work, Writer
from rdscsi.testing.logbook import Logbook, open_logbook

Statement = Callable[[sqlite3.Connection], None]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    with opened(tmp_path / "file.db") as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE kept (value INTEGER NOT NULL UNIQUE) STRICT")
    return tmp_path / "file.db"


@pytest.fixture
def log() -> Iterator[Logbook]:
    with open_logbook() as book:
        yield book


def kept(file: Path) -> list[int]:
    with opened(file) as connection:
        return [value for (value,) in connection.execute("SELECT value FROM kept ORDER BY value")]


def keep(value: object) -> Work[int]:
    def work(connection: sqlite3.Connection) -> int:
        connection.execute("INSERT INTO kept VALUES (?)", (value,))
        return int(connection.execute("SELECT count(*) FROM kept").fetchone()[0])

    return work


def riding(value: object) -> Work[None]:
    def work(connection: sqlite3.Connection) -> None:
        keep(value)(connection)

    return work


class Gate:
    """A place in the middle of a transaction, on the SQL thread, where the test decides when it goes on."""

    def __init__(self) -> None:
        self.reached = trio.Event()
        self._go = threading.Event()

    def __call__(self, _connection: sqlite3.Connection) -> None:
        trio.from_thread.run_sync(self.reached.set)
        assert self._go.wait(10)

    def open(self) -> None:
        self._go.set()


@asynccontextmanager
async def writing(
    file: Path, *, inline: bool = False, watch: Callable[[Moment], None] = lambda moment: None
) -> AsyncIterator[Writer]:
    """Run a writer around the body, bare: what comes out of its nursery is not made pretty here."""
    with closing(connect(file)) as connection:
        thread = SqlThread(inline=inline)
        writer = Writer(connection, ballast=Ballast(file, size=0, now=float), thread=thread, watch=watch)
        async with trio.open_nursery() as nursery:
            await nursery.start(writer.run)
            try:
                yield writer
            finally:
                writer.close()


async def test_a_submitted_item_is_durable_when_it_returns(file: Path) -> None:
    async with writing(file) as writer:
        assert await writer.submit(keep(1)) == 1
        assert kept(file) == [1]
        assert await writer.submit(keep(2)) == 2
        assert kept(file) == [1, 2]
    assert (writer.statistics().commits, writer.statistics().items) == (2, 2)


async def test_whoever_waits_while_one_commits_shares_the_next_transaction(file: Path) -> None:
    gate = Gate()
    async with writing(file) as writer, trio.open_nursery() as nursery:
        nursery.start_soon(writer.submit, gate)
        await gate.reached.wait()
        for value in range(32):
            nursery.start_soon(writer.submit, keep(value))
        await wait_all_tasks_blocked()
        assert writer.statistics().queued == 32
        gate.open()
    assert kept(file) == list(range(32))
    assert (writer.statistics().commits, writer.statistics().largest_batch) == (2, 32)


async def test_an_item_that_breaks_a_rule_fails_alone_and_takes_all_of_itself_back(file: Path) -> None:
    def half_good(connection: sqlite3.Connection) -> None:
        keep(50)(connection)
        keep(1)(connection)

    def buggy(connection: sqlite3.Connection) -> None:
        keep(51)(connection)
        raise KeyError("bug")

    def refusing(connection: sqlite3.Connection) -> None:
        keep(52)(connection)
        raise OperationPending("later")

    def mistyped(connection: sqlite3.Connection) -> None:
        keep(53)(connection)
        keep("word")(connection)

    errors: dict[str, Exception] = {}

    async def expect(name: str, work: Statement, error: type[Exception]) -> None:
        with pytest.raises(error) as caught:
            await writer.submit(work)
        errors[name] = caught.value

    gate = Gate()
    async with writing(file) as writer, trio.open_nursery() as nursery:
        nursery.start_soon(writer.submit, gate)
        await gate.reached.wait()
        nursery.start_soon(writer.submit, keep(1))
        await wait_all_tasks_blocked()
        nursery.start_soon(expect, "rule", half_good, sqlite3.IntegrityError)
        nursery.start_soon(expect, "bug", buggy, KeyError)
        nursery.start_soon(expect, "no", refusing, OperationPending)
        nursery.start_soon(expect, "type", mistyped, sqlite3.IntegrityError)
        nursery.start_soon(writer.submit, keep(2))
        await wait_all_tasks_blocked()
        gate.open()
    assert kept(file) == [1, 2]
    assert set(errors) == {"rule", "bug", "no", "type"}
    assert writer.statistics().commits == 2


async def test_a_statement_that_is_no_sql_fails_alone(file: Path) -> None:
    def nonsense(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO kept VALUES (?)", (object(),))

    async with writing(file) as writer:
        with pytest.raises(sqlite3.ProgrammingError):
            await writer.submit(nonsense)
        await writer.submit(keep(1))
    assert kept(file) == [1]


def break_commit(connection: sqlite3.Connection) -> None:
    """Let the COMMIT of this transaction fail."""

    def allow(action: int, what: str | None, *_others: object) -> int:
        return sqlite3.SQLITE_DENY if (action, what) == (sqlite3.SQLITE_TRANSACTION, "COMMIT") else sqlite3.SQLITE_OK

    connection.set_authorizer(allow)


async def test_a_failed_commit_fails_everybody_and_ends_the_journal(file: Path) -> None:
    told: list[str] = []
    gate = Gate()

    async def submit(writer: Writer, value: int) -> None:
        with pytest.raises(JournalFailed, match="cannot be written: not authorized") as caught:
            await writer.submit(keep(value))
        told.append(str(caught.value.__cause__))

    with pytest.RaisesGroup(pytest.RaisesExc(JournalFailed, match="not authorized")):
        async with writing(file) as writer, trio.open_nursery() as nursery:
            nursery.start_soon(writer.submit, gate)
            await gate.reached.wait()
            for value in range(3):
                nursery.start_soon(submit, writer, value)
            await wait_all_tasks_blocked()
            writer.ride(break_commit)
            gate.open()
            with trio.CancelScope(shield=True):
                while len(told) < 3:
                    await trio.lowlevel.checkpoint()
            with pytest.raises(JournalFailed):
                await writer.submit(keep(9))
            writer.ride(riding(10))  # nobody to tell
    assert told == ["not authorized"] * 3
    assert kept(file) == []


@pytest.mark.parametrize("code", [sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CORRUPT])
async def test_a_statement_that_fails_with_the_disk_ends_the_journal(file: Path, code: int) -> None:
    def failing(connection: sqlite3.Connection) -> None:
        broken = sqlite3.OperationalError("the disk")
        broken.sqlite_errorcode = code
        raise broken

    async def submit(writer: Writer) -> None:
        with pytest.raises(JournalFailed):
            await writer.submit(failing)

    with pytest.RaisesGroup(pytest.RaisesExc(JournalFailed)):
        async with writing(file) as writer:
            await submit(writer)
            await trio.sleep_forever()


async def test_riders_go_with_the_next_transaction(file: Path, autojump_clock: MockClock) -> None:
    async with writing(file, inline=True) as writer:
        writer.ride(riding(1))
        await writer.submit(keep(2))
        assert kept(file) == [1, 2]
        assert writer.statistics().commits == 1


async def test_riders_cause_a_transaction_when_none_comes(file: Path, autojump_clock: MockClock) -> None:
    async with writing(file, inline=True) as writer:
        writer.ride(riding(1))
        await trio.sleep(LINGER_SECONDS - 0.01)
        assert kept(file) == []
        await trio.sleep(0.02)
        assert kept(file) == [1]


async def test_a_rider_that_fails_is_counted_told_and_harms_nobody(
    file: Path, autojump_clock: MockClock, log: Logbook
) -> None:
    async with writing(file, inline=True) as writer:
        writer.ride(riding("word"))
        await writer.submit(keep(2))
    assert kept(file) == [2]
    assert writer.statistics().lost_riders == 1
    assert len(log.events("journal.breadcrumb_lost")) == 1


async def test_closing_commits_what_is_queued_and_takes_no_more(file: Path) -> None:
    async with writing(file) as writer:
        writer.ride(riding(1))
        writer.close()
        with pytest.raises(JournalFailed, match="closed"):
            await writer.submit(keep(2))
        writer.ride(riding(3))
    assert kept(file) == [1]


async def test_a_cancelled_caller_still_learns_its_outcome(file: Path) -> None:
    gate = Gate()
    outcomes: list[object] = []

    async def submit(writer: Writer, scope: trio.CancelScope) -> None:
        with scope:
            outcomes.append(await writer.submit(keep(1)))
            await trio.lowlevel.checkpoint()
            outcomes.append("never")

    async with writing(file) as writer, trio.open_nursery() as nursery:
        nursery.start_soon(writer.submit, gate)
        await gate.reached.wait()
        scope = trio.CancelScope()
        nursery.start_soon(submit, writer, scope)
        await wait_all_tasks_blocked()
        scope.cancel()
        await wait_all_tasks_blocked()
        assert outcomes == []
        gate.open()
    assert outcomes == [1]
    assert scope.cancelled_caught
    assert kept(file) == [1]


async def test_a_caller_that_is_cancelled_already_writes_all_the_same(file: Path) -> None:
    async with writing(file) as writer:
        with trio.CancelScope() as scope:
            scope.cancel()
            assert await writer.submit(keep(1)) == 1
    assert kept(file) == [1]


async def test_the_end_of_the_body_ends_the_writer_after_its_callers(file: Path) -> None:
    """The nursery is cancelled: the writer, which is shielded, serves those who clean up, until it is closed."""
    async with writing(file) as writer, trio.open_nursery() as nursery:

        async def cleaning_up() -> None:
            try:
                await trio.sleep_forever()
            finally:
                await writer.submit(keep(1))

        nursery.start_soon(cleaning_up)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert kept(file) == [1]


async def test_a_read_that_failed_ends_the_writer_even_between_two_commits(file: Path) -> None:
    gate = Gate()
    with pytest.RaisesGroup(pytest.RaisesExc(JournalFailed, match="cannot be written: unreadable")):
        async with writing(file) as writer, trio.open_nursery() as nursery:
            nursery.start_soon(writer.submit, gate)
            await gate.reached.wait()
            writer.fail(OSError("unreadable"))
            writer.fail(OSError("another, later"))
            gate.open()


async def test_a_read_that_failed_ends_an_idle_writer(file: Path) -> None:
    with pytest.RaisesGroup(pytest.RaisesExc(JournalFailed, match="unreadable")):
        async with writing(file) as writer:
            await wait_all_tasks_blocked()
            writer.fail(OSError("unreadable"))
            await trio.sleep_forever()


async def test_a_writer_that_is_torn_down_tells_those_who_wait(file: Path) -> None:
    """Something that is no Exception passes through the writer, as a KeyboardInterrupt in the wrong place would."""

    class Interrupt(BaseException):
        pass

    def interrupting(_connection: sqlite3.Connection) -> None:
        raise Interrupt

    async def submit(writer: Writer) -> None:
        with pytest.raises(JournalFailed, match="its writer was ended"):
            await writer.submit(interrupting)

    with pytest.RaisesGroup(Interrupt):
        async with writing(file) as writer:
            await submit(writer)


async def test_it_tells_a_watcher_of_transactions_that_somebody_waits_for(
    file: Path, autojump_clock: MockClock
) -> None:
    seen: list[tuple[Moment, list[int]]] = []
    async with writing(file, inline=True, watch=lambda moment: seen.append((moment, kept(file)))) as writer:
        await writer.submit(keep(1))
        writer.ride(riding(2))
        await trio.sleep(1)
    assert seen == [(Moment.BEFORE, []), (Moment.AFTER, [1])]


async def test_inline_work_takes_no_virtual_time_and_no_thread(file: Path, autojump_clock: MockClock) -> None:
    threads: list[str] = []

    def where(_connection: sqlite3.Connection) -> None:
        threads.append(threading.current_thread().name)

    async with writing(file, inline=True) as writer:
        began = trio.current_time()
        with trio.move_on_after(3600) as scope:
            for value in range(100):
                await writer.submit(keep(value))
            await writer.submit(where)
        assert not scope.cancelled_caught
        assert trio.current_time() == began
    assert threads == [threading.main_thread().name]
