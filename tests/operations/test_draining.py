"""The end of a process: what runs is waited for, what is left is cancelled, nothing new begins."""

from collections.abc import Iterator

import pytest
import trio
from operation_callers import DEADLINE, Caller, Work, calling
from trio.testing import MockClock, wait_all_tasks_blocked

from rdscsi.errors import ShuttingDown
from rdscsi.operations import Operations
from rdscsi.testing.logbook import Logbook, open_logbook


@pytest.fixture
def log() -> Iterator[Logbook]:
    with open_logbook() as book:
        yield book


async def test_draining_waits_for_what_runs_and_refuses_the_rest(autojump_clock: MockClock) -> None:
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


async def test_draining_cancels_what_is_left_after_the_grace_period(autojump_clock: MockClock, log: Logbook) -> None:
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


async def test_draining_sees_the_end_of_what_it_cancelled(autojump_clock: MockClock) -> None:
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

        nursery.start_soon(Caller(operations, "a", "x", tidies))
        await wait_all_tasks_blocked()
        await operations.drain(0)
        assert tidied == [True]


async def test_draining_has_nothing_to_wait_for_when_idle(autojump_clock: MockClock) -> None:
    async with trio.open_nursery() as nursery:
        operations = Operations(nursery, deadline=DEADLINE)
        before = autojump_clock.current_time()
        await operations.drain(30)
        assert autojump_clock.current_time() == before


async def test_the_end_of_the_nursery_is_no_answer() -> None:
    work = Work()
    async with trio.open_nursery() as outside:
        async with trio.open_nursery() as nursery:
            caller = calling(Operations(nursery, deadline=DEADLINE), outside, work)("a", "x")
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        await wait_all_tasks_blocked()
    assert isinstance(caller.got, ShuttingDown)
