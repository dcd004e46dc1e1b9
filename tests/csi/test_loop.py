"""The asyncio loop that both doors share: its stray errors end nothing, its cancellations become errors."""

import asyncio
import gc

import pytest
import trio
from csi_logs import captured

from rdscsi.csi.loop import crossed, open_loop


async def test_a_callback_that_fails_is_logged_and_counted_and_ends_nothing() -> None:
    def fail() -> None:
        raise ValueError("in a callback")

    async def ask() -> str:
        asyncio.get_running_loop().call_soon(fail)
        await asyncio.sleep(0)
        return "still here"

    with captured() as logged:
        async with open_loop() as errors:
            assert await crossed(ask) == "still here"
    assert errors.count == 1
    (line,) = logged.records("loop.error")
    assert "in a callback" in line["exception"]


async def test_the_error_of_a_task_that_nobody_awaits_ends_nothing() -> None:
    async def fail() -> None:
        raise ValueError("in a task")

    async def ask() -> None:
        task = asyncio.ensure_future(fail())
        await asyncio.sleep(0)
        del task
        gc.collect()

    with captured() as logged:
        async with open_loop() as errors:
            await crossed(ask)
    assert errors.count == 1
    assert len(logged.records("loop.error")) == 1


async def test_what_an_asyncio_function_raises_arrives_as_it_is() -> None:
    async def fail(word: str) -> None:
        raise ValueError(word)

    async with open_loop():
        with pytest.raises(ValueError, match="this"):
            await crossed(fail, "this")


async def test_a_cancellation_by_somebody_on_the_other_side_becomes_an_error() -> None:
    async def cancelled() -> None:
        raise asyncio.CancelledError

    async with open_loop():
        with pytest.raises(OSError, match="cancelled on the asyncio side"):
            await crossed(cancelled)


async def test_a_cancellation_on_this_side_stays_one(autojump_clock: trio.testing.MockClock) -> None:
    async with open_loop():
        with trio.move_on_after(1) as waiting:
            await crossed(asyncio.sleep, 1000)
    assert waiting.cancelled_caught
