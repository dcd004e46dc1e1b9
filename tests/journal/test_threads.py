"""Where SQL runs: one job at a time, to its end or not at all, and never for ever."""

import threading
import time

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from rdscsi.journal import threads
from rdscsi.journal.threads import SqlThread


@pytest.mark.parametrize("inline", [True, False])
async def test_a_job_gives_its_result_or_its_error(inline: bool) -> None:
    thread = SqlThread(inline=inline)
    assert await thread.run(lambda: 7) == 7

    def fail() -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await thread.run(fail)
    assert not thread.stuck


@pytest.mark.parametrize("inline", [True, False])
async def test_a_job_that_is_cancelled_before_does_not_run(inline: bool) -> None:
    ran: list[int] = []
    with trio.CancelScope() as scope:
        scope.cancel()
        await SqlThread(inline=inline).run(lambda: ran.append(1))
    assert scope.cancelled_caught
    assert ran == []


async def test_a_job_that_runs_is_not_cut_short() -> None:
    go, ran = threading.Event(), []

    def job() -> None:
        assert go.wait(10)
        ran.append(1)

    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(SqlThread(inline=False).run, job)
            await wait_all_tasks_blocked()
            scope.cancel()
            go.set()
    assert ran == [1]


async def test_jobs_run_one_after_the_other_off_the_trio_thread() -> None:
    thread, running, seen = SqlThread(inline=False), [0], []

    def job() -> None:
        running[0] += 1
        seen.append((running[0], threading.current_thread() is threading.main_thread()))
        time.sleep(0.001)
        running[0] -= 1

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(thread.run, job)
    assert seen == [(1, False)] * 20


async def test_a_disk_that_hangs_is_given_up_and_its_thread_keeps_the_connection(mock_clock: MockClock) -> None:
    thread, go = SqlThread(inline=False), threading.Event()
    ended = trio.Event()

    async def give_up() -> None:
        with pytest.raises(trio.TooSlowError, match="the disk has not answered for 60 s"):
            await thread.run(lambda: go.wait(10))
        ended.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(give_up)
        await wait_all_tasks_blocked()
        mock_clock.jump(threads.JOB_SECONDS + 1)
        await ended.wait()
        assert thread.stuck
        go.set()
        while thread.stuck:
            await trio.lowlevel.checkpoint()
        assert await thread.run(lambda: "fine again") == "fine again"
