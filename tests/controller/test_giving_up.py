"""What comes in between while the volume of a create is given up, and crashes there (docs/adr/0006)."""

from pathlib import Path

import pytest
import trio
from claims_rig import SHORT, WISH, Cluster, orphaned, patience, retag, the_create, there, world_volume_id
from trio.testing import MockClock

from rdscsi.errors import ClusterUnavailable, OperationPending
from rdscsi.routeros.console import Reply
from rdscsi.simulator.faults import Fault, Kind
from rdscsi.testing.invariants import Promises, holdings, violations
from rdscsi.testing.orchestrator import settle
from rdscsi.testing.strikes import Strike, What, Where
from rdscsi.testing.world import World, open_world


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
    asking: World, cluster: Cluster, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
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

        monkeypatch.setattr(console, "execute", meddled)
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
    fault: Kind, asking: World, cluster: Cluster, autojump_clock: MockClock
) -> None:
    before = holdings(asking.machine)
    await orphaned(asking)
    async with asking.process() as process:
        asking.faults.add(fault, contains="/disk/remove", times=1)
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
