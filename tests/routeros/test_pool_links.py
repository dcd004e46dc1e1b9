"""The life of links in the pool: pings, replacements, idle ones, the end; and nothing is left behind."""

import math
from collections import Counter
from functools import partial
from random import Random

import pytest
import trio
import trio.testing
from memory_link import Appliance, MemoryLink, pool_over
from trio.testing import MockClock

from rdscsi.errors import DeviceUnavailable, OutcomeUnknown
from rdscsi.routeros.link import Exchange, LinkLost
from rdscsi.routeros.pool import PING_LINE, Pool
from rdscsi.routeros.transport import AnswerLost, ConnectRefused


async def test_a_link_that_was_silent_for_long_is_pinged_before_it_gets_a_line(autojump_clock: MockClock) -> None:
    appliance = Appliance()
    async with pool_over(appliance) as pool:
        await pool.run("a", deadline=5)
        await trio.sleep(29)
        await pool.run("b", deadline=5)
        await trio.sleep(31)
        await pool.run("c", deadline=5)
    assert appliance.received == ["a", "b", PING_LINE, "c"]
    assert len(appliance.links) == 1


@pytest.mark.parametrize("trouble", ["dead", "silent"])
async def test_silent_links_that_do_not_answer_are_replaced_together(trouble: str, autojump_clock: MockClock) -> None:
    appliance = Appliance()
    async with pool_over(appliance, ping_after=30) as pool:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(pool.run, "a", deadline=5))
            nursery.start_soon(partial(pool.run, "b", deadline=5))
        for link in appliance.links:
            setattr(link, trouble, True)
        await trio.sleep(60)
        start = trio.current_time()
        assert await pool.run("c", deadline=10) == "some answer to c"
        assert trio.current_time() - start == pytest.approx(1.1 if trouble == "dead" else 6.1)
    assert Counter(appliance.received) == Counter("abc")
    assert len(appliance.links) == 3


async def test_links_that_never_carry_a_line_count_as_failed_attempts(autojump_clock: MockClock) -> None:
    appliance = Appliance()
    appliance.mute_links = {0, 1, 2}
    async with pool_over(appliance) as pool:
        assert await pool.run("a", deadline=60) == "some answer to a"
    assert appliance.received == ["a"]
    gaps = [after - before for before, after in zip(appliance.attempts, appliance.attempts[1:], strict=False)]
    assert gaps == pytest.approx([0.35, 0.6, 1.1])


async def test_a_link_that_dies_unsent_is_replaced_within_the_deadline(autojump_clock: MockClock) -> None:
    appliance = Appliance()
    async with pool_over(appliance) as pool:
        await pool.run("a", deadline=5)
        appliance.links[0].dead = True
        assert await pool.run("b", deadline=5) == "some answer to b"
    assert appliance.received == ["a", "b"]


async def test_idle_links_are_closed_after_long(autojump_clock: MockClock) -> None:
    appliance = Appliance()
    async with pool_over(appliance, ping_after=math.inf) as pool:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(pool.run, "a", deadline=5))
            nursery.start_soon(partial(pool.run, "b", deadline=5))
        await trio.sleep(200)
        await pool.run("c", deadline=5)
        await trio.sleep(150)
        assert appliance.open_links == pool.statistics().connections == 1
        await trio.sleep(200)
        assert appliance.open_links == pool.statistics().connections == 0
        await pool.run("d", deadline=5)


async def test_closing_cuts_lines_in_flight_and_tells_those_that_wait(autojump_clock: MockClock) -> None:
    class StubbornLink(MemoryLink):
        async def _carry(self, exchange: Exchange) -> None:
            exchange.sent = True
            while not self.over:
                await trio.sleep(0.01)
            raise LinkLost("aborted")

    class StubbornAppliance(Appliance):
        async def connect(self) -> MemoryLink:
            return StubbornLink(self, 0)

    errors: list[Exception] = []

    async def send(pool: Pool) -> None:
        with pytest.raises((DeviceUnavailable, OutcomeUnknown)) as caught:
            await pool.run("a", deadline=1000)
        errors.append(caught.value)

    async with trio.open_nursery() as nursery:
        async with pool_over(StubbornAppliance(), connections=1) as pool:
            nursery.start_soon(send, pool)
            nursery.start_soon(send, pool)
            await trio.sleep(1)
        await send(pool)
    assert sorted(type(error).__name__ for error in errors) == ["AnswerLost", "DeviceUnavailable", "DeviceUnavailable"]


async def test_an_error_in_the_body_leaves_as_it_was_raised(autojump_clock: MockClock) -> None:
    with pytest.raises(KeyError, match="mine") as caught:
        async with pool_over(Appliance()) as pool:
            await pool.run("a", deadline=5)
            raise KeyError("mine")
    assert caught.value.__cause__ is None


async def test_several_errors_of_the_body_stay_together(autojump_clock: MockClock) -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with pool_over(Appliance()):
            raise ExceptionGroup("two", [KeyError("a"), ValueError("b")])
    assert caught.value.message == "two"


async def test_a_bug_in_connecting_comes_out_beside_what_the_body_raises(autojump_clock: MockClock) -> None:
    class Buggy(Appliance):
        async def connect(self) -> MemoryLink:
            raise KeyError("bug")

    with pytest.RaisesGroup(KeyError, ValueError, flatten_subgroups=True):
        async with pool_over(Buggy()) as pool:
            try:
                await pool.run("a", deadline=5)
            finally:
                raise ValueError("mine")


async def test_a_caller_that_leaves_as_it_is_refused_leaves_nothing(autojump_clock: MockClock) -> None:
    class Refusing(Appliance):
        async def connect(self) -> MemoryLink:
            scope.cancel()
            raise ConnectRefused("no")

    with trio.CancelScope() as scope:
        async with pool_over(Refusing()) as pool:
            with trio.CancelScope() as scope:
                await pool.run("a", deadline=5)
            assert scope.cancelled_caught
            assert pool.statistics().waiting == 0


async def test_cancelling_the_body_ends_attempts_and_links(autojump_clock: MockClock) -> None:
    appliance = Appliance()
    appliance.connect_time = 5
    with trio.move_on_after(2) as scope:
        async with pool_over(appliance) as pool:
            await pool.run("a", deadline=60)
    assert scope.cancelled_caught
    assert len(appliance.attempts) == 1


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_is_cancelled_or_lost_every_line_is_sent_at_most_once(
    seed: int, autojump_clock: MockClock
) -> None:
    dice = Random(seed)
    appliance = Appliance()
    appliance.mute_links = {number for number in range(200) if dice.random() < 0.2}
    outcomes: Counter[str] = Counter()

    async def send(pool: Pool, number: int, start: float, word: str, patience: float, deadline: float) -> None:
        await trio.sleep(start)
        line, outcome = f"{word} {number}", "cancelled"
        with trio.move_on_after(patience):
            try:
                await pool.run(line, deadline=deadline)
                outcome = "done"
            except AnswerLost:
                outcome = "unknown"
            except DeviceUnavailable:
                outcome = "unsent"
                assert line not in appliance.received
        outcomes[outcome] += 1

    async with pool_over(appliance, connections=3) as pool, trio.open_nursery() as nursery:
        for number in range(200):
            word = dice.choice(["say", "say", "say", "hang", "drop"])
            patience, deadline = dice.choice([0, 0.5, 1, 3, 100]), dice.choice([0, 0.5, 1.1, 5, 40])
            nursery.start_soon(send, pool, number, dice.random() * 600, word, patience, deadline)
    lines = [line for line in appliance.received if line != PING_LINE]
    assert len(set(lines)) == len(lines)
    assert outcomes.total() == 200
    assert outcomes["done"] > 5
