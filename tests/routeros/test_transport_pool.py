"""The pool in virtual time, over links in memory: order, deadlines, losses and backoff."""

import math
from functools import partial

import pytest
import trio
import trio.testing
from memory_link import Appliance, pool_over
from trio.testing import MockClock

from rdscsi.errors import DeviceUnavailable
from rdscsi.routeros.pool import Pool
from rdscsi.routeros.transport import AnswerLost, ConnectRefused


async def test_a_line_gets_its_answer(autojump_clock: MockClock) -> None:
    async with pool_over(Appliance()) as pool:
        assert await pool.run("a", deadline=5) == "some answer to a"
        statistics = pool.statistics()
    assert (statistics.connections, statistics.idle, statistics.commands, statistics.connects) == (1, 1, 1, 1)


async def test_waiting_lines_are_served_in_order_of_arrival_over_few_links(autojump_clock: MockClock) -> None:
    appliance = Appliance()
    names = [f"line{number}" for number in range(9)]
    async with pool_over(appliance) as pool, trio.open_nursery() as nursery:
        for name in names:
            nursery.start_soon(partial(pool.run, name, deadline=60))
            await trio.testing.wait_all_tasks_blocked()
        assert pool.statistics().waiting == 9
    pairs = [set(appliance.received[at : at + 2]) for at in range(0, 9, 2)]  # the two links go on at the same moment
    assert pairs == [set(names[at : at + 2]) for at in range(0, 9, 2)]
    assert len(appliance.links) == 2


async def test_no_link_is_made_before_a_line_needs_it(autojump_clock: MockClock) -> None:
    appliance = Appliance()
    async with pool_over(appliance, connections=4) as pool:
        await trio.testing.wait_all_tasks_blocked()
        assert appliance.attempts == []
        for _ in range(5):
            await pool.run("a", deadline=5)
    assert len(appliance.links) == 1


async def test_the_deadline_covers_queueing_and_nothing_was_sent(autojump_clock: MockClock) -> None:
    appliance = Appliance()
    async with pool_over(appliance, connections=1) as pool, trio.open_nursery() as nursery:
        nursery.start_soon(partial(pool.run, "first", deadline=60))
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(DeviceUnavailable, match=r"not sent within 0\.5 s: 1 connections, 0 in the making, 0 other"):
            await pool.run("second", deadline=0.5)
        with pytest.raises(DeviceUnavailable):
            await pool.run("third", deadline=-1)
    assert appliance.received == ["first"]


async def test_a_deadline_after_sending_leaves_the_outcome_unknown_and_ends_the_link(autojump_clock: MockClock) -> None:
    appliance = Appliance()
    async with pool_over(appliance) as pool:
        with pytest.raises(AnswerLost, match="no complete answer within 5 s") as caught:
            await pool.run("hang", deadline=5)
        assert caught.value.partial == "some"
        assert appliance.open_links == 0
        assert pool.statistics().last_error == "no complete answer within 5 s"
        assert await pool.run("next", deadline=5) == "some answer to next"
    assert appliance.received == ["hang", "next"]


async def test_cancelling_a_line_in_flight_ends_its_link(autojump_clock: MockClock) -> None:
    appliance = Appliance()
    async with pool_over(appliance) as pool:
        with trio.move_on_after(3):
            await pool.run("hang", deadline=60)
        assert appliance.open_links == 0
        assert pool.statistics().connections == 0


async def test_a_dropped_line_is_never_sent_again(autojump_clock: MockClock) -> None:
    appliance = Appliance()
    async with pool_over(appliance) as pool:
        with pytest.raises(AnswerLost, match="dropped"):
            await pool.run("drop it", deadline=60)
    assert appliance.received == ["drop it"]


async def test_lines_wait_while_the_appliance_is_away_and_are_sent_when_it_returns(autojump_clock: MockClock) -> None:
    appliance = Appliance()
    appliance.trouble = DeviceUnavailable("connection refused")
    async with pool_over(appliance) as pool, trio.open_nursery() as nursery:
        for name in "abc":
            nursery.start_soon(partial(pool.run, name, deadline=60))
        await trio.sleep(10)
        assert pool.statistics().failures > 3
        assert pool.statistics().last_error == "connection refused"
        appliance.trouble = None
    assert sorted(appliance.received) == ["a", "b", "c"]
    assert pool.statistics().failures == 0


async def test_a_line_that_cannot_be_sent_in_time_says_why(autojump_clock: MockClock) -> None:
    appliance = Appliance()
    appliance.trouble = DeviceUnavailable("connection refused")
    async with pool_over(appliance) as pool:
        with pytest.raises(DeviceUnavailable, match="failed attempts to connect, the last: connection refused"):
            await pool.run("a", deadline=5)
        appliance.trouble = None
        appliance.connect_time = math.inf
        with pytest.raises(DeviceUnavailable, match=r"the last: no connection within 15 s"):
            await pool.run("a", deadline=40)


async def test_attempts_come_one_at_a_time_and_ever_more_slowly(autojump_clock: MockClock) -> None:
    appliance = Appliance()
    appliance.trouble = DeviceUnavailable("connection refused")
    appliance.connect_time = 0
    async with pool_over(appliance, connections=4) as pool, trio.open_nursery() as nursery:

        async def wait_in_vain() -> None:
            with pytest.raises(DeviceUnavailable):
                await pool.run("a", deadline=100)

        for _ in range(8):
            nursery.start_soon(wait_in_vain)
    gaps = [after - before for before, after in zip(appliance.attempts[3:], appliance.attempts[4:], strict=False)]
    assert gaps == pytest.approx([0.25, 0.5, 1, 2, 4, 8, 16, 30, 30])
    assert pool.statistics().failures == 10


async def test_nobody_connects_for_lines_that_gave_up(autojump_clock: MockClock) -> None:
    appliance = Appliance()
    appliance.trouble = DeviceUnavailable("connection refused")
    async with pool_over(appliance) as pool:
        with pytest.raises(DeviceUnavailable):
            await pool.run("a", deadline=5)
        before = len(appliance.attempts)
        await trio.sleep(1000)
        assert len(appliance.attempts) <= before


async def test_a_refusal_fails_those_that_wait_at_once_and_others_until_the_next_attempt(
    autojump_clock: MockClock,
) -> None:
    class Wrong(ConnectRefused):
        pass

    appliance = Appliance()
    appliance.trouble = Wrong("wrong key")
    refused: list[float] = []

    async def expect_refusal(pool: Pool) -> None:
        with pytest.raises(Wrong, match="wrong key"):
            await pool.run("a", deadline=60)
        refused.append(trio.current_time())

    start = trio.current_time()
    async with pool_over(appliance, first_backoff=10) as pool, trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(expect_refusal, pool)
        await trio.sleep(1)
        assert len(refused) == 5
        await expect_refusal(pool)
        assert refused[-1] - start == 1
        appliance.trouble = None
        await trio.sleep(10)
        assert await pool.run("b", deadline=5) == "some answer to b"
    assert appliance.received == ["b"]
