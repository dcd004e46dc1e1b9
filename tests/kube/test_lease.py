"""Who holds a Lease, and until when: never two, by whatever clocks, delays, losses and absences."""

import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NoReturn

import pytest
import trio
from trio.testing import MockClock

from rdscsi.errors import ClusterUnavailable, StandingBy
from rdscsi.kube.lease import Lease, Timing, open_lease
from rdscsi.testing.leases import LeaseClient, LeaseServer

KEY = ("rdscsi", "controller")
TIMING = Timing()


class Candidate:
    """One controller's part in the election."""

    def __init__(self, server: LeaseServer, name: str, timing: Timing = TIMING) -> None:
        self.client = LeaseClient(server)
        self.lease = Lease(self.client, *KEY, name, timing=timing, wall=lambda: 1_795_575_600.0 + trio.current_time())
        self.changes: list[tuple[float, bool]] = []
        self.lease.watch(lambda: self.changes.append((trio.current_time(), self.lease.held)))


@asynccontextmanager
async def electing(*candidates: Candidate) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        for one in candidates:
            await stack.enter_async_context(open_lease(one.lease))
            await trio.testing.wait_all_tasks_blocked()
        yield


def spec(server: LeaseServer) -> dict[str, object]:
    found: dict[str, object] = server.objects[KEY]["spec"]
    return found


async def test_the_first_one_makes_it_and_keeps_it(autojump_clock: MockClock) -> None:
    server = LeaseServer()
    one, two = Candidate(server, "one"), Candidate(server, "two")
    async with electing(one, two):
        await trio.sleep(601)
        assert (one.lease.held, two.lease.held) == (True, False)
        assert (one.changes, two.changes) == ([(0.0, True)], [])
        assert spec(server) == {
            "holderIdentity": "one",
            "leaseDurationSeconds": 30,
            "acquireTime": "2026-11-25T03:00:00.000000Z",
            "renewTime": "2026-11-25T03:10:00.000000Z",
            "leaseTransitions": 0,
        }
        assert two.lease.told == "the Lease rdscsi/controller was last seen held by one"
        with pytest.raises(StandingBy, match="held by one"):
            await two.lease.confirm()
        assert await one.lease.confirm() == 0


async def test_who_ends_well_gives_it_back_at_once(autojump_clock: MockClock) -> None:
    server = LeaseServer()
    one, two = Candidate(server, "one"), Candidate(server, "two")
    async with electing(two):
        async with electing(one):
            pass
        assert two.lease.held  # it was first
    async with electing(one):
        assert one.lease.held
        assert await one.lease.confirm() == 1
    assert "holderIdentity" not in spec(server)
    async with electing(two):
        assert two.lease.held
        assert await two.lease.confirm() == 2


async def test_who_dies_is_waited_for_a_whole_term_since_his_last_renewal(autojump_clock: MockClock) -> None:
    server = LeaseServer()
    one, two = Candidate(server, "one"), Candidate(server, "two")
    async with trio.open_nursery() as lives:
        dying = await lives.start(_life, one)
        lives.start_soon(two.lease.keep)
        await trio.sleep(101)
        dying.cancel()  # nothing is given back
        await trio.sleep(TIMING.duration - 2)
        assert not two.lease.held
        await trio.sleep(TIMING.retry_period + 2)
        assert two.lease.held
        assert spec(server)["leaseTransitions"] == 1
        lives.cancel_scope.cancel()


async def test_who_dies_and_comes_back_under_its_name_goes_on_at_once(autojump_clock: MockClock) -> None:
    server = LeaseServer()
    one, two = Candidate(server, "one"), Candidate(server, "two")
    async with trio.open_nursery() as lives:
        dying = await lives.start(_life, one)
        lives.start_soon(two.lease.keep)
        await trio.sleep(101)
        dying.cancel()
        again = Candidate(server, "one")
        lives.start_soon(again.lease.keep)
        await trio.sleep(1)
        assert again.lease.held
        assert await again.lease.confirm() == 0
        await trio.sleep(60)
        assert not two.lease.held
        lives.cancel_scope.cancel()


async def test_a_holder_without_the_server_stops_before_anybody_else_may_begin(autojump_clock: MockClock) -> None:
    server = LeaseServer()
    one, two = Candidate(server, "one"), Candidate(server, "two")
    async with electing(one, two):
        await trio.sleep(101)
        one.client.up = False
        await trio.sleep(300)
        [(_, won), (lost_at, lost)], [(began_at, began)] = one.changes, two.changes
        assert (won, lost, began) == (True, False, True)
        assert 100 < lost_at <= 100 + TIMING.renew_deadline
        assert began_at >= 100 + TIMING.duration
        with pytest.raises(ClusterUnavailable):
            await one.lease.confirm()
        one.client.up = True
        await trio.sleep(60)
        assert (one.lease.held, two.lease.held) == (False, True)


async def test_a_holder_whose_server_is_away_for_everybody_goes_on_with_it_afterwards(
    autojump_clock: MockClock,
) -> None:
    server = LeaseServer()
    one, two = Candidate(server, "one"), Candidate(server, "two")
    async with electing(one, two):
        await trio.sleep(11)
        one.client.up = two.client.up = False
        await trio.sleep(100)
        assert not one.lease.held
        one.client.up = True
        await trio.sleep(10)
        assert one.lease.held
        assert await one.lease.confirm() == 0  # nobody else had it
        two.client.up = True
        await trio.sleep(100)
        assert one.lease.held


async def test_a_short_absence_is_no_loss(autojump_clock: MockClock) -> None:
    server = LeaseServer()
    one = Candidate(server, "one")
    async with electing(one):
        for _ in range(10):
            one.client.up = False
            await trio.sleep(9)
            one.client.up = True
            await trio.sleep(11)
        assert one.changes == [(0.0, True)]


async def test_a_request_that_hangs_does_not_lengthen_the_term(autojump_clock: MockClock) -> None:
    server = LeaseServer()
    one = Candidate(server, "one")
    async with electing(one):
        await trio.sleep(12)
        one.client.delay = lambda: 4.9  # each exchange takes too long, and each is waited for
        await trio.sleep(19)
        assert one.changes == [(0.0, True), (10.0 + TIMING.renew_deadline, False)]


async def test_a_reply_that_is_lost_gives_nothing_and_is_found_by_the_next_look(autojump_clock: MockClock) -> None:
    server = LeaseServer()
    one = Candidate(server, "one")
    one.client.lose_reply = lambda method: method == "POST"
    async with electing(one):
        await trio.sleep(6)
        assert spec(server)["holderIdentity"] == "one"
        assert not one.lease.held
        await trio.sleep(6)
        assert one.lease.held


async def test_of_two_that_write_at_once_one_is_refused(autojump_clock: MockClock) -> None:
    server = LeaseServer()
    candidates = [Candidate(server, name) for name in ("one", "two", "three")]
    for one in candidates:
        one.client.delay = lambda: 0.5
    async with trio.open_nursery() as nursery:
        for one in candidates:
            nursery.start_soon(one.lease.keep)
        await trio.sleep(60)
        assert [one.lease.held for one in candidates].count(True) == 1
        nursery.cancel_scope.cancel()


async def test_who_finds_anothers_name_in_it_has_lost_it_at_once(autojump_clock: MockClock) -> None:
    """A person, or a restored etcd, has changed it under the holder."""
    server = LeaseServer()
    one = Candidate(server, "one")
    async with electing(one):
        await trio.sleep(12)
        found = server.objects[KEY]
        server.write(KEY, {**found, "spec": {**found["spec"], "holderIdentity": "two"}})
        await trio.sleep(5)
        assert not one.lease.held
        await trio.sleep(TIMING.duration + TIMING.retry_period)
        assert one.lease.held


async def test_a_lease_that_is_deleted_is_made_again(autojump_clock: MockClock) -> None:
    server = LeaseServer()
    one = Candidate(server, "one")
    async with electing(one):
        await trio.sleep(12)
        server.objects.clear()
        await trio.sleep(6)
        assert one.changes == [(0.0, True)]
        assert spec(server)["holderIdentity"] == "one"


@pytest.mark.parametrize(
    ("change", "free_at_once"),
    [
        ({"holderIdentity": None}, True),
        ({"holderIdentity": ""}, True),
        ({"leaseDurationSeconds": None}, False),
        ({"leaseDurationSeconds": 1}, False),
        ({"renewTime": None, "acquireTime": None, "leaseTransitions": None}, False),
        ({"renewTime": "2001-01-01T00:00:00.000000Z"}, False),
    ],
)
async def test_what_a_lease_does_not_say_never_shortens_a_term(
    change: dict[str, object], free_at_once: bool, autojump_clock: MockClock
) -> None:
    """Its times are for people: a clock that is wrong by years changes nothing."""
    server = LeaseServer()
    said = {"holderIdentity": "other", "leaseDurationSeconds": 30, "leaseTransitions": 4, "renewTime": "x", **change}
    server.write(KEY, {"metadata": {"name": "controller"}, "spec": said})
    one = Candidate(server, "one")
    async with electing(one):
        await trio.sleep(TIMING.duration - 1)
        assert one.lease.held is free_at_once
        await trio.sleep(TIMING.retry_period + 2)
        assert one.lease.held


async def test_a_longer_term_is_waited_for(autojump_clock: MockClock) -> None:
    server = LeaseServer()
    said = {"holderIdentity": "other", "leaseDurationSeconds": 120}
    server.write(KEY, {"metadata": {"name": "controller"}, "spec": said})
    one = Candidate(server, "one")
    async with electing(one):
        await trio.sleep(119)
        assert not one.lease.held
        await trio.sleep(7)
        assert one.lease.held


@pytest.mark.parametrize("answer", [{"metadata": {}}, {}])
async def test_what_is_no_lease_is_no_lease(answer: dict[str, object], autojump_clock: MockClock) -> None:
    one = Candidate(LeaseServer(), "one")
    one.client.server.objects[KEY] = answer
    with pytest.raises(ClusterUnavailable, match="resourceVersion"):
        await one.lease.confirm()


@pytest.mark.parametrize("seed", range(20))
async def test_never_two_at_once_whatever_happens(seed: int, autojump_clock: MockClock) -> None:
    """Three candidates, for an hour of absences, delays, losses and standstills, their clocks off by a tenth.

    Who holds it has a slow clock, and stops late; who waits has a fast one, and begins early.
    """
    dice = random.Random(seed)
    server = LeaseServer()
    worst = Timing(duration=27, renew_deadline=22.0, retry_period=5.0)
    candidates = [Candidate(server, f"c{number}", worst) for number in range(3)]
    for one in candidates:
        one.client.delay = lambda: dice.uniform(0.0, 3.0)
        one.client.lose_reply = lambda method: dice.random() < 0.1
    held_for = 0.0
    async with trio.open_nursery() as nursery:
        for one in candidates:
            nursery.start_soon(_living, one, dice)
        for _ in range(3600):
            await trio.sleep(1)
            holders = [one.lease.identity for one in candidates if one.lease.held]
            assert len(holders) <= 1, holders
            held_for += len(holders)
            if dice.random() < 0.02:
                troubled = dice.choice(candidates)
                troubled.client.up = not troubled.client.up
        nursery.cancel_scope.cancel()
    assert held_for > 600


async def _life(one: Candidate, task_status: "trio.TaskStatus[trio.CancelScope]" = trio.TASK_STATUS_IGNORED) -> None:
    with trio.CancelScope() as scope:
        task_status.started(scope)
        await one.lease.keep()


async def _living(one: Candidate, dice: random.Random) -> NoReturn:
    """Stand still now and then, as a frozen process does."""
    while True:
        with trio.move_on_after(dice.uniform(30, 600)):
            await one.lease.keep()
        await trio.sleep(dice.uniform(0, 90))
