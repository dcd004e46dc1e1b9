"""Operations apart from the RPCs that ask for them: joining, refusing, deadlines, cancellation, draining."""

from collections.abc import Callable, Iterator

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from rdscsi.errors import (
    AlreadyExists,
    Busy,
    InvalidRequest,
    JournalFailed,
    OperationPending,
    OutcomeUnknown,
    ShuttingDown,
)
from rdscsi.observe import logs
from rdscsi.operations import Operations
from rdscsi.testing.logbook import Logbook, open_logbook

DEADLINE = 60.0


class Work:
    """An operation whose end the test decides; counts how often it began and whether it was cancelled."""

    def __init__(self, result: object = "made") -> None:
        self.began = 0
        self.cancelled = False
        self.go = trio.Event()
        self._result = result

    async def __call__(self) -> object:
        self.began += 1
        try:
            await self.go.wait()
        except trio.Cancelled:
            self.cancelled = True
            raise
        if isinstance(self._result, BaseException):
            raise self._result
        return self._result


class Caller:
    """A task that waits for an operation; what it got, and a scope to take it away."""

    def __init__(self, operations: Operations, subject: str, fingerprint: str, work: Work) -> None:
        self.scope = trio.CancelScope()
        self.got: object = None
        self._call = (subject, fingerprint, work)
        self._operations = operations

    async def __call__(self) -> None:
        subject, fingerprint, work = self._call
        with self.scope:
            try:
                self.got = await self._operations.run(subject, fingerprint, work)
            except Exception as error:
                self.got = error


@pytest.fixture
def log() -> Iterator[Logbook]:
    with open_logbook() as book:
        yield book


def calling(operations: Operations, nursery: trio.Nursery, work: Work) -> Callable[[str, str], Caller]:
    def call(subject: str, fingerprint: str) -> Caller:
        caller = Caller(operations, subject, fingerprint, work)
        nursery.start_soon(caller)
        return caller

    return call


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


async def test_a_caller_that_goes_away_ends_its_wait_only() -> None:
    async with trio.open_nursery() as nursery:
        operations = Operations(nursery, deadline=DEADLINE)
        work = Work()
        call = calling(operations, nursery, work)
        leaves, stays = call("a", "x"), call("a", "x")
        await wait_all_tasks_blocked()
        leaves.scope.cancel()
        await wait_all_tasks_blocked()
        assert leaves.scope.cancelled_caught
        assert operations.running == 1
        work.go.set()
        await wait_all_tasks_blocked()
        assert stays.got == "made"
        assert not work.cancelled


async def test_all_callers_gone_and_the_operation_ends_in_the_log(log: Logbook) -> None:
    async with trio.open_nursery() as nursery:
        operations = Operations(nursery, deadline=DEADLINE)
        work = Work(AlreadyExists("taken"))
        with logs.bound(rpc="CreateVolume", rpc_id="r1"):
            caller = calling(operations, nursery, work)("a", "x")
        await wait_all_tasks_blocked()
        caller.scope.cancel()
        await wait_all_tasks_blocked()
        work.go.set()
        await wait_all_tasks_blocked()
        assert operations.running == 0
    (event,) = log.events("operation.ended_alone")
    assert event["outcome"] == "AlreadyExists: taken"
    assert (event["rpc"], event["rpc_id"], event["subject"]) == ("CreateVolume", "r1", "a")


async def test_a_caller_that_was_cancelled_before_starts_nothing() -> None:
    async with trio.open_nursery() as nursery:
        operations = Operations(nursery, deadline=DEADLINE)
        work = Work()
        with trio.CancelScope() as scope:
            scope.cancel()
            await operations.run("a", "x", work)
        assert scope.cancelled_caught
        assert operations.running == 0
    assert work.began == 0


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


async def test_the_end_of_the_nursery_is_no_answer() -> None:
    work = Work()
    async with trio.open_nursery() as outside:
        async with trio.open_nursery() as nursery:
            caller = calling(Operations(nursery, deadline=DEADLINE), outside, work)("a", "x")
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        await wait_all_tasks_blocked()
    assert isinstance(caller.got, ShuttingDown)


class TestDrain:
    async def test_it_waits_for_what_runs_and_refuses_the_rest(self, autojump_clock: MockClock) -> None:
        async with trio.open_nursery() as nursery:
            operations = Operations(nursery, deadline=DEADLINE)
            began = trio.current_time()

            async def slow() -> str:
                await trio.sleep(7)
                return "made"

            results: list[str] = []

            async def call() -> None:
                results.append(await operations.run("a", "x", slow))

            nursery.start_soon(call)
            await wait_all_tasks_blocked()
            nursery.start_soon(operations.drain, 30)
            await wait_all_tasks_blocked()
            with pytest.raises(ShuttingDown, match="b: the process is ending"):
                await operations.run("b", "x", slow)
            assert await operations.run("a", "x", slow) == "made"  # joining adds no work
            await operations.drain(30)
            assert trio.current_time() - began == pytest.approx(7)
            await wait_all_tasks_blocked()
            assert results == ["made"]

    async def test_it_cancels_what_is_left_after_the_grace_period(
        self, autojump_clock: MockClock, log: Logbook
    ) -> None:
        async with trio.open_nursery() as nursery:
            operations = Operations(nursery, deadline=DEADLINE)
            work = Work()
            caller = calling(operations, nursery, work)("a", "x")
            await wait_all_tasks_blocked()
            began = trio.current_time()
            await operations.drain(10)
            assert trio.current_time() - began == pytest.approx(10)
            assert operations.running == 0
            await wait_all_tasks_blocked()
            assert work.cancelled
            assert isinstance(caller.got, ShuttingDown)
        assert [one["subject"] for one in log.events("operation.cut_short")] == ["a"]

    async def test_it_sees_the_end_of_what_it_cancelled(self, autojump_clock: MockClock) -> None:
        async with trio.open_nursery() as nursery:
            operations = Operations(nursery, deadline=DEADLINE)
            tidied = []

            async def tidies() -> None:
                try:
                    await trio.sleep_forever()
                finally:
                    with trio.CancelScope(shield=True):
                        await trio.sleep(3)
                    tidied.append(True)

            nursery.start_soon(Caller(operations, "a", "x", tidies))  # type: ignore[arg-type]
            await wait_all_tasks_blocked()
            await operations.drain(0)
            assert tidied == [True]

    async def test_it_has_nothing_to_wait_for_when_idle(self, autojump_clock: MockClock) -> None:
        async with trio.open_nursery() as nursery:
            operations = Operations(nursery, deadline=DEADLINE)
            before = autojump_clock.current_time()
            await operations.drain(30)
            assert autojump_clock.current_time() == before


async def test_who_waits_for_an_idle_subject_comes_next(log: Logbook) -> None:
    async with trio.open_nursery() as nursery:
        operations = Operations(nursery, deadline=DEADLINE)
        order: list[str] = []
        first, second = Work(), Work()

        async def after() -> None:
            await operations.wait_idle("a")
            order.append("idle")

            async def mine() -> None:
                order.append("mine")

            await operations.run("a", "mine", mine)

        calling(operations, nursery, first)("a", "x")
        await wait_all_tasks_blocked()
        nursery.start_soon(after)
        await wait_all_tasks_blocked()
        assert order == []
        first.go.set()
        await wait_all_tasks_blocked()
        assert order == ["idle", "mine"]
        await operations.wait_idle("a")  # nothing runs: at once
        calling(operations, nursery, second)("b", "x")
        await wait_all_tasks_blocked()
        await operations.wait_idle("a")  # another subject's work is none of its business
        second.go.set()
