"""CreateVolume: its sizes, its idempotency, and what it refuses with nothing half made."""

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from rdscsi.controller import sizes
from rdscsi.errors import (
    Abandoned,
    AlreadyExists,
    Busy,
    CapacityOutOfRange,
    InvalidRequest,
    InventoryIncomplete,
    NotFinal,
    NotOurs,
    OperationPending,
    OutOfSpace,
    Refused,
)
from rdscsi.model import GIB, MIB, CapacityRange, VolumeRequest
from rdscsi.simulator.faults import Fault
from rdscsi.testing.invariants import Promises, holdings, violations
from rdscsi.testing.orchestrator import FILESYSTEM, settle, wish
from rdscsi.testing.strikes import Strike, What, Where
from rdscsi.testing.world import World


async def test_a_size_is_rounded_up_to_whole_mebibytes_and_reported_exactly(
    world: World, autojump_clock: MockClock
) -> None:
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1", 10_000_000_000))
        assert volume.capacity_bytes == 9537 * MIB
        [disk] = [one for one in world.appliance.storage.disks if one.slot in volume.volume_id]
        assert disk.setting("file-size", 0) == 9537 * MIB


async def test_the_same_request_gets_the_same_volume(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        first = await process.controller.create_volume(wish("pvc-1"))
        assert await process.controller.create_volume(wish("pvc-1")) == first
    async with world.process() as process:
        assert await process.controller.create_volume(wish("pvc-1")) == first


@pytest.mark.parametrize(
    "other",
    [
        wish("pvc-1", 65 * MIB),
        wish("pvc-1", 1, limit_bytes=MIB),
        wish("pvc-1", parameters={"backend": "rds"}),
    ],
    ids=["larger", "smaller", "other parameters"],
)
async def test_the_same_name_with_another_wish_is_refused(
    other: VolumeRequest, world: World, autojump_clock: MockClock
) -> None:
    async with world.process() as process:
        await process.controller.create_volume(wish("pvc-1"))
        with pytest.raises(AlreadyExists):
            await process.controller.create_volume(other)


async def test_a_smaller_wish_without_a_limit_is_served_by_the_larger_volume(
    world: World, autojump_clock: MockClock
) -> None:
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        assert await process.controller.create_volume(wish("pvc-1", MIB)) == volume


async def test_callers_with_one_wish_share_one_operation_and_another_wish_is_busy(
    world: World, autojump_clock: MockClock
) -> None:
    async with world.process() as process:
        controller = process.controller
        answers = []

        async def ask() -> None:
            answers.append(await controller.create_volume(wish("pvc-1")))

        world.delay = lambda _: 0.1
        before = len(world.appliance.history)
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(Busy):
                await controller.create_volume(wish("pvc-1", GIB))
        assert answers == [answers[0]] * 5
        assert len(world.appliance.history) - before == 1


async def test_a_volume_without_a_size_gets_the_documented_default(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        request = VolumeRequest("pvc-1", CapacityRange(), (FILESYSTEM,))
        assert (await process.controller.create_volume(request)).capacity_bytes == GIB


async def test_rounding_up_past_the_limit_is_out_of_range_and_leaves_nothing(
    world: World, autojump_clock: MockClock
) -> None:
    async with world.process() as process:
        with pytest.raises(CapacityOutOfRange, match="whole mebibytes"):
            await process.controller.create_volume(wish("pvc-1", MIB + 1, limit_bytes=2 * MIB - 1))
        assert await process.journal.operations() == []


async def test_a_volume_larger_than_the_pool_is_refused_before_a_line_is_sent(
    world: World, autojump_clock: MockClock
) -> None:
    async with world.process() as process:
        before = holdings(world.machine)
        with pytest.raises(OutOfSpace, match="may still be given"):
            await process.controller.create_volume(wish("pvc-1", 2048 * GIB))
        assert holdings(world.machine) == before
        assert await violations(world.machine, process.journal, Promises(), before) == []


async def test_space_is_promised_once_although_files_are_sparse(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        controller = process.controller
        first = await controller.get_capacity({}, ())
        await controller.create_volume(wish("pvc-1", 600 * GIB))
        second = await controller.get_capacity({}, ())
        assert first.available_bytes - second.available_bytes >= 600 * GIB
        with pytest.raises(OutOfSpace):
            await controller.create_volume(wish("pvc-2", 600 * GIB))


async def test_creates_in_flight_count_against_each_other(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        controller = process.controller
        refused = []

        async def ask(name: str) -> None:
            try:
                await controller.create_volume(wish(name, 600 * GIB))
            except OutOfSpace:
                refused.append(name)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, "pvc-1")
            nursery.start_soon(ask, "pvc-2")
        assert len(refused) == 1


async def test_the_appliance_itself_refuses_when_others_have_filled_the_pool(
    world: World, autojump_clock: MockClock
) -> None:
    async with world.process() as process:
        world.appliance.run("/disk/add type=file slot=big file-path=pool1/big.img file-size=1000000000000")
        before = holdings(world.machine)
        with pytest.raises(OutOfSpace, match="not enough free space"):
            await process.controller.create_volume(wish("pvc-1", 500 * GIB))
        assert await violations(world.machine, process.journal, Promises(), before) == []


async def test_a_stranger_in_the_slot_is_never_touched(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        slot = process.controller.backend.slot("pvc-1")
        world.appliance.run(f"/disk/add type=file slot={slot} file-path=pool1/x.img file-size=1048576 comment=mine")
        before = holdings(world.machine)
        with pytest.raises(NotOurs, match="mine"):
            await process.controller.create_volume(wish("pvc-1"))
        assert holdings(world.machine) == before


async def test_a_refused_statement_is_undone_and_final(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        before = holdings(world.machine)
        world.strikes.arm([Strike(Where.STATEMENT, 1, What.REFUSED, statement=2)])
        with pytest.raises(Refused, match="refused by the test"):
            await process.controller.create_volume(wish("pvc-1"))
        assert holdings(world.machine) == before
        [operation] = await process.journal.operations()
        assert (operation.state, operation.kind) == ("refused", "create")


async def test_a_lost_reply_says_maybe_and_the_retry_finds_the_volume(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        world.faults.add("drop-after", contains="/disk/add", times=1)
        with pytest.raises(NotFinal):
            await process.controller.create_volume(wish("pvc-1"))
        [open_one] = await process.journal.open_operations()
        before = len(world.appliance.history)
        volume = await process.controller.create_volume(wish("pvc-1"))
        assert volume.capacity_bytes == 64 * MIB
        assert len(world.appliance.history) - before == 1
        closed = await process.journal.operation_record(open_one.id)
        assert closed is not None
        assert (closed.state, closed.attempts) == ("done", 2)


async def test_another_wish_waits_while_an_earlier_one_is_half_done(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        world.faults.add("drop-after", contains="/disk/add", times=1)
        with pytest.raises(NotFinal):
            await process.controller.create_volume(wish("pvc-1"))
        with pytest.raises(OperationPending):
            await process.controller.create_volume(wish("pvc-1", GIB))


async def test_a_create_that_nobody_asks_for_again_is_erased(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        before = holdings(world.machine)
        world.faults.add(Fault("cut", mutation=3), contains="/disk/add", times=1)  # before it is tagged ready
        with pytest.raises(NotFinal):
            await process.controller.create_volume(wish("pvc-1"))
        assert holdings(world.machine) != before
        await trio.sleep(world.options.abandon_after + 120)
        [operation] = await process.journal.operations()
        assert (operation.state, Abandoned.__name__ in operation.error) == ("refused", True)
        assert await violations(world.machine, process.journal, Promises(gone={operation.subject}), before) == []


async def test_a_create_that_was_done_is_kept_though_nobody_asks_again(world: World, autojump_clock: MockClock) -> None:
    """An old copy of a journal holds the open create of a volume that has long been in use (docs/model, finding 5)."""
    async with world.process() as process:
        before = holdings(world.machine)
        world.faults.add("drop-after", contains="/disk/add", times=1)
        with pytest.raises(NotFinal):
            await process.controller.create_volume(wish("pvc-1"))
        await trio.sleep(world.options.abandon_after + 120)
        [operation] = await process.journal.operations()
        assert operation.state == "done"
        assert await violations(world.machine, process.journal, Promises(), before) == []
        page = await process.controller.list_volumes(0, "")
        assert [volume.volume_id for volume in page.volumes] == [operation.subject]


async def test_a_caller_that_comes_back_in_time_keeps_its_create(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        world.faults.add("drop-before", contains="/disk/add", times=5)
        patience = world.options.abandon_after - 100
        for _ in range(5):
            with pytest.raises(NotFinal):
                await process.controller.create_volume(wish("pvc-1"))
            await trio.sleep(patience)
        await process.controller.create_volume(wish("pvc-1"))
        [operation] = await process.journal.operations()
        assert (operation.state, operation.attempts) == ("done", 6)


async def test_nothing_is_told_before_the_inventory(world: World, autojump_clock: MockClock) -> None:
    world.faults.add("drop-before")
    async with world.process(ready=False) as process:
        for call in (
            lambda: process.controller.create_volume(wish("pvc-1")),
            lambda: process.controller.list_volumes(0, ""),
            lambda: process.controller.get_capacity({}, ()),
        ):
            with pytest.raises(InventoryIncomplete):
                await call()
        assert process.controller.ready()
        world.faults.clear()
        assert (await settle(lambda: process.controller.list_volumes(0, ""))).volumes == ()


async def test_the_backend_parameter_must_name_this_one(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        await process.controller.create_volume(wish("pvc-1", parameters={"backend": "rds"}))
        for call in (
            lambda: process.controller.create_volume(wish("pvc-2", parameters={"backend": "other"})),
            lambda: process.controller.get_capacity({"backend": "other"}, ()),
        ):
            with pytest.raises(InvalidRequest, match="serves the backend 'rds'"):
                await call()


@given(required=st.integers(0, 1 << 62), limit=st.integers(0, 1 << 62), default=st.integers(MIB, 1 << 42))
def test_a_chosen_size_lies_in_the_range_or_the_range_is_refused(required: int, limit: int, default: int) -> None:
    wanted = CapacityRange(required, limit)
    try:
        size = sizes.choose(wanted, default)
    except CapacityOutOfRange:
        fitting = sizes.round_down(limit) if limit else sizes.MAXIMUM_BYTES
        assert fitting < max(required, MIB)
        return
    assert size % MIB == 0
    assert size >= max(required, MIB)
    assert not limit or size <= limit
    assert sizes.fits(size, wanted)


@given(required=st.integers(0, 1 << 62), limit=st.integers(0, 1 << 62), now=st.integers(1, 1 << 40))
def test_growing_never_shrinks(required: int, limit: int, now: int) -> None:
    current = now * MIB
    try:
        size = sizes.grown(CapacityRange(required, limit), current)
    except CapacityOutOfRange:
        return
    assert size >= current
    assert size >= required


async def test_what_nodes_need_of_the_parameters_is_answered_each_time_and_remembered_by_nobody(
    world: World, autojump_clock: MockClock
) -> None:
    """The orchestrator keeps it; so the answer is the same after the journal was lost."""
    asked = wish("pvc-1", parameters={"backend": "rds", "ctrlLossTmo": "60", "mkfsOptions": "-m 1"})
    async with world.process() as process:
        first = await process.controller.create_volume(asked)
        assert first.volume_context == {"ctrlLossTmo": "60", "mkfsOptions": "-m 1"}
        assert await process.controller.create_volume(asked) == first
        assert (await process.controller.create_volume(wish("pvc-2"))).volume_context == {}
    async with world.process(world.directory / "fresh.db") as process:
        assert await settle(lambda: process.controller.create_volume(asked)) == first
        with pytest.raises(AlreadyExists):
            await process.controller.create_volume(wish("pvc-1", parameters={"backend": "rds", "ctrlLossTmo": "61"}))
