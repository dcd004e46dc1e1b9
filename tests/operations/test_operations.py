"""Operations apart from the RPCs that ask for them: joining, refusing, deadlines, cancellation, draining."""

from collections.abc import Iterator

import pytest
import trio
from operation_callers import DEADLINE, Work, calling
from trio.testing import MockClock, wait_all_tasks_blocked

from rdscsi.errors import (
    AlreadyExists,
    Busy,
    InvalidRequest,
    JournalFailed,
    OperationPending,
    OutcomeUnknown,
)
from rdscsi.operations import Operations
from rdscsi.testing.logbook import Logbook, open_logbook


@pytest.fixture
def log() -> Iterator[Logbook]:
    with open_logbook() as book:
        yield book


async def test_a_result_and_an_error_reach_the_caller() -> None:
    async with trio.open_nursery() as nursery:
        operations = Operations(nursery, deadline=DEADLINE)

        async def seven() -> int:
            return 7

        async def taken() -> int:
            raise AlreadyExists("taken")

        assert await operations.run("a", "x", seven) == 7
        with pytest.raises(AlreadyExists, match="taken"):
            await operations.run("a", "x", taken)
        assert operations.running == 0


async def test_an_equal_request_joins_and_another_is_refused_at_once() -> None:
    async with trio.open_nursery() as nursery:
        operations = Operations(nursery, deadline=DEADLINE)
        work, other = Work(), Work("other")
        call = calling(operations, nursery, work)
        first = call("a", "x")
        await wait_all_tasks_blocked()
        second, elsewhere = call("a", "x"), call("b", "x")
        await wait_all_tasks_blocked()
        with pytest.raises(Busy, match="a: a different request"):
            await operations.run("a", "y", other)
        assert (work.began, other.began, operations.running) == (2, 0, 2)
        work.go.set()
        await wait_all_tasks_blocked()
        assert [one.got for one in (first, second, elsewhere)] == ["made"] * 3
        other.go.set()
        assert await operations.run("a", "y", other) == "other"


async def test_joining_starts_nothing() -> None:
    async with trio.open_nursery() as nursery:
        operations = Operations(nursery, deadline=DEADLINE)
        work = Work()
        callers = [calling(operations, nursery, work)("a", "x") for _ in range(10)]
        await wait_all_tasks_blocked()
        assert work.began == 1
        work.go.set()
        await wait_all_tasks_blocked()
        assert {one.got for one in callers} == {"made"}


async def test_the_deadline_is_the_operations_own(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        operations = Operations(nursery, deadline=DEADLINE)
        work = Work()
        first = calling(operations, nursery, work)("a", "x")
        await trio.sleep(DEADLINE - 1)
        began = trio.current_time()
        with pytest.raises(OperationPending, match=r"a: not finished within 60 s"):  # a late joiner gets no more time
            await operations.run("a", "x", work)
        assert trio.current_time() - began == pytest.approx(1)
        await wait_all_tasks_blocked()
        assert isinstance(first.got, OperationPending)
        assert work.cancelled
        again = Work()
        again.go.set()
        assert await operations.run("a", "x", again) == "made"


async def test_a_deadline_that_passes_while_the_work_cannot_stop_keeps_its_result(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        operations = Operations(nursery, deadline=1)

        async def stubborn() -> str:
            with trio.CancelScope(shield=True):
                await trio.sleep(5)
            return "made"

        assert await operations.run("a", "x", stubborn) == "made"


async def test_what_the_work_raises_at_the_deadline_is_told(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        operations = Operations(nursery, deadline=1)

        async def raises() -> None:
            try:
                await trio.sleep_forever()
            finally:
                raise OutcomeUnknown("sent, not answered")

        with pytest.raises(OutcomeUnknown, match="sent, not answered"):
            await operations.run("a", "x", raises)


async def test_each_waiter_gets_an_error_of_its_own() -> None:
    async with trio.open_nursery() as nursery:
        operations = Operations(nursery, deadline=DEADLINE)
        work = Work(InvalidRequest("name", "", "a name"))
        call = calling(operations, nursery, work)
        callers = [call("a", "x") for _ in range(5)]
        await wait_all_tasks_blocked()
        work.go.set()
        await wait_all_tasks_blocked()
    errors = [one.got for one in callers]
    assert all(isinstance(one, InvalidRequest) for one in errors)
    assert len({id(one) for one in errors}) == 5
    assert {str(one) for one in errors} == {"name='': a name"}
    assert {getattr(one, "field", None) for one in errors} == {"name"}
    assert len({depth(one) for one in errors if isinstance(one, Exception)}) == 1, (
        "tracebacks grew from one to the next"
    )


def depth(error: BaseException) -> int:
    count, traceback = 0, error.__traceback__
    while traceback is not None:
        count, traceback = count + 1, traceback.tb_next
    return count


@pytest.mark.parametrize("bug", [ZeroDivisionError("oops"), ExceptionGroup("two", [KeyError("k"), Busy("b")])])
async def test_a_bug_is_logged_with_its_traceback_and_stops_one_subject_only(bug: Exception, log: Logbook) -> None:
    async with trio.open_nursery() as nursery:
        operations = Operations(nursery, deadline=DEADLINE)
        work = Work()
        other = calling(operations, nursery, work)("b", "x")

        async def breaks() -> None:
            raise bug

        with pytest.raises(type(bug)) as caught:
            await operations.run("a", "x", breaks)
        if isinstance(caught.value, BaseExceptionGroup):
            assert [type(one) for one in caught.value.exceptions] == [KeyError, Busy]
        assert caught.value is not bug
        work.go.set()
        await wait_all_tasks_blocked()
        assert other.got == "made"
    (event,) = log.events("operation.bug")
    assert "Traceback" in str(event["exception"])
    assert "in breaks" in str(event["exception"])
    assert event["subject"] == "a"


async def test_a_bug_that_the_journal_turned_into_pending_is_logged_too(log: Logbook) -> None:
    async with trio.open_nursery() as nursery:
        operations = Operations(nursery, deadline=DEADLINE)

        async def translated() -> None:
            raise OperationPending("open") from ZeroDivisionError("oops")

        async def meant() -> None:
            raise OperationPending("open") from AlreadyExists("taken")

        for work in (translated, meant):
            with pytest.raises(OperationPending):
                await operations.run("a", "x", work)
    (event,) = log.events("operation.bug")
    assert "ZeroDivisionError: oops" in str(event["exception"])


@pytest.mark.parametrize("grouped", [False, True])
async def test_a_failed_journal_ends_the_nursery_and_reaches_the_caller(grouped: bool) -> None:
    failed = JournalFailed("disk full")
    work = Work(ExceptionGroup("", [failed]) if grouped else failed)
    work.go.set()
    async with trio.open_nursery() as outside:
        with pytest.RaisesGroup(pytest.RaisesExc(JournalFailed, match="disk full"), flatten_subgroups=True):
            async with trio.open_nursery() as nursery:
                caller = calling(Operations(nursery, deadline=DEADLINE), outside, work)("a", "x")
                await trio.sleep_forever()
        await wait_all_tasks_blocked()
    assert isinstance(caller.got, ExceptionGroup if grouped else JournalFailed)
