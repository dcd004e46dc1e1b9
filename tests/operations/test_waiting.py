"""Callers that go away, and whoever waits for a subject to become idle."""

from collections.abc import Iterator

import pytest
import trio
from operation_callers import DEADLINE, Work, calling
from trio.testing import wait_all_tasks_blocked

from rdscsi.errors import AlreadyExists
from rdscsi.observe import logs
from rdscsi.operations import Operations
from rdscsi.testing.logbook import Logbook, open_logbook


@pytest.fixture
def log() -> Iterator[Logbook]:
    with open_logbook() as book:
        yield book


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


async def test_whether_anybody_waits_for_it_is_told() -> None:
    async with trio.open_nursery() as nursery:
        operations = Operations(nursery, deadline=DEADLINE)
        work = Work()
        call = calling(operations, nursery, work)
        assert not operations.waited_for("a")
        first, second = call("a", "x"), call("a", "x")
        await wait_all_tasks_blocked()
        assert operations.waited_for("a")
        assert not operations.waited_for("b")
        first.scope.cancel()
        await wait_all_tasks_blocked()
        assert operations.waited_for("a")
        second.scope.cancel()
        await wait_all_tasks_blocked()
        assert not operations.waited_for("a")
        third = call("a", "x")
        await wait_all_tasks_blocked()
        assert operations.waited_for("a")
        work.go.set()
        await wait_all_tasks_blocked()
        assert third.got == "made"
        assert not operations.waited_for("a")


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
