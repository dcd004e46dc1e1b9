"""ControllerGetVolumeHealth and ControllerListVolumeHealth: what is wrong with volumes, seen from the appliance.

Only what an answer of the appliance has shown is told of. While it cannot be seen, both calls fail: an outage says
nothing about any volume (law 3). One volume is looked at afresh; the list is what the last inventory and the lines
since have shown, and leaves out whom nothing is wrong with, as the specification asks (CSI v1.13.0).
"""

from collections.abc import Iterator

from rdscsi import names
from rdscsi.controller import expansion, listing, publications
from rdscsi.controller.backend import Backend
from rdscsi.controller.catalogue import Entry
from rdscsi.controller.judgement import LOST
from rdscsi.errors import DeviceUnavailable, NotFound, OperationPending
from rdscsi.journal import VolumeRecord
from rdscsi.model import HealthProblem, HealthStatus, VolumeHealth, VolumeHealthPage
from rdscsi.routeros.answers import DiskItem, Pool
from rdscsi.tags import Tag, TagState, parse_tag

SOUND_STATES = frozenset({"", "clean", "active"})
"""What the `state` of a pool is made of while nothing is wrong. Disks that are no RAID, and Btrfs, have none."""

_CHANGING = frozenset({publications.PUBLISH, publications.UNPUBLISH, expansion.KIND})
"""Operations in whose middle tag, export and size may differ without anything being wrong."""


async def get(backend: Backend, volume_id: str) -> VolumeHealth:
    """Look at one volume and say what is wrong with it.

    Raises NotFound when it is proven absent, NotFinal when it cannot be seen, or is being made or deleted.
    """
    slot = backend.own_slot(volume_id)
    if slot is None:
        raise NotFound(f"volume {volume_id} does not exist")
    backend.require_inventory()
    record = await backend.journal.volume(volume_id)
    if record is None:
        record = await backend.known(volume_id, slot)
    if record.state != "ready":
        raise OperationPending(f"{volume_id} is {record.state}")
    entry = await backend.look_at(slot, record.backing)
    return VolumeHealth(volume_id, _seen(backend, record, entry, changing=volume_id in await _changing(backend)))


async def page(backend: Backend, max_entries: int, starting_token: str) -> VolumeHealthPage:
    """Return one page of the volumes that something is wrong with, by volume id; tokens as in ListVolumes.

    Raises InvalidToken, and NotFinal rather than a partial list, or one that an outage has made old.
    """
    backend.require_inventory()
    listing.check_token(backend, starting_token)
    if backend.out_of_sight:
        raise DeviceUnavailable(f"the appliance cannot be looked through now: {backend.out_of_sight}")
    size = min(max_entries or listing.LARGEST_PAGE, listing.LARGEST_PAGE)
    changing = await _changing(backend)
    found = [
        health
        for record in await backend.journal.volumes()
        if record.state == "ready" and record.volume_id > starting_token
        if (health := _remembered(backend, record, changing=record.volume_id in changing)).problems
    ]
    shown = found[:size]
    return VolumeHealthPage(tuple(shown), shown[-1].volume_id if len(found) > size else "")


async def _changing(backend: Backend) -> set[str]:
    return {one.subject for one in await backend.journal.open_operations() if one.kind in _CHANGING}


def _remembered(backend: Backend, record: VolumeRecord, *, changing: bool) -> VolumeHealth:
    entry = backend.catalogue.entry(record.slot)
    if entry.suspect:  # a line is on its way there: what was seen before it is no news
        return VolumeHealth(record.volume_id, (*_of_record(record, None), *_of_pool(backend.space.pool)))
    return VolumeHealth(record.volume_id, _seen(backend, record, entry, changing=changing))


def _seen(backend: Backend, record: VolumeRecord, entry: Entry, *, changing: bool) -> tuple[HealthProblem, ...]:
    port = backend.options.portals[0].trsvcid
    return problems(record, entry, backend.space.pool, port=port, changing=changing)


def problems(
    record: VolumeRecord, entry: Entry, pool: Pool | None, *, port: int, changing: bool
) -> tuple[HealthProblem, ...]:
    """Say what is wrong with a ready volume of which `entry` was seen. Pure.

    `port`: the one that nodes connect to. `changing`: an operation is open that may have left tag, export and size
    apart from each other.
    """
    found = [*_of_record(record, entry), *_of_item(record, entry, port=port, changing=changing), *_of_pool(pool)]
    return tuple({(one.status, one.reason): one for one in reversed(found)}.values())[::-1]


def _of_record(record: VolumeRecord, entry: Entry | None) -> Iterator[HealthProblem]:
    if record.quarantine.startswith(LOST):
        yield HealthProblem(HealthStatus.DATA_LOSS, "DataLost", record.quarantine)
    elif record.quarantine:
        # Nobody is let in any more; whoever is in already goes on.
        usable = entry is not None and entry.item is not None and entry.item.nvme_tcp_export
        status = HealthStatus.DEGRADED if usable else HealthStatus.INACCESSIBLE
        yield HealthProblem(status, "Quarantined", f"{record.quarantine}; see rdscsi journal show {record.volume_id}")


def _of_item(record: VolumeRecord, entry: Entry, *, port: int, changing: bool) -> Iterator[HealthProblem]:
    item, tag = entry.item, entry.tag
    there = record.backing in entry.backings
    if item is None:
        yield _without_item(record, there=there)
    elif tag is None or tag.operation != record.backing:
        said = f"the item in slot {record.slot} is not this volume's: {item.comment!r}"
        yield HealthProblem(HealthStatus.INACCESSIBLE, "SlotTaken", said)
    elif item.disabled:
        said = f"the item in slot {record.slot} is disabled; /disk/enable {record.slot}"
        yield HealthProblem(HealthStatus.INACCESSIBLE, "ItemDisabled", said)
    elif not there or not item.block_device:
        yield _gone(record, f"the file of slot {record.slot}, {item.file_path}, is not on the appliance any more")
    elif tag.state is TagState.READY:
        if not changing:
            yield from _of_export(item, tag, port)
        yield from _of_size(record, item, changing=changing)
        if item.mount_filesystem:
            said = f"RouterOS may mount the filesystem in it; /disk/set {record.slot} mount-filesystem=no"
            yield HealthProblem(HealthStatus.DEGRADED, "MountFilesystemOn", said)


def _without_item(record: VolumeRecord, *, there: bool) -> HealthProblem:
    if not there:
        return _gone(record, f"neither the item in slot {record.slot} nor its file is on the appliance any more")
    said = f"the item in slot {record.slot} is gone and its file is there; it is added again"
    return HealthProblem(HealthStatus.INACCESSIBLE, "ItemMissing", said)


def _gone(record: VolumeRecord, said: str) -> HealthProblem:
    """A volume that nobody ever had has no data to lose."""
    status = HealthStatus.DATA_LOSS if record.ever_published else HealthStatus.INACCESSIBLE
    return HealthProblem(status, "FileMissing", said)


def _of_export(item: DiskItem, tag: Tag, port: int) -> Iterator[HealthProblem]:
    if tag.publication is None or not tag.active_nodes:
        if item.nvme_tcp_export:
            said = f"it is exported as {item.nvme_tcp_server_nqn} and published to nobody; it is cut off"
            yield HealthProblem(HealthStatus.DEGRADED, "ExportUnexpected", said)
        return
    nodes = ", ".join(node.node for node in tag.active_nodes)
    subnqn = names.subnqn(item.slot, tag.publication.epoch)
    if not item.nvme_tcp_export:
        said = f"it is published to {nodes} and its export is off; it is exported again as {subnqn}"
        yield HealthProblem(HealthStatus.INACCESSIBLE, "ExportMissing", said)
    elif item.nvme_tcp_server_nqn != subnqn:
        said = f"it is published to {nodes} as {subnqn}, and exported as {item.nvme_tcp_server_nqn}; it is set right"
        yield HealthProblem(HealthStatus.INACCESSIBLE, "ExportRenamed", said)
    elif item.nvme_tcp_server_port != port:
        # Left as it is: only cutting it off could move it, and whoever is connected may be at work.
        said = f"it is published to {nodes} and exported at port {item.nvme_tcp_server_port}; nodes connect to {port}"
        yield HealthProblem(HealthStatus.INACCESSIBLE, "ExportMoved", f"{said}: set the port, or publish it anew")


def _of_size(record: VolumeRecord, item: DiskItem, *, changing: bool) -> Iterator[HealthProblem]:
    committed = parse_tag(record.tag)
    promised = committed.size_bytes if committed is not None else record.capacity_bytes
    if item.size < promised:
        said = f"it has {item.size} bytes, and {promised} were promised; what lay beyond is gone, and it is grown again"
        status = HealthStatus.DATA_LOSS if record.ever_published else HealthStatus.DEGRADED
        yield HealthProblem(status, "SizeMismatch", said)
    elif item.size > promised and not changing:
        said = (
            f"it has {item.size} bytes, and {promised} are recorded; expand it to that size, so that it can be copied"
        )
        yield HealthProblem(HealthStatus.DEGRADED, "SizeMismatch", said)


def _of_pool(pool: Pool | None) -> Iterator[HealthProblem]:
    if pool is None:
        return
    words = {word.strip() for word in pool.state.split(",")}
    if words - SOUND_STATES:
        yield HealthProblem(HealthStatus.DEGRADED, "PoolDegraded", f"the pool {pool.slot} is {pool.state!r}")
    if pool.read_only:
        said = f"the pool {pool.slot} is mounted read-only; /disk/set {pool.slot} mount-read-only=no"
        yield HealthProblem(HealthStatus.DEGRADED, "PoolReadOnly", said)
