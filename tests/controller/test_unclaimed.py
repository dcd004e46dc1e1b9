"""Creates whose caller never comes back although the volume is ready (docs/adr/0006)."""

import dataclasses
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from rdscsi.controller.controller import Controller
from rdscsi.errors import ClusterUnavailable, DriverError, NotFinal, OperationPending
from rdscsi.journal import Journal, OperationRecord
from rdscsi.journal.reading import read_journal
from rdscsi.model import MIB, Claim, ContentSource, Standing, Volume, VolumeRequest
from rdscsi.routeros.console import Reply
from rdscsi.simulator.faults import Fault
from rdscsi.testing.invariants import Promises, holdings, violations
from rdscsi.testing.orchestrator import NODE_A, attach, settle, wish
from rdscsi.testing.strikes import Strike, What, Where
from rdscsi.testing.world import OPTIONS, Process, World, open_world

CLAIM = Claim("default", "data")
SHORT = dataclasses.replace(OPTIONS, abandon_after=60.0)
WISH = dataclasses.replace(wish("pvc-1"), claim=CLAIM)


class Cluster:
    """Says what Kubernetes knows. `while_asked` happens while it is being asked."""

    def __init__(self) -> None:
        self.answer: Standing | DriverError = Standing.NOBODY
        self.asked: list[tuple[str, str, Claim]] = []
        self.while_asked: Callable[[], None] = lambda: None

    async def standing(self, volume_id: str, csi_name: str, claim: Claim) -> Standing:
        self.asked.append((volume_id, csi_name, claim))
        await trio.lowlevel.checkpoint()
        self.while_asked()
        if isinstance(self.answer, DriverError):
            raise self.answer
        return self.answer


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
async def asking(tmp_path: Path, autojump_clock: MockClock, cluster: Cluster) -> AsyncIterator[World]:
    async with open_world(tmp_path, claims=cluster, options=SHORT) as made:
        yield made


@pytest.fixture
async def trusting(tmp_path: Path, autojump_clock: MockClock) -> AsyncIterator[World]:
    async with open_world(tmp_path, options=SHORT) as made:
        yield made


async def orphaned(world: World, request: VolumeRequest = WISH) -> None:
    """The volume is made, the answer is lost, and with it the process."""
    async with world.process() as process:
        world.faults.add("drop-after", contains="/disk/add", times=1)
        with pytest.raises(NotFinal):
            await process.controller.create_volume(request)
        world.crash()


async def patience(world: World) -> None:
    await trio.sleep(world.options.abandon_after + 30)


async def the_create(journal: Journal) -> OperationRecord:
    [operation] = [one for one in await journal.operations() if one.kind == "create"]
    return operation


def marked(world: World) -> list[tuple[str, str]]:
    with read_journal(world.journal_path) as reading:
        return [(one.volume_id, one.why) for one in reading.unclaimed()]


async def test_what_nobody_claims_and_nobody_had_is_erased(
    asking: World, cluster: Cluster, autojump_clock: MockClock
) -> None:
    before = holdings(asking.machine)
    await orphaned(asking)
    async with asking.process() as process:
        await trio.sleep(asking.options.abandon_after / 2)
        assert cluster.asked == []
        await patience(asking)
        operation = await the_create(process.journal)
        assert (operation.state, "Abandoned" in operation.error) == ("refused", True)
        assert cluster.asked == [(operation.subject, "pvc-1", CLAIM)]
        gone = Promises(gone={operation.subject})
        assert await violations(asking.machine, process.journal, gone, before) == []
        assert (await process.controller.list_volumes(0, "")).volumes == ()


async def left_alone(process: Process, request: VolumeRequest = WISH) -> None:
    """Its caller goes while the volume is being made; the operation goes on and ends by itself."""
    with trio.move_on_after(0.5):
        await process.controller.create_volume(request)
    await process.operations.wait_idle((await the_create(process.journal)).subject)


@pytest.fixture
async def slow(tmp_path: Path, autojump_clock: MockClock, cluster: Cluster) -> AsyncIterator[World]:
    async with open_world(tmp_path, claims=cluster, options=SHORT, delay=lambda _: 1.0) as made:
        yield made


async def test_a_create_that_ends_after_its_caller_has_gone_is_given_up_too(
    slow: World, cluster: Cluster, autojump_clock: MockClock
) -> None:
    """The same process goes on, nothing fails, and nobody was told of the volume."""
    before = holdings(slow.machine)
    async with slow.process() as process:
        await left_alone(process)
        assert (await the_create(process.journal)).state == "open"
        await patience(slow)
        operation = await the_create(process.journal)
        assert (operation.state, cluster.asked) == ("refused", [(operation.subject, "pvc-1", CLAIM)])
        gone = Promises(gone={operation.subject})
        assert await violations(slow.machine, process.journal, gone, before) == []


async def test_a_caller_that_left_and_comes_back_gets_the_volume_that_was_made(
    slow: World, cluster: Cluster, autojump_clock: MockClock
) -> None:
    async with slow.process() as process:
        await left_alone(process)
        made = slow.machine.items()
        volume = await process.controller.create_volume(WISH)
        assert slow.machine.items() == made
        assert (await the_create(process.journal)).state == "done"
        await patience(slow)
        assert cluster.asked == []
        assert await there(process.controller, volume)


async def test_of_two_callers_one_that_stays_is_enough(
    slow: World, cluster: Cluster, autojump_clock: MockClock
) -> None:
    async with slow.process() as process:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(process.controller.create_volume, WISH)
            with trio.move_on_after(0.5):
                await process.controller.create_volume(WISH)
        assert (await the_create(process.journal)).state == "done"
        await patience(slow)
        assert cluster.asked == []


async def test_while_its_claim_is_there_the_create_waits(
    asking: World, cluster: Cluster, autojump_clock: MockClock
) -> None:
    cluster.answer = Standing.CLAIM
    await orphaned(asking)
    async with asking.process() as process:
        await trio.sleep(3 * asking.options.abandon_after)
        operation = await the_create(process.journal)
        assert operation.state == "open"
        assert "default/data waits for it" in operation.error
        assert len(cluster.asked) <= 3  # not in each round
        assert (await process.controller.create_volume(WISH)).volume_id == operation.subject
        assert (await the_create(process.journal)).state == "done"
        assert marked(asking) == []


async def test_a_claim_that_goes_away_later_lets_it_go(
    asking: World, cluster: Cluster, autojump_clock: MockClock
) -> None:
    cluster.answer = Standing.CLAIM
    await orphaned(asking)
    async with asking.process() as process:
        await patience(asking)
        cluster.answer = Standing.NOBODY
        await patience(asking)
        assert (await the_create(process.journal)).state == "refused"


async def test_what_a_persistent_volume_names_is_kept_and_not_told_as_unclaimed(
    asking: World, cluster: Cluster, autojump_clock: MockClock
) -> None:
    """An old copy of the journal may hold the create; the volume was handed out and waits for its first pod."""
    cluster.answer = Standing.VOLUME
    before = holdings(asking.machine)
    await orphaned(asking)
    async with asking.process() as process:
        await patience(asking)
        operation = await the_create(process.journal)
        assert operation.state == "done"
        promises = Promises(exists={operation.subject: 64 * MIB})
        assert await violations(asking.machine, process.journal, promises, before) == []
        assert marked(asking) == []


async def test_an_api_server_that_is_away_is_waited_for(
    asking: World, cluster: Cluster, autojump_clock: MockClock
) -> None:
    cluster.answer = ClusterUnavailable("the API server is away")
    await orphaned(asking)
    async with asking.process() as process:
        await patience(asking)
        operation = await the_create(process.journal)
        assert (operation.state, "API server is away" in operation.error) == ("open", True)
        cluster.answer = Standing.NOBODY
        await trio.sleep(2 * asking.options.retry_every)
        assert (await the_create(process.journal)).state == "refused"


async def test_with_nobody_to_ask_it_is_kept_and_shown(trusting: World, autojump_clock: MockClock) -> None:
    await orphaned(trusting)
    async with trusting.process() as process:
        await patience(trusting)
        operation = await the_create(process.journal)
        assert operation.state == "done"
        assert [volume_id for volume_id, why in marked(trusting) if "claim-evidence=none" in why] == [operation.subject]
        await process.controller.create_volume(WISH)
        assert marked(trusting) == []


async def test_a_volume_that_was_made_for_no_claim_is_kept_and_shown(
    asking: World, cluster: Cluster, autojump_clock: MockClock
) -> None:
    await orphaned(asking, wish("pvc-1"))
    async with asking.process() as process:
        await patience(asking)
        assert cluster.asked == []
        assert marked(asking) == [
            ((await the_create(process.journal)).subject, "nobody told which claim it was made for")
        ]
        await process.controller.delete_volume(marked(asking)[0][0])
        assert marked(asking) == []


async def test_what_was_published_since_is_kept_whatever_kubernetes_knows(
    asking: World, cluster: Cluster, autojump_clock: MockClock
) -> None:
    """An old copy of the journal is put back, and Kubernetes was restored too: only the tag tells (finding 5)."""
    async with asking.process() as process:
        asking.faults.add("drop-after", contains="/disk/add", times=1)
        with pytest.raises(NotFinal):
            await process.controller.create_volume(WISH)
        old = asking.copied_journal("creating")
        volume = await process.controller.create_volume(WISH)
        await process.controller.publish_volume(attach(volume))
        await process.controller.unpublish_volume(volume.volume_id, NODE_A)
    async with asking.process(old) as process:
        await patience(asking)
        assert await there(process.controller, volume)
        assert cluster.asked == []


@pytest.mark.parametrize("edit", [("gen=2", "gen=3"), ("use=blank", "use=used"), ("size=67108864", "size=33554432")])
async def test_any_other_tag_than_the_creates_own_is_kept(
    edit: tuple[str, str], asking: World, cluster: Cluster, autojump_clock: MockClock
) -> None:
    await orphaned(asking)
    retag(asking, *edit)
    async with asking.process() as process:
        await patience(asking)
        assert (await the_create(process.journal)).state == "done"
        assert cluster.asked == []
        assert [why for _, why in marked(asking)] == ["it holds data, or somebody had it"]


async def test_an_export_that_is_on_is_kept(asking: World, cluster: Cluster, autojump_clock: MockClock) -> None:
    await orphaned(asking)
    [disk] = [one for one in asking.appliance.storage.disks if one.slot.startswith("v")]
    asking.appliance.run(f"/disk/set [find where slot={disk.slot}] nvme-tcp-export=yes nvme-tcp-server-nqn=nqn.x:y")
    async with asking.process() as process:
        await patience(asking)
        assert (await the_create(process.journal)).state == "done"
        assert cluster.asked == []


async def test_a_copy_holds_data_and_is_kept(asking: World, cluster: Cluster, autojump_clock: MockClock) -> None:
    async with asking.process() as process:
        source = await process.controller.create_volume(wish("source"))
        copy = dataclasses.replace(WISH, source=ContentSource(volume_id=source.volume_id))
        asking.faults.add("drop-after", contains="/disk/add", times=1)
        with pytest.raises(NotFinal):
            await process.controller.create_volume(copy)
        await patience(asking)
        [operation] = [one for one in await process.journal.operations() if one.request.get("source")]
        assert operation.state == "done"
        assert marked(asking) == [(operation.subject, "it holds data, or somebody had it")]
        assert cluster.asked == []


async def test_what_another_journal_began_is_kept(asking: World, cluster: Cluster, autojump_clock: MockClock) -> None:
    """The record was learned from the tag of a half-made volume; its create has another id."""
    async with asking.process() as process:
        asking.faults.add(Fault("cut", mutation=3), contains="/disk/add", times=1)
        with pytest.raises(NotFinal):
            await process.controller.create_volume(WISH)
    async with asking.process(asking.directory / "fresh.db") as process:
        asking.faults.add("drop-after", contains="/disk/set", times=1)
        with pytest.raises(NotFinal):
            await process.controller.create_volume(WISH)
        await patience(asking)
        assert (await the_create(process.journal)).state == "done"
        assert cluster.asked == []
        assert len((await process.controller.list_volumes(0, "")).volumes) == 1


async def test_a_change_that_comes_between_the_question_and_the_line_wins(
    asking: World, cluster: Cluster, autojump_clock: MockClock
) -> None:
    await orphaned(asking)
    async with asking.process() as process:
        cluster.while_asked = lambda: retag(asking, "gen=2", "gen=3", "use=blank", "use=used")
        await patience(asking)
        assert len(cluster.asked) == 1
        assert (await the_create(process.journal)).state == "done"
        assert len((await process.controller.list_volumes(0, "")).volumes) == 1


async def test_a_change_that_comes_directly_before_the_line_wins(
    asking: World, cluster: Cluster, autojump_clock: MockClock
) -> None:
    """The last look is past; only the line itself can see it."""
    await orphaned(asking)
    async with asking.process() as process:
        console = process.controller.backend.device._console
        execute, changed = console.execute, list[str]()

        async def meddled(body: str, *, deadline: float) -> Reply:
            if "/disk/remove" in body and not changed:
                changed.append(body)
                retag(asking, "gen=2", "gen=3", "use=blank", "use=used")
            return await execute(body, deadline=deadline)

        console.execute = meddled  # type: ignore[method-assign]
        await patience(asking)
        assert len(changed) == 1
        assert (await the_create(process.journal)).state == "done"
        assert len((await process.controller.list_volumes(0, "")).volumes) == 1
        record = await process.journal.volume((await the_create(process.journal)).subject)
        assert record is not None
        assert (record.state, "gen=3" in record.tag) == ("ready", True)


async def test_a_caller_that_comes_back_too_late_waits_and_gets_a_new_volume(
    asking: World, cluster: Cluster, autojump_clock: MockClock
) -> None:
    """The removal's outcome is unknown: what is still to be seen may go at any moment, and is not handed out."""
    await orphaned(asking)
    async with asking.process() as process:
        asking.faults.add(Fault("late", seconds=20.0), contains="/disk/remove", times=1)
        while not cluster.asked:
            await trio.sleep(1)
        first = await the_create(process.journal)
        with pytest.raises(OperationPending):
            await process.controller.create_volume(WISH)
        volume = await settle(lambda: process.controller.create_volume(WISH))
        await trio.sleep(60)
        assert await there(process.controller, volume)
        record = await process.journal.volume(volume.volume_id)
        assert record is not None
        assert record.backing != first.id


@pytest.mark.parametrize("fault", ["drop-before", "drop-after"])
async def test_what_was_given_up_goes_on_after_a_crash(
    fault: str, asking: World, cluster: Cluster, autojump_clock: MockClock
) -> None:
    before = holdings(asking.machine)
    await orphaned(asking)
    async with asking.process() as process:
        asking.faults.add(fault, contains="/disk/remove", times=1)  # type: ignore[arg-type]
        while not cluster.asked:
            await trio.sleep(1)
        await trio.sleep(asking.settings.command_deadline + 1)
        asking.crash()
    cluster.answer = ClusterUnavailable("the API server is away")  # it was decided
    async with asking.process() as process:
        await trio.sleep(120)
        operation = await the_create(process.journal)
        assert operation.state == "refused"
        gone = Promises(gone={operation.subject})
        assert await violations(asking.machine, process.journal, gone, before) == []


STRIKES = [
    *(Strike(where, nth, What.CRASH) for where in (Where.BEFORE_COMMIT, Where.AFTER_COMMIT) for nth in (1, 2)),
    *(Strike(where, nth, What.CRASH) for where in (Where.LINE, Where.ANSWER) for nth in (1, 2)),
    *(Strike(Where.LINE, nth, what, seconds=20.0) for nth in (1, 2) for what in (What.LOST, What.LATE)),
    *(Strike(Where.LINE, 2, What.CRASH_PAUSED, statement, 5.0) for statement in (1, 2, 3)),
    *(
        Strike(Where.STATEMENT, 2, what, statement)
        for what in (What.CUT, What.REFUSED, What.CRASH, What.POWER_LOSS)
        for statement in (1, 2, 3)
    ),
]


@pytest.mark.parametrize("comes_back", [False, True], ids=["nobody comes", "the caller comes back"])
@pytest.mark.parametrize("strike", STRIKES, ids=str)
async def test_giving_up_ends_well_wherever_it_is_struck(
    strike: Strike, comes_back: bool, tmp_path: Path, autojump_clock: MockClock
) -> None:
    """From the question on: commit 1 decides, line 1 looks, line 2 removes, commit 2 ends it."""
    cluster = Cluster()
    async with open_world(tmp_path, claims=cluster, options=SHORT, fast=True) as world:
        before = holdings(world.machine)
        await orphaned(world)
        cluster.while_asked = lambda: world.strikes.arm([] if len(cluster.asked) > 1 else [strike])
        async with world.process() as process:
            while not cluster.asked:
                await trio.sleep(0.1)
            await trio.sleep(30)
        promises = Promises(gone={world_volume_id(process)})
        async with world.process() as process:
            assert not world.strikes.left
            if comes_back:
                promises = Promises()
                promises.made(await settle(lambda: process.controller.create_volume(WISH)))
            await trio.sleep(3 * SHORT.abandon_after)
            assert await violations(world.machine, process.journal, promises, before) == []


def world_volume_id(process: Process) -> str:
    backend = process.controller.backend
    return backend.volume_id(backend.slot("pvc-1"))


async def there(controller: Controller, volume: Volume) -> bool:
    return volume.volume_id in [one.volume_id for one in (await controller.list_volumes(0, "")).volumes]


def retag(world: World, *pairs: str) -> None:
    """Change the only volume's tag as somebody else's publish would."""
    [disk] = [one for one in world.appliance.storage.disks if one.slot.startswith("v")]
    comment = str(disk.setting("comment", ""))
    for old, new in zip(pairs[::2], pairs[1::2], strict=True):
        assert comment.count(old) == 1
        comment = comment.replace(old, new)
    world.appliance.run(f'/disk/set [find where slot={disk.slot}] comment="{comment}"')
