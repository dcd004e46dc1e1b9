"""The pool in virtual time, over links in memory: order, deadlines, losses, backoff, and nothing left behind."""

import math
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from random import Random

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from rdscsi.errors import DeviceUnavailable, OutcomeUnknown
from rdscsi.routeros.link import Exchange, LinkLost
from rdscsi.routeros.pool import PING_LINE, Pool, PoolSettings, open_pool
from rdscsi.routeros.transport import AnswerLost, ConnectRefused


class Appliance:
    """What the links lead to. A line's first word says what becomes of it; each takes a second."""

    def __init__(self) -> None:
        self.received: list[str] = []
        self.attempts: list[float] = []
        self.links: list[MemoryLink] = []
        self.trouble: DeviceUnavailable | None = None
        self.connect_time = 0.1
        self.mute_links: set[int] = set()
        """Numbers of links that never open a channel."""

    async def connect(self) -> "MemoryLink":
        self.attempts.append(trio.current_time())
        await trio.sleep(self.connect_time)
        if self.trouble is not None:
            raise self.trouble
        link = MemoryLink(self, len(self.links))
        self.links.append(link)
        return link

    @property
    def open_links(self) -> int:
        return sum(not link.over for link in self.links)


class MemoryLink:
    def __init__(self, appliance: Appliance, number: int) -> None:
        self._appliance = appliance
        self._number = number
        self._busy = False
        self.over = False
        self.dead = False
        self.silent = False

    @property
    def usable(self) -> bool:
        return not self.over

    async def run(self, exchange: Exchange) -> None:
        assert not self._busy, "a link carries one line at a time"
        assert not self.over
        self._busy, complete = True, False
        try:
            await self._carry(exchange)
            complete = True
        finally:
            self._busy = False
            if not complete:
                self.abort()

    async def _carry(self, exchange: Exchange) -> None:
        if self.silent:
            await trio.sleep_forever()
        if self.dead or self._number in self._appliance.mute_links:
            raise LinkLost("dead before the line left")
        exchange.sent = True
        self._appliance.received.append(exchange.line)
        await trio.sleep(1)
        exchange.output += b"some "
        word = exchange.line.split()[0]
        if word == "hang":
            await trio.sleep_forever()
        if word == "drop":
            raise LinkLost("dropped")
        exchange.output += f"answer to {exchange.line}".encode()

    def abort(self) -> None:
        self.over = True

    async def close(self) -> None:
        await trio.sleep(0.1)
        self.over = True


@asynccontextmanager
async def pool_over(appliance: Appliance, *, chance: float = 1.0, **settings: float) -> AsyncIterator[Pool]:
    chosen = PoolSettings(**{"connections": 2, **settings})  # type: ignore[arg-type]
    async with open_pool(connect=appliance.connect, settings=chosen, random=lambda: chance) as pool:
        yield pool
    assert appliance.open_links == 0
    assert pool.statistics().connections == pool.statistics().idle == pool.statistics().waiting == 0


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
