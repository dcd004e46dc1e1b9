"""Controllers that lead only with a Lease (docs/adr/0007): one at a time, and the next one takes over completely."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from rdscsi import names
from rdscsi.config import LeaseName
from rdscsi.controller.opening import open_leading
from rdscsi.errors import Fenced, NotFinal, SettingsInvalid, StandingBy, Superseded
from rdscsi.journal.files import rebuild_wish
from rdscsi.kube.lease import Lease, Timing, open_lease
from rdscsi.tags import Marker, parse_marker
from rdscsi.testing.clock import wall_clock
from rdscsi.testing.invariants import holdings
from rdscsi.testing.leases import LeaseClient, LeaseServer
from rdscsi.testing.orchestrator import attach, settle, wish
from rdscsi.testing.world import BACKEND, CLUSTER, Process, World

MARKER = names.marker_slot(CLUSTER, BACKEND)
TIMING = Timing()


class Candidate:
    """One pod: its way to the API server, its Lease, and its journal, which outlives the process."""

    def __init__(self, world: World, server: LeaseServer, name: str) -> None:
        self.world = world
        self.server = server
        self.name = name
        self.client = LeaseClient(server)
        self.journal = world.directory / f"{name}.db"
        self.starts = 0

    @asynccontextmanager
    async def running(self, *, ready: bool = True) -> AsyncIterator[Process]:
        """Run one process of the pod while the body runs; it ends well."""
        self.starts += 1
        identity = f"{self.name}_{self.starts}"
        self.lease = Lease(self.client, "rdscsi", "controller", identity, timing=TIMING, wall=wall_clock)
        opened = self.world.process(self.journal, ready=ready, lease=self.lease)
        async with open_lease(self.lease), opened as process:
            yield process

    async def restarted(self) -> None:
        """Start the process again each time it ends because its journal was superseded, as a kubelet does."""
        while True:
            with trio.CancelScope():
                try:
                    async with self.running(ready=False) as process:
                        self.process = process
                        await trio.sleep_forever()
                except* Superseded:
                    pass
            await trio.sleep(1)


@pytest.fixture
def server() -> LeaseServer:
    return LeaseServer()


@pytest.fixture
def one(world: World, server: LeaseServer) -> Candidate:
    return Candidate(world, server, "one")


@pytest.fixture
def two(world: World, server: LeaseServer) -> Candidate:
    return Candidate(world, server, "two")


async def test_who_has_the_lease_leads_and_the_other_one_stands_by(
    world: World, one: Candidate, two: Candidate, autojump_clock: MockClock
) -> None:
    async with one.running() as first, two.running(ready=False) as second:
        volume = await first.controller.create_volume(wish("pvc-1"))
        await trio.sleep(600)
        assert (first.controller.ready(), second.controller.ready()) == (True, False)
        assert marker(world).token_counter == 1
        before, lines = holdings(world.machine), len(world.appliance.history)
        for call in calls(second, volume.volume_id):
            with pytest.raises(StandingBy, match="held by one_1"):
                await call()
        assert (holdings(world.machine), len(world.appliance.history)) == (before, lines)
        waits = await second.journal.get_meta("controller.waits")
        assert waits is not None
        assert "StandingBy" in waits


async def test_a_leader_that_ends_well_is_followed_at_once_by_one_that_takes_over_completely(
    world: World, one: Candidate, two: Candidate, autojump_clock: MockClock
) -> None:
    async with one.running() as first:
        volume = await first.controller.create_volume(wish("pvc-1"))
        context = await first.controller.publish_volume(attach(volume))
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(two.restarted)
            await trio.sleep(60)
            nursery.cancel_scope.cancel()
    async with two.running() as second:
        assert trio.current_time() - began < 60 + 10
        assert marker(world).journal_id == second.journal.id
        assert await second.controller.publish_volume(attach(volume)) == context
        assert await settle(lambda: second.controller.create_volume(wish("pvc-1"))) == volume


async def test_a_leader_without_the_api_server_stops_before_the_next_one_begins(
    world: World, one: Candidate, two: Candidate, autojump_clock: MockClock
) -> None:
    async with one.running() as first, two.running(ready=False) as second:
        volume = await first.controller.create_volume(wish("pvc-1"))
        await trio.sleep(11)
        one.client.up = False
        began = trio.current_time()
        while first.controller.ready():
            await trio.sleep(0.1)
        assert trio.current_time() - began <= TIMING.renew_deadline
        assert first.controller.backend.device.fenced
        assert not second.controller.ready()
        before = holdings(world.machine)
        for call in calls(first, volume.volume_id):
            with pytest.raises(Fenced):
                await call()
        assert holdings(world.machine) == before
        await second.wait_ready()
        assert trio.current_time() - began >= TIMING.duration - TIMING.retry_period
        assert marker(world).token_counter == 2
        await second.controller.delete_volume(volume.volume_id)


async def test_a_leader_goes_on_by_itself_when_the_api_server_was_away_for_everybody(
    world: World, one: Candidate, autojump_clock: MockClock
) -> None:
    async with one.running() as first:
        volume = await first.controller.create_volume(wish("pvc-1"))
        one.client.up = False
        await trio.sleep(100)
        with pytest.raises(StandingBy):
            await first.controller.publish_volume(attach(volume))
        one.client.up = True
        await settle(lambda: first.controller.publish_volume(attach(volume)))
        assert marker(world).token_counter == 2  # a full take-over, of its own token
        assert first.controller.ready()


async def test_a_call_that_runs_when_the_lease_is_lost_sends_nothing_more(
    world: World, one: Candidate, autojump_clock: MockClock
) -> None:
    async with one.running() as first:
        volume = await first.controller.create_volume(wish("pvc-1"))
        world.delay = lambda _: 12.0  # a line and its answer take longer than what is left of the term
        one.client.up = False
        answers: list[object] = []

        async def ask() -> None:
            try:
                await first.controller.delete_volume(volume.volume_id)
                answers.append("deleted")
                await first.controller.create_volume(wish("pvc-2"))
            except NotFinal as error:
                answers.append(error)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await trio.sleep(60)
        lines = len(world.appliance.history)
        assert [isinstance(answer, Fenced) for answer in answers] == [False, True]
        await trio.sleep(120)
        assert len(world.appliance.history) == lines


async def test_a_journal_that_another_one_has_followed_is_put_aside_and_made_anew(
    world: World, one: Candidate, two: Candidate, autojump_clock: MockClock
) -> None:
    async with one.running() as first:
        volume = await first.controller.create_volume(wish("pvc-1"))
        former = first.journal.id
    async with two.running() as second:
        larger = await second.controller.create_volume(wish("pvc-2"))
    with pytest.RaisesGroup(Superseded, flatten_subgroups=True):
        async with one.running(ready=False):
            await trio.sleep(100)
    assert rebuild_wish(one.journal).exists()
    assert marker(world).token_counter == 2
    async with one.running() as again:
        assert again.journal.id != former
        assert marker(world).journal_id == again.journal.id
        listed = (await again.controller.list_volumes(0, "")).volumes
        assert {one.volume_id for one in listed} == {volume.volume_id, larger.volume_id}
        assert await settle(lambda: again.controller.create_volume(wish("pvc-1"))) == volume
    [kept] = [file for file in one.journal.parent.iterdir() if ".aside-" in file.name and file.suffix != ".db-wal"]
    assert kept.stat().st_size > 0


async def test_a_token_that_moved_without_the_lease_is_left_where_it_is(
    world: World, one: Candidate, two: Candidate, autojump_clock: MockClock
) -> None:
    """Two clusters with one id: each has a Lease of its own. Nobody begins to take the token back and forth."""
    stranger = Candidate(world, LeaseServer(), "stranger")
    async with one.running() as first, stranger.running() as other:
        await other.controller.create_volume(wish("pvc-1"))
        counter = marker(world).token_counter
        await trio.sleep(600)
        assert marker(world).token_counter == counter == 2
        assert not first.controller.ready()
        with pytest.raises(Fenced):
            await first.controller.list_volumes(0, "")
        assert "does not go by it" in str(await first.journal.get_meta("controller.waits"))
        for _ in range(3):
            async with two.running(ready=False):
                await trio.sleep(1)
        assert marker(world).token_counter == counter
    for _ in range(3):  # nor after restarts, each of which is another term
        async with one.running(ready=False) as again:
            await trio.sleep(60)
            assert not again.controller.ready()
    assert marker(world).token_counter == counter


async def test_two_live_controllers_take_over_once_in_ten_minutes(
    world: World, one: Candidate, two: Candidate, autojump_clock: MockClock
) -> None:
    """Both come back whenever they end; the first one's way to the API server fails for a while, then the second's."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.restarted)
        await trio.sleep(20)
        nursery.start_soon(two.restarted)
        await trio.sleep(20)
        volume = await settle(lambda: one.process.controller.create_volume(wish("pvc-1")))
        counter = marker(world).token_counter
        one.client.up = False
        for _ in range(600):
            await trio.sleep(1)
            assert not (one.process.controller.ready() and two.process.controller.ready())
            one.client.up = one.client.up or trio.current_time() > 200
        assert marker(world).token_counter == counter + 1
        assert two.process.controller.ready()
        two.client.up = False
        await trio.sleep(120)
        assert marker(world).token_counter == counter + 2
        assert one.process.controller.ready()
        assert one.starts == 2  # its first journal was superseded
        await settle(lambda: one.process.controller.delete_volume(volume.volume_id))
        nursery.cancel_scope.cancel()


async def test_nothing_is_sent_at_all_before_the_lease_is_won(
    world: World, one: Candidate, autojump_clock: MockClock
) -> None:
    one.client.up = False
    async with one.running(ready=False) as process:
        await trio.sleep(300)
        assert len(world.appliance.history) == 0
        assert not process.controller.ready()
        one.client.up = True
        await process.wait_ready()
        assert process.controller.ready()


async def test_the_token_is_not_taken_when_the_lease_cannot_be_read_afresh(
    world: World, one: Candidate, autojump_clock: MockClock
) -> None:
    """It was won, and the server went away before the token line: held by its own clock is not enough for that."""
    async with one.running() as first:
        await first.controller.create_volume(wish("pvc-1"))
    world.delay = lambda _: 1.0
    async with one.running(ready=False) as process:
        while not one.lease.held:
            await trio.sleep(0.1)
        one.client.up = False
        await trio.sleep(15)
        assert one.lease.held
        assert marker(world).token_counter == 1
        one.client.up = True
        await process.wait_ready()
        assert marker(world).token_counter == 2


async def test_without_a_setting_nobody_is_asked_and_outside_of_a_pod_the_mistake_is_named(
    world: World, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    async with world.process() as process:
        async with open_leading(None, process.journal) as none:
            assert none is None
        with pytest.raises(SettingsInvalid, match="lease=a/b: KUBERNETES_SERVICE_HOST"):
            async with open_leading(LeaseName("a", "b"), process.journal):
                raise AssertionError("it was opened")


def calls(process: Process, volume_id: str) -> list[Callable[[], Awaitable[object]]]:
    controller = process.controller
    return [
        lambda: controller.create_volume(wish("pvc-3")),
        lambda: controller.publish_volume(attach(volume_id)),
        lambda: controller.unpublish_volume(volume_id, ""),
        lambda: controller.delete_volume(volume_id),
        lambda: controller.list_volumes(0, ""),
    ]


def marker(world: World) -> Marker:
    disk = world.appliance.storage.disks.by_slot(MARKER)
    assert disk is not None
    found = parse_marker(str(disk.setting("comment", "")))
    assert found is not None
    return found
