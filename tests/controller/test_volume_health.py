"""What the health calls tell of volumes: what the appliance shows, from a look or the last inventory, and no outage."""

from dataclasses import replace

import pytest
import trio
from csi_logs import captured
from trio.testing import MockClock

from rdscsi import names
from rdscsi.controller import health
from rdscsi.controller.catalogue import Entry
from rdscsi.errors import InvalidToken, NotFinal, NotFound, OperationPending
from rdscsi.journal import VolumeRecord
from rdscsi.model import MIB, HealthStatus, Volume
from rdscsi.routeros.answers import DiskItem, Pool
from rdscsi.simulator.faults import Fault
from rdscsi.tags import parse_tag
from rdscsi.testing.orchestrator import NODE_A, attach, wish
from rdscsi.testing.world import Process, World

DEGRADED, INACCESSIBLE, DATA_LOSS = HealthStatus.DEGRADED, HealthStatus.INACCESSIBLE, HealthStatus.DATA_LOSS


def _slot(volume: Volume) -> str:
    return volume.volume_id.partition("/")[2]


def _backing(world: World, volume: Volume) -> str:
    [item] = [one for one in world.appliance.storage.subvolumes if one.name.startswith(_slot(volume))]
    return item.name


async def _told(process: Process, volume: Volume) -> list[tuple[HealthStatus, str]]:
    found = await process.controller.get_volume_health(volume.volume_id)
    assert found.volume_id == volume.volume_id
    assert all(one.message for one in found.problems)
    return [(one.status, one.reason) for one in found.problems]


async def test_nothing_is_wrong_with_a_volume_through_its_ordinary_life(
    world: World, autojump_clock: MockClock
) -> None:
    async with world.process() as process:
        controller = process.controller
        volume = await controller.create_volume(wish("pvc-1"))
        assert await _told(process, volume) == []
        await controller.publish_volume(attach(volume))
        assert await _told(process, volume) == []
        assert (await controller.list_volume_health(0, "")).entries == ()
        await controller.unpublish_volume(volume.volume_id, NODE_A)
        assert await _told(process, volume) == []
        await controller.delete_volume(volume.volume_id)
        with pytest.raises(NotFound):
            await controller.get_volume_health(volume.volume_id)
        assert (await controller.list_volume_health(0, "")).entries == ()


HERE = "[find where slot={slot}]"
MEDDLINGS: dict[str, tuple[str, HealthStatus, str]] = {
    "export off": (f"/disk/set {HERE} nvme-tcp-export=no", INACCESSIBLE, "ExportMissing"),
    "another name": (f'/disk/set {HERE} nvme-tcp-server-nqn="nqn.2026-01.x:y"', INACCESSIBLE, "ExportRenamed"),
    "another port": (f"/disk/set {HERE} nvme-tcp-server-port=4421", INACCESSIBLE, "ExportMoved"),
    "item removed": (f"/disk/remove {HERE}", INACCESSIBLE, "ItemMissing"),
    "item disabled": (f"/disk/disable {HERE}", INACCESSIBLE, "ItemDisabled"),
    "another comment": (f'/disk/set {HERE} comment="mine"', INACCESSIBLE, "SlotTaken"),
    "may be mounted": (f"/disk/set {HERE} mount-filesystem=yes", DEGRADED, "MountFilesystemOn"),
    "file removed": (
        f"/disk/remove {HERE}; /disk/btrfs/subvolume/remove [find where name={{leaf}}]",
        DATA_LOSS,
        "FileMissing",
    ),
}
"""What an operator says to the console, and what is told of the volume then."""


def meddle(world: World, volume: Volume, statement: str) -> None:
    world.appliance.run(statement.format(slot=_slot(volume), leaf=_backing(world, volume)))


@pytest.mark.parametrize("meddling", MEDDLINGS)
async def test_what_an_operator_did_to_a_published_volume_is_told_by_the_next_look(
    meddling: str, world: World, autojump_clock: MockClock
) -> None:
    statement, *expected = MEDDLINGS[meddling]
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        other = await process.controller.create_volume(wish("pvc-2"))
        await process.controller.publish_volume(attach(volume))
        meddle(world, volume, statement)
        assert await _told(process, volume) == [tuple(expected)]
        assert await _told(process, other) == []


async def test_an_export_that_vanished_is_restored_under_its_name_and_told_by_health_log_and_journal(
    world: World, autojump_clock: MockClock
) -> None:
    with captured() as logged:
        await _switch_off_twice(world)
    findings = logged.records("inventory")
    assert [one["reason"] for one in findings] == [f"its export is off, and it is published to {NODE_A}"] * 2


async def _switch_off_twice(world: World) -> None:
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        context = await process.controller.publish_volume(attach(volume))
        slot, off = _slot(volume), f"its export is off, and it is published to {NODE_A}"
        for _ in range(2):
            world.appliance.run(f"/disk/set [find where slot={slot}] nvme-tcp-export=no")
            assert await _told(process, volume) == [(INACCESSIBLE, "ExportMissing")]
            await trio.sleep(2 * world.options.refresh_every)
            disk = world.appliance.storage.disks.by_slot(slot)
            assert disk is not None
            assert (disk.exported, disk.setting("nvme-tcp-server-nqn", "")) == (True, context["subnqn"])
            assert await _told(process, volume) == []
        done = [one for one in await process.journal.operations() if one.kind == "restore"]
        assert [(one.state, one.request["reason"]) for one in done] == [("done", off)] * 2
        assert await process.controller.publish_volume(attach(volume)) == context


async def test_what_is_quarantined_is_told_until_a_person_has_ended_it(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        lost = await process.controller.create_volume(wish("pvc-1"))
        edited = await process.controller.create_volume(wish("pvc-2"))
        in_use = await process.controller.create_volume(wish("pvc-3"))
        await process.controller.publish_volume(attach(lost))
        await process.controller.publish_volume(attach(in_use))
        meddle(world, lost, MEDDLINGS["file removed"][0])
        for volume in (edited, in_use):
            disk = world.appliance.storage.disks.by_slot(_slot(volume))
            assert disk is not None
            comment = str(disk.setting("comment", "")).replace("req=", "req=x")
            world.appliance.run(f'/disk/set [find where slot={_slot(volume)}] comment="{comment}"')
        await trio.sleep(2 * world.options.refresh_every)
        expected = {
            lost.volume_id: [(DATA_LOSS, "DataLost"), (DATA_LOSS, "FileMissing")],
            edited.volume_id: [(INACCESSIBLE, "Quarantined")],
            in_use.volume_id: [(DEGRADED, "Quarantined")],
        }
        for volume in (lost, edited, in_use):
            assert await _told(process, volume) == expected[volume.volume_id]
        listed = await process.controller.list_volume_health(0, "")
        assert {one.volume_id: [(p.status, p.reason) for p in one.problems] for one in listed.entries} == expected


async def test_a_degraded_pool_is_told_of_every_volume_in_pages(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        volumes = [await process.controller.create_volume(wish(f"pvc-{number}", MIB)) for number in range(5)]
        world.appliance.change_pool(state="clean, degraded")
        assert await _told(process, volumes[0]) == [(DEGRADED, "PoolDegraded")]
        await trio.sleep(2 * world.options.refresh_every)
        token, seen = "", []
        while True:
            page = await process.controller.list_volume_health(2, token)
            assert len(page.entries) <= 2
            seen += [one.volume_id for one in page.entries]
            if not (token := page.next_token):
                break
        assert seen == sorted(one.volume_id for one in volumes)
        world.appliance.change_pool(state="clean")
        await trio.sleep(2 * world.options.refresh_every)
        assert (await process.controller.list_volume_health(0, "")).entries == ()
        with pytest.raises(InvalidToken):
            await process.controller.list_volume_health(0, "nonsense")


async def test_an_outage_is_an_error_and_never_health(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1"))
        world.faults.add("drop-before")
        with pytest.raises(NotFinal):
            await process.controller.get_volume_health(volume.volume_id)
        await trio.sleep(2 * world.options.refresh_every)
        with pytest.raises(NotFinal, match="cannot be looked through now"):
            await process.controller.list_volume_health(0, "")
        world.faults.clear()
        await trio.sleep(3 * world.options.retry_every)
        assert (await process.controller.list_volume_health(0, "")).entries == ()
    async with world.process(ready=False) as process:
        with pytest.raises(NotFinal):
            await process.controller.list_volume_health(0, "")


async def test_a_volume_in_the_making_has_no_health_yet(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        world.faults.add(Fault("cut", mutation=3), contains="/disk/add", times=1)  # before it is tagged ready
        with pytest.raises(NotFinal):
            await process.controller.create_volume(wish("pvc-1"))
        backend = process.controller.backend
        with pytest.raises(OperationPending):
            await process.controller.get_volume_health(backend.volume_id(backend.slot("pvc-1")))
        assert (await process.controller.list_volume_health(0, "")).entries == ()


async def test_an_expansion_half_done_is_no_sickness(world: World, autojump_clock: MockClock) -> None:
    async with world.process() as process:
        volume = await process.controller.create_volume(wish("pvc-1", 2 * MIB))
        backend = process.controller.backend
        record = await process.journal.volume(volume.volume_id)
        assert record is not None
        entry = await backend.look_at(record.slot, record.backing)
        grown = _seen(entry, size=4 * MIB)
        assert health.problems(record, grown, None, port=4420, changing=True) == ()
        [told] = health.problems(record, grown, None, port=4420, changing=False)
        assert (told.status, told.reason) == (DEGRADED, "SizeMismatch")
        for published, status in ((False, DEGRADED), (True, DATA_LOSS)):
            committed = replace(record, ever_published=published)
            [told] = health.problems(committed, _seen(entry, size=MIB), None, port=4420, changing=False)
            assert (told.status, told.reason) == (status, "SizeMismatch")


def _seen(entry: Entry, *, size: int) -> Entry:
    assert entry.item is not None
    return Entry(entry.slot, replace(entry.item, size=size), entry.tag, entry.backings)


@pytest.mark.parametrize(
    ("state", "read_only", "reasons"),
    [
        ("", False, []),
        ("clean", False, []),
        ("active", False, []),
        ("clean, degraded", False, ["PoolDegraded"]),
        ("resyncing", True, ["PoolDegraded", "PoolReadOnly"]),
    ],
)
def test_the_pools_own_words_decide(state: str, read_only: bool, reasons: list[str]) -> None:
    pool = Pool("pool1", "btrfs", "u", "l", "pool1", True, MIB, MIB, state, read_only=read_only)
    found = health.problems(*_healthy(), pool, port=4420, changing=False)
    assert [one.reason for one in found] == reasons


def _healthy() -> tuple[VolumeRecord, Entry]:
    slot, create = names.slot("v", "c", "pvc-1"), "a" * 13
    comment = f"rdscsi1 v ready op={create} gen=2 name={'b' * 12} req={'c' * 12} size={MIB} src=- use=blank uuid=u"
    item = DiskItem("*1", slot, "file", MIB, comment, "pool1/x", "", True, False, "", 4420, False, False)
    record = VolumeRecord(f"rds/{slot}", "rds", slot, "pvc-1", create, MIB, "ready", comment, False, "", 0.0)
    assert parse_tag(comment) is not None
    return record, Entry(slot, item, parse_tag(comment), frozenset({create}))
