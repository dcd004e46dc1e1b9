"""A disk that somebody else made becomes a volume, or stays as it was: whatever dies, is lost, comes twice or late."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from rdscsi import names
from rdscsi.controller import importing
from rdscsi.errors import DriverError, InvalidRequest, NotFinal, NotOurs, NotPermittedNow, NotSupported, Quarantined
from rdscsi.journal import OperationRecord, asking
from rdscsi.model import GIB, MIB, CapacityRange, ContentSource, SnapshotRequest, Volume
from rdscsi.routeros.adopting import Adoption
from rdscsi.routeros.answers import Answer
from rdscsi.simulator import ApplianceOptions, Behaviour, PoolOptions
from rdscsi.tags import TagState, parse_tag
from rdscsi.testing.orchestrator import NODE_A, attach, settle, wish
from rdscsi.testing.schedules import FLUSH
from rdscsi.testing.strikes import Bug, Counting, Strike, What, Where, enumerate_strikes
from rdscsi.testing.world import CLUSTER, OPTIONS, Process, World, in_memory, open_world

FOREIGN = "vm-storage-001"
PATH = f"pool1/{FOREIGN}.img"
SLOT = importing.slot_of(CLUSTER, PATH)
VOLUME_ID = names.volume_id("rds", SLOT)
BOTH = pytest.mark.parametrize("fast", [True, False], ids=["model", "simulator"])


@asynccontextmanager
async def with_foreign(directory: Path, *, fast: bool = False, flush_delay: float = 0.0) -> AsyncIterator[World]:
    """A world with a disk that an operator made by hand: no comment, exported to nobody."""
    behaviour = Behaviour(config_flush_delay=flush_delay, pool_flush_delay=flush_delay)
    appliance = ApplianceOptions(pool=PoolOptions(size=1024 * GIB), initial_uptime=3600.0, behaviour=behaviour)
    options = replace(OPTIONS, flush_delay=flush_delay)
    async with open_world(directory, appliance=appliance, options=options, fast=fast) as world:
        world.machine.put_stranger(FOREIGN)
        world.machine.set_by_hand(FOREIGN, comment="")
        world.machine.persist()
        yield world


async def adopt(process: Process, from_slot: str = FOREIGN, path: str = PATH) -> Volume:
    """Import as the wish does it: as the volume's one operation."""
    work = partial(importing.adopt, process.controller.backend, from_slot, path)
    return await process.operations.run(VOLUME_ID, (importing.KIND, from_slot, path), work)


@BOTH
async def test_a_disk_becomes_a_volume_that_lives_as_others_do(
    fast: bool, tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with with_foreign(tmp_path, fast=fast) as world, world.process() as process:
        controller = process.controller
        volume = await adopt(process)
        assert (volume.volume_id, volume.capacity_bytes) == (VOLUME_ID, MIB)
        items = world.machine.items()
        assert FOREIGN not in items
        tag = parse_tag(items[SLOT].comment)
        assert tag is not None
        assert (tag.state, tag.blank, tag.path, items[SLOT].mount_filesystem) == (TagState.READY, False, PATH, False)
        assert await adopt(process) == volume  # twice
        assert [one.volume_id for one in (await controller.list_volumes(0, "")).volumes] == [VOLUME_ID]
        context = await controller.publish_volume(attach(VOLUME_ID))
        assert "formatPermit" not in context
        await trio.sleep(2 * world.options.refresh_every)
        assert await controller.publish_volume(attach(VOLUME_ID)) == context
        assert (await controller.get_volume_health(VOLUME_ID)).problems == ()
        grown = await controller.expand_volume(VOLUME_ID, CapacityRange(3 * MIB), None)
        assert grown.capacity_bytes == 3 * MIB
        await controller.unpublish_volume(VOLUME_ID, NODE_A)
        await controller.delete_volume(VOLUME_ID)
        assert SLOT not in world.machine.items()
        assert PATH not in world.machine.leaves()
        await trio.sleep(2 * world.options.refresh_every)
        assert (await controller.list_volumes(0, "")).volumes == ()


async def test_its_data_is_not_touched(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with with_foreign(tmp_path) as world, world.process() as process:
        path = world.appliance.storage.files.path(PATH)
        content = b"precious" * (MIB // 8)
        path.write_bytes(content)
        await adopt(process)
        assert path.read_bytes() == content


@BOTH
async def test_a_journal_that_is_lost_learns_it_from_its_tag(
    fast: bool, tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with with_foreign(tmp_path, fast=fast) as world:
        async with world.process() as process:
            await adopt(process)
            world.crash()
        async with world.process(world.directory / "new.db") as process:
            await process.controller.publish_volume(attach(VOLUME_ID))
            await process.controller.unpublish_volume(VOLUME_ID, NODE_A)
            await process.controller.delete_volume(VOLUME_ID)
            assert not {SLOT, FOREIGN} & set(world.machine.items())
            assert PATH not in world.machine.leaves()


@BOTH
@pytest.mark.parametrize("statement", [2, 3])
async def test_an_import_whose_journal_is_lost_in_the_middle_is_taken_up_where_it_is_found(
    statement: int, fast: bool, tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with with_foreign(tmp_path, fast=fast) as world:
        async with world.process() as process:
            world.strikes.arm([Strike(Where.STATEMENT, 3, What.CUT, statement)])
            with pytest.raises(NotFinal):
                await adopt(process)
            assert world.strikes.left == 0
            world.crash()
        world.strikes.disarm()
        found = FOREIGN if statement == 2 else SLOT
        assert "creating" in world.machine.items()[found].comment
        async with world.process(world.directory / "new.db") as process:
            await trio.sleep(2 * world.options.refresh_every)
            volume = await settle(lambda: adopt(process, found))
            assert (volume.volume_id, set(world.machine.items()) & {SLOT, FOREIGN}) == (VOLUME_ID, {SLOT})
            await process.controller.publish_volume(attach(VOLUME_ID))


@pytest.mark.parametrize("slot", ["", "ü", "a\nb", "x" * 65])
async def test_what_is_no_slot_is_refused_and_nothing_sent(
    slot: str, tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with with_foreign(tmp_path) as world, world.process() as process:
        lines = world.machine.lines
        with pytest.raises(InvalidRequest, match="as /disk/print shows it"):
            await adopt(process, slot)
        assert world.machine.lines == lines


async def test_snapshots_and_clones_of_it_are_refused_for_good(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with with_foreign(tmp_path) as world, world.process() as process:
        await adopt(process)
        with pytest.raises(NotSupported, match="was imported"):
            await process.controller.create_snapshot(SnapshotRequest("snap-1", VOLUME_ID))
        with pytest.raises(NotSupported, match="was imported"):
            clone = replace(wish("pvc-2"), source=ContentSource(volume_id=VOLUME_ID))
            await process.controller.create_volume(clone)
        assert [one.volume_id for one in await process.journal.volumes()] == [VOLUME_ID]
        assert await process.journal.open_operations() == []


@BOTH
async def test_an_item_that_is_removed_by_hand_is_for_a_person_who_is_told_how_to_put_it_back(
    fast: bool, tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with with_foreign(tmp_path, fast=fast) as world, world.process() as process:
        await adopt(process)
        world.machine.remove_by_hand(SLOT)
        await trio.sleep(2 * world.options.refresh_every)
        with pytest.raises(Quarantined, match=f"/disk/add type=file slot={SLOT} file-path={PATH}") as told:
            await process.controller.publish_volume(attach(VOLUME_ID))
        assert PATH in world.machine.leaves()
        with pytest.raises(Quarantined):
            await process.controller.delete_volume(VOLUME_ID)
        assert PATH in world.machine.leaves()
        if not fast:
            command = str(told.value).partition("if its file is there: ")[2]
            world.appliance.run(command)
            await trio.sleep(2 * world.options.refresh_every)
            await process.controller.publish_volume(attach(VOLUME_ID))


async def test_what_was_deleted_and_comes_back_after_a_power_loss_is_erased_again(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with with_foreign(tmp_path, flush_delay=30.0) as world, world.process() as process:
        await adopt(process)
        await trio.sleep(60)
        await process.controller.delete_volume(VOLUME_ID)
        assert world.machine.reboot() > 0
        assert SLOT in world.machine.items()
        await trio.sleep(3 * world.options.refresh_every)
        await process.wait_settled()
        assert SLOT not in world.machine.items()
        assert PATH not in world.machine.leaves()


@BOTH
async def test_a_power_loss_after_the_answer_takes_nothing_back(
    fast: bool, tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with with_foreign(tmp_path, fast=fast, flush_delay=30.0) as world, world.process() as process:
        await trio.sleep(60)
        await adopt(process)
        world.machine.reboot()
        assert set(world.machine.items()) >= {SLOT}
        await settle(lambda: process.controller.publish_volume(attach(VOLUME_ID)))


MEDDLINGS = {
    "exported": "/disk/set [find where slot=vm-storage-001] nvme-tcp-export=yes",
    "shared": "/disk/set [find where slot=vm-storage-001] smb-sharing=yes",
    "swapped on": "/disk/set [find where slot=vm-storage-001] swap=yes",
    "somebody else's": '/disk/set [find where slot=vm-storage-001] comment="bookings, ask Ada"',
    "disabled": "/disk/disable [find where slot=vm-storage-001]",
    "a window": "/disk/set [find where slot=vm-storage-001] file-offset=512",
}


@pytest.mark.parametrize("meddling", MEDDLINGS)
async def test_a_disk_that_is_in_use_is_refused_and_left_as_it_is(
    meddling: str, tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with with_foreign(tmp_path) as world, world.process() as process:
        world.appliance.run(MEDDLINGS[meddling])
        before = world.machine.items()
        with pytest.raises(NotPermittedNow, match=FOREIGN):
            await adopt(process)
        assert world.machine.items() == before
        assert await process.journal.volumes() == []
        assert await process.journal.open_operations() == []


@pytest.mark.parametrize("meddling", MEDDLINGS)
async def test_what_begins_between_the_look_and_the_line_stops_the_line_itself(
    meddling: str, tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with with_foreign(tmp_path) as world, world.process() as process:
        backend = process.controller.backend
        plain = backend.device.adopt
        before: dict[str, object] = {}

        async def later(wanted: Adoption) -> Answer:
            world.appliance.run(MEDDLINGS[meddling])
            before.update(world.machine.items())
            return await plain(wanted)

        backend.device.adopt = later  # type: ignore[method-assign]
        with pytest.raises(NotPermittedNow, match="not as it was seen"):
            await adopt(process)
        assert before
        assert world.machine.items() == before
        assert await process.journal.volumes() == []
        assert await process.journal.open_operations() == []


async def test_a_disk_with_partitions_is_left_alone(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with with_foreign(tmp_path) as world, world.process() as process:
        assert "failure" not in world.appliance.run(f"/disk/add type=partition parent={FOREIGN} partition-size=100000")
        before = world.machine.items()
        with pytest.raises(NotPermittedNow, match="partitions"):
            await adopt(process)
        assert world.machine.items() == before
        assert await process.journal.volumes() == []


async def test_a_slot_that_is_taken_is_refused_and_the_disk_is_nobodys_again(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with with_foreign(tmp_path) as world, world.process() as process:
        world.machine.put_stranger(SLOT)
        before = world.machine.items()
        with pytest.raises((NotOurs, Quarantined)):
            await adopt(process)
        assert world.machine.items() == before


async def test_the_wish_is_carried_out_once_and_told(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with with_foreign(tmp_path) as world, world.process() as process:
        done = await _asked(world, process)
        assert (done.state, done.outcome) == ("done", f"{VOLUME_ID}, {MIB} bytes")
        again = await _asked(world, process)
        assert again.state == "done"
        kinds = [(one.kind, one.state) for one in await process.journal.operations()]
        assert kinds.count(("adopt", "done")) == 1
        world.machine.put_stranger("other")
        refused = await _asked(world, process, "other", "pool1/other.img")
        assert refused.state == "refused"
        assert "not yours" in refused.error


async def _asked(world: World, process: Process, from_slot: str = FOREIGN, path: str = PATH) -> OperationRecord:
    about = names.volume_id("rds", importing.slot_of(CLUSTER, path))
    asked = asking.ask(world.journal_path, asking.IMPORT, about, {"from": from_slot, "path": path}, now=0.0)
    await trio.sleep(2.5 * world.options.refresh_every)
    found = await process.journal.operation_record(asked)
    assert found is not None
    return found


async def test_two_at_once_are_one(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with with_foreign(tmp_path) as world, world.process() as process:
        found: list[Volume | DriverError] = []

        async def one() -> None:
            found.append(await settle(lambda: adopt(process)))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(one)
            nursery.start_soon(one)
        assert found[0] == found[1]
        assert len(await process.journal.volumes()) == 1


@pytest.mark.parametrize("share", range(3))
@BOTH
def test_every_strike_ends_with_the_disk_ours_or_as_it_was(fast: bool, share: int) -> None:
    seen, wrong = _struck(fast, [])
    assert wrong == []
    strikes = enumerate_strikes(seen, late=(5.0, 45.0), paused=(9.0,), flush_delay=True)
    failures = []
    for strike in strikes[share::3] if fast else strikes[share::9]:
        _, wrong = _struck(fast, [strike])
        if wrong:
            failures.append(f"{strike}: {wrong}")
    assert not failures, "\n".join(failures)


def _struck(fast: bool, strikes: list[Strike]) -> tuple[Counting, list[str]]:
    clock = trio.testing.MockClock(autojump_threshold=0)
    with tempfile.TemporaryDirectory(prefix="rdscsi-import-", dir=in_memory()) as directory:
        return trio.run(_under, Path(directory), fast, strikes, clock=clock)


async def _under(directory: Path, fast: bool, strikes: list[Strike]) -> tuple[Counting, list[str]]:
    """Import under strikes, live on with the same journal, and say what is wrong in the end."""
    wrong: list[str] = []
    async with with_foreign(directory, fast=fast, flush_delay=FLUSH) as world:
        await trio.sleep(10 * FLUSH)
        before = world.machine.items()[FOREIGN]
        async with world.process() as process:
            await trio.sleep(10 * FLUSH)
            world.strikes.arm(strikes)
            try:
                await adopt(process)
            except (NotFinal, Bug):
                pass
            except DriverError:
                wrong += [f"final, and {one.kind} is open" for one in await process.journal.open_operations()]
        counting, left = world.strikes.counting, world.strikes.left
        world.strikes.disarm()
        wrong += [f"{left} strikes never fell"] if left else []
        with trio.fail_after(3000):
            async with world.process(ready=False) as process:
                await process.wait_ready()
                await trio.sleep(700.0)
                wrong += await _judged(world, process, before)
                # Whatever came of it, asking again ends well.
                await settle(lambda: adopt(process))
                assert world.machine.items()[SLOT].attached
                assert PATH in world.machine.leaves()
        return counting, wrong


async def _judged(world: World, process: Process, before: object) -> list[str]:
    items, records = world.machine.items(), await process.journal.volumes()
    wrong = [f"open: {one.kind}: {one.error}" for one in await process.journal.open_operations()]
    if PATH not in world.machine.leaves():
        wrong.append("the file is gone")
    if not records:
        found = items.get(FOREIGN)
        if found is None or (found.comment, found.export, SLOT in items) != ("", False, False):
            wrong.append(f"neither ours nor as it was: {items}")
        return wrong
    [record] = records
    tag = parse_tag(items[SLOT].comment) if SLOT in items else None
    if FOREIGN in items or tag is None or tag.operation != record.backing or tag.state is not TagState.READY:
        wrong.append(f"recorded, and not ours: {items}")
    if (record.state, record.quarantine) != ("ready", ""):
        wrong.append(f"recorded as {record.state} {record.quarantine}")
    return wrong
