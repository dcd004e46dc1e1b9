"""Creates whose caller never comes back although the volume is ready (docs/adr/0006)."""

import dataclasses

import pytest
import trio
from claims_rig import CLAIM, WISH, Cluster, orphaned, patience, retag, the_create, there
from trio.testing import MockClock

from rdscsi.errors import ClusterUnavailable, NotFinal
from rdscsi.journal.reading import read_journal
from rdscsi.model import MIB, ContentSource, Standing
from rdscsi.simulator.faults import Fault
from rdscsi.testing.invariants import Promises, holdings, violations
from rdscsi.testing.orchestrator import NODE_A, attach, wish
from rdscsi.testing.world import World


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
