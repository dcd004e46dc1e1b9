"""`rdscsi volume import`: a file disk that somebody else made becomes a volume of ours. Its data is never touched.

The item gets our tag and our slot; its file stays where it is, so that its path, which nothing derives, stands in the
tag. It is asked for as a wish in the journal (`requests`) and carried out as an operation like any other: once begun it
is finished, unless the disk is proven not to be what it was, or to be in use; then it is nobody's again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import trio

from rdscsi import names
from rdscsi.controller.backend import Backend
from rdscsi.controller.catalogue import Entry
from rdscsi.controller.erasing import own_tag
from rdscsi.controller.sizes import MAXIMUM_BYTES
from rdscsi.errors import DriverError, InvalidRequest, NotFound, NotOurs, NotPermittedNow, OperationPending, Refused
from rdscsi.journal import Change, Json, Operation, VolumeRecord, changes
from rdscsi.model import AccessMode, AccessType, Volume
from rdscsi.names import ImportedBacking
from rdscsi.routeros.adopting import Adoption
from rdscsi.routeros.answers import Answer, DiskItem
from rdscsi.routeros.lines import Place
from rdscsi.tags import (
    NodeState,
    PublicationTag,
    Tag,
    TaggedNode,
    TagState,
    hashed_node,
    name_hash,
    parse_tag,
    render_tag,
)

KIND = "adopt"
SECTOR_BYTES = 512
LONGEST_SLOT = 64  # RouterOS took slots of 40 before it had a bound of 32
_NO_REQUEST = "-"  # nobody's CreateVolume made it
_MOST_NODES = 3  # that a tag ever has to name: two, and one that left and may still be writing
_HIGHEST_GENERATION = 999_999


def csi_name(path: str) -> str:
    """Return what stands for the CSI name of an imported volume; no CreateVolume has such a name."""
    return f"import {path}"


def slot_of(cluster_id: str, path: str) -> str:
    """Return the slot that the disk over this file gets: the same one however often it is imported."""
    return names.slot(names.KIND_VOLUME, cluster_id, csi_name(path))


def mount_point(place: Place) -> str:
    """Return where the pool is mounted, without slashes at its ends."""
    return place.base_path.removesuffix(place.directory).rstrip("/")


def obstacles(item: DiskItem, place: Place) -> list[str]:
    """Say why a disk cannot be imported, each with what would be right; empty when it can. Pure."""
    at = f"/disk {item.slot!r}"
    found = [] if item.type == "file" else [f"{at}: type={item.type}; only disks with type=file can be imported"]
    if item.nvme_tcp_export:
        found.append(
            f"{at}: nvme-tcp-export=yes as {item.nvme_tcp_server_nqn!r}; whoever uses it must stop, then set it to no"
        )
    found += [
        f"{at}: {name} is set; end that use of it first (/disk/print detail shows it)" for name in item.other_uses
    ]
    if item.disabled or not item.block_device:
        found.append(f"{at}: it is no block device now; enable it, or find out why its file is not there")
    if item.comment and not _left_over(item):
        found.append(f"{at}: comment={item.comment!r} may be another owner's mark; empty it if nobody needs it")
    if item.size <= 0 or item.size % SECTOR_BYTES or item.size > MAXIMUM_BYTES:
        found.append(f"{at}: size={item.size}; it must be a multiple of {SECTOR_BYTES}, at most {MAXIMUM_BYTES}")
    return [*found, *_path_obstacles(item, place, at)] if item.type == "file" else found


def _path_obstacles(item: DiskItem, place: Place, at: str) -> list[str]:
    path, pool = item.file_path, mount_point(place)
    if not path.startswith(f"{pool}/"):
        return [f"{at}: file-path={path!r}; it must be on this backend's pool, below {pool!r}"]
    if any(names.parse_backing(part) for part in path.split("/")):
        return [f"{at}: file-path={path!r} is the file of a volume that this driver made; see `rdscsi journal volumes`"]
    try:
        render_tag(_longest(path, item.size))
    except ValueError:
        return [
            f"{at}: file-path={path!r} cannot stand in a tag: it is too long, or has blanks or other than ASCII in it"
        ]
    return []


def _longest(path: str, size_bytes: int) -> Tag:
    """The longest tag that a volume with this file can come to have."""
    nodes = tuple(TaggedNode(hashed_node(str(number)), NodeState.DIRTY) for number in range(_MOST_NODES))
    shared = PublicationTag(
        names.epoch(bytes(10)), AccessType.BLOCK, AccessMode.MULTI_NODE_MULTI_WRITER, False, False, nodes
    )
    tag = _tag(names.operation_id(bytes(8)), path, size_bytes)
    return replace(tag, state=TagState.DELETING, generation=_HIGHEST_GENERATION, publication=shared)


def _left_over(item: DiskItem) -> bool:
    """Tell whether the comment is what an import of this very disk has left that was cut short."""
    tag = parse_tag(item.comment)
    return tag is not None and tag.state is TagState.CREATING and tag.path == item.file_path


def _tag(operation: str, path: str, size_bytes: int) -> Tag:
    return Tag(
        state=TagState.CREATING,
        operation=operation,
        generation=1,
        name_hash=name_hash(csi_name(path)),
        request_hash=_NO_REQUEST,
        size_bytes=size_bytes,
        blank=False,
        path=path,
    )


def check_slot(slot: str) -> None:
    """Raise InvalidRequest for what cannot be the slot of any disk: nothing of the kind is sent to a console."""
    if not (slot.isascii() and slot.isprintable() and 0 < len(slot) <= LONGEST_SLOT):
        expected = f"a slot as /disk/print shows it: printable ASCII, at most {LONGEST_SLOT} characters"
        raise InvalidRequest("slot", slot[:LONGEST_SLOT], expected)


async def adopt(backend: Backend, from_slot: str, path: str) -> Volume:
    """Import the file disk in a slot, whose file is `path`; or confirm that it is imported.

    Raises InvalidRequest, NotFound, NotPermittedNow, NotOurs or Refused with the disk as it was; else NotFinal.
    """
    check_slot(from_slot)
    backend.require_inventory()
    slot = slot_of(backend.options.cluster_id, path)
    volume_id = backend.volume_id(slot)
    record = await backend.journal.volume(volume_id)
    if record is not None and record.state != "creating":
        backend.refuse_held(record)
        if record.state == "ready":
            return Volume(volume_id, record.capacity_bytes)
        raise OperationPending(f"{volume_id} is {record.state}")
    wanted = await _resumed(backend, volume_id, from_slot, path) or await _checked(backend, slot, from_slot, path)
    changes_of = partial(_intend, backend, slot, wanted)
    async with backend.journal.operation(KIND, volume_id, wanted, changes=changes_of) as operation:
        return await carry_out(backend, operation)


async def _resumed(backend: Backend, volume_id: str, from_slot: str, path: str) -> Mapping[str, Json] | None:
    """Return the request of an import of this disk that is open: it has left its traces, and is gone on with."""
    for one in await backend.journal.open_operations():
        if (one.subject, one.kind) == (volume_id, KIND):
            if (one.request["from"], one.request["path"]) == (from_slot, path):
                return one.request
            raise OperationPending(f"{volume_id} is being imported out of slot {one.request['from']!r}")
    return None


async def _checked(backend: Backend, slot: str, from_slot: str, path: str) -> Mapping[str, Json]:
    """Look at the disk before anything is written down, and say what is wanted of it."""
    await backend.device.wait_settled(from_slot)
    item = (await backend.device.observe(from_slot)).disk(from_slot)
    if item is None:
        raise NotFound(f"no disk of the appliance has the slot {from_slot!r}; see /disk/print")
    if item.file_path != path:
        raise NotPermittedNow(f"/disk {from_slot!r}: file-path={item.file_path!r}; the one asked about had {path!r}")
    if found := obstacles(item, backend.device.place):
        raise NotPermittedNow("; ".join(found))
    if from_slot != slot and (taken := (await backend.device.observe(slot)).disk(slot)) is not None:
        raise NotOurs(f"the slot {slot}, which it would get, is taken by {taken.file_path!r}")
    return {"from": from_slot, "path": path, "size_bytes": item.size, "comment": item.comment}


def _intend(backend: Backend, slot: str, wanted: Mapping[str, Json], operation_id: str) -> Sequence[Change]:
    size = wanted["size_bytes"]
    assert isinstance(size, int), f"the intent holds size_bytes={size!r}"
    record = VolumeRecord(
        volume_id=backend.volume_id(slot),
        backend=backend.options.backend,
        slot=slot,
        csi_name=csi_name(str(wanted["path"])),
        backing=operation_id,
        capacity_bytes=size,
        state="creating",
        tag="",
        ever_published=True,  # it holds somebody's data, so that it is never made again empty
        quarantine="",
        updated_at=backend.now(),
    )
    return [changes.put_volume(record)]


async def carry_out(backend: Backend, operation: Operation) -> Volume:
    """Make the disk ours, or find it made ours by an earlier attempt. Raises as `adopt`."""
    record = await backend.journal.volume(operation.subject)
    assert record is not None, "the intent's changes made it"
    wanted = _adoption(record, operation.request)
    backend.imported[record.backing] = wanted.backing.path
    await operation.step("adopt", f"/disk {wanted.from_slot!r} over {wanted.backing.path} as {record.slot}")
    try:
        entry, answer = await _send(backend, wanted)
    except Refused as error:
        await _give_up(backend, operation, record, wanted, error)
        raise
    if own_tag(record, entry) is None:
        obstacle = _why_not(wanted, entry, answer)
        await _give_up(backend, operation, record, wanted, obstacle)
        raise obstacle
    backend.expect(_ready(record, entry, wanted), "a ready volume", entry)
    # Whoever had it before must not come back with an export that a power loss turns on again, and the name that it is
    # known by from now on must not be lost with it.
    await trio.sleep(backend.options.flush_delay)
    entry = await backend.look_at(record.slot, record.backing)
    backend.expect(_ready(record, entry, wanted), "a ready volume", entry)
    seen = backend.seen(record, entry)
    outcome = f"{wanted.backing.path}, {seen.item.size} bytes"
    await operation.finish(changes.put_volume(backend.described(record, seen.tag, seen.item)), outcome=outcome)
    return Volume(record.volume_id, seen.item.size)


def _adoption(record: VolumeRecord, request: Mapping[str, Json]) -> Adoption:
    size = request["size_bytes"]
    assert isinstance(size, int), f"the intent holds size_bytes={size!r}"
    path = str(request["path"])
    creating = _tag(record.backing, path, size)
    return Adoption(
        from_slot=str(request["from"]),
        comment=str(request["comment"]),
        backing=ImportedBacking(record.slot, record.backing, path),
        size_bytes=size,
        creating=render_tag(creating),
        ready=render_tag(creating.evolve(state=TagState.READY)),
    )


async def _send(backend: Backend, wanted: Adoption) -> tuple[Entry, Answer]:
    answers: list[Answer] = []

    async def line() -> Answer:
        answers.append(await backend.device.adopt(wanted))
        return answers[-1]

    entry = await backend.act(wanted.backing.slot, line, wanted.backing)
    return entry, answers[-1]


def _ready(record: VolumeRecord, entry: Entry, wanted: Adoption) -> bool:
    tag, item = own_tag(record, entry), entry.item
    if tag is None or item is None or record.backing not in entry.backings:
        return False
    exact = item.size == wanted.size_bytes and item.file_path == wanted.backing.path
    return tag.state is TagState.READY and exact and not item.nvme_tcp_export


def _why_not(wanted: Adoption, entry: Entry, answer: Answer) -> DriverError:
    """Say what kept the disk from becoming ours."""
    if entry.item is not None:
        return NotOurs(f"the slot {entry.slot} is taken by an item that is not this volume: {entry.item.comment!r}")
    item = answer.disk(wanted.from_slot)
    if item is None:
        return NotFound(f"the disk in slot {wanted.from_slot!r} is gone")
    return NotPermittedNow(
        f"/disk {wanted.from_slot!r} is not as it was seen, or has partitions: it is left alone; look, and ask again"
    )


async def _give_up(
    backend: Backend, operation: Operation, record: VolumeRecord, wanted: Adoption, error: DriverError
) -> None:
    """Take our tag off the disk, unless it has our slot already; close the import as refused by `error` once proven.

    Raises OperationPending when it has become ours meanwhile, or goes on bearing our tag.
    """
    backend.catalogue.doubt(record.slot)
    await operation.step("give up", str(error))
    answer = await backend.device.disclaim(wanted)
    item, ours = answer.disk(wanted.from_slot), answer.disk(record.slot)
    tagged = [one for one in (item, ours) if one is not None and one.comment in (wanted.creating, wanted.ready)]
    if tagged:
        raise OperationPending(f"{record.volume_id}: {error}; the disk bears our tag in slot {tagged[0].slot}")
    await operation.fail(error, changes.drop_volume(record.volume_id, None))
    backend.imported.pop(record.backing, None)
    backend.catalogue.forget(record.slot)
