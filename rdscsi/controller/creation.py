"""CreateVolume: two phases in one line; idempotent by name; undone when refused or abandoned.

The intent and a record in state `creating` are committed together, with the id under which the backing object will be
kept. From then on a crash, a lost reply or a cancellation leads back here: by the caller's retry, which adopts the
intent, or by `undo`, when nobody comes back.
"""

from collections.abc import Mapping, Sequence
from functools import partial

from rdscsi import names
from rdscsi.controller import sizes
from rdscsi.controller.backend import Backend
from rdscsi.controller.catalogue import Entry
from rdscsi.controller.erasing import erase, own_tag
from rdscsi.errors import (
    Abandoned,
    AlreadyExists,
    DriverError,
    NotOurs,
    OperationPending,
    OutOfSpace,
    Quarantined,
    Refused,
)
from rdscsi.journal import Change, Json, Operation, VolumeRecord, changes
from rdscsi.model import Volume, VolumeRequest
from rdscsi.routeros.lines import NewVolume
from rdscsi.tags import Tag, TagState, name_hash, parse_tag, render_tag

KIND = "create"


def request_hash(parameters: Mapping[str, str]) -> str:
    """Return the hash by which a repeated create is told from a different one; sizes are compared by themselves."""
    flat = [part for key in sorted(parameters) for part in (key, parameters[key])]
    return names.checksum("request", *flat, length=12)


async def create(backend: Backend, request: VolumeRequest) -> Volume:
    """Make a volume, or confirm that it is there as asked.

    Raises AlreadyExists, CapacityOutOfRange, OutOfSpace, NotOurs or Refused with nothing half made; else NotFinal.
    """
    size = sizes.choose(request.capacity_range, backend.options.default_capacity)
    backend.require_inventory()
    slot = backend.slot(request.name)
    record = await backend.journal.volume(backend.volume_id(slot))
    if record is not None:
        backend.refuse_held(record)
        if record.state == "deleting":
            raise OperationPending(f"{record.volume_id} is being deleted; a volume of that name can be made after that")
        if record.state == "ready":
            return await _confirm(backend, record, request)
        _refuse_other_attempt(record, request, size)
    wanted: dict[str, Json] = {
        "name": request.name,
        "size_bytes": size,
        "request_hash": request_hash(request.parameters),
    }
    intend = partial(_intend, backend, request.name, slot, record)
    async with backend.journal.operation(KIND, backend.volume_id(slot), wanted, changes=intend) as operation:
        return await carry_out(backend, operation)


def _intend(
    backend: Backend, csi_name: str, slot: str, record: VolumeRecord | None, operation_id: str
) -> Sequence[Change]:
    """The record of a volume in the making. One that was rebuilt from a half-made volume's tag keeps its backing."""
    if record is not None:
        return ()
    return [
        changes.put_volume(
            VolumeRecord(
                volume_id=backend.volume_id(slot),
                backend=backend.options.backend,
                slot=slot,
                csi_name=csi_name,
                backing=operation_id,
                capacity_bytes=0,
                state="creating",
                tag="",
                ever_published=False,
                quarantine="",
                updated_at=backend.now(),
            )
        )
    ]


def _refuse_other_attempt(record: VolumeRecord, request: VolumeRequest, size: int) -> None:
    """A half-made volume that only its tag tells of is finished by the same request alone (law 5)."""
    tag = parse_tag(record.tag)
    if tag is None or (_same(tag, request) and tag.size_bytes == size):
        return
    raise OperationPending(
        f"{request.name}: a volume of that name was left half made by another request; `rdscsi journal show "
        f"{record.volume_id}` tells of it"
    )


def _same(tag: Tag, request: VolumeRequest) -> bool:
    return (tag.name_hash, tag.request_hash) == (name_hash(request.name), request_hash(request.parameters))


async def _confirm(backend: Backend, record: VolumeRecord, request: VolumeRequest) -> Volume:
    """Compare an existing volume, as the appliance shows it now, with what is asked for."""
    seen = backend.seen(record, await backend.look_at(record.slot))
    if seen.tag.state is not TagState.READY:
        raise OperationPending(f"{record.volume_id} is {seen.tag.state.value}")
    if not _same(seen.tag, request):
        raise AlreadyExists(f"a volume named {request.name!r} exists with other parameters")
    wanted = request.capacity_range
    if not sizes.fits(seen.item.size, wanted):
        raise AlreadyExists(
            f"a volume named {request.name!r} exists with {seen.item.size} bytes; asked for were at least "
            f"{wanted.required_bytes} and at most {wanted.limit_bytes or 'any'}"
        )
    return Volume(record.volume_id, seen.item.size)


async def carry_out(backend: Backend, operation: Operation) -> Volume:
    """Make what the intent says, or finish what an earlier attempt has made of it. Raises as `create`."""
    record = await backend.journal.volume(operation.subject)
    assert record is not None, "the intent's changes made it"
    size = _number(operation.request, "size_bytes")
    entry = backend.catalogue.entry(record.slot)
    if operation.resumed or record.tag:
        entry = await backend.look_at(record.slot, record.backing)
        await _refuse_remains(backend, operation, record, entry)
    if not made(record, entry, size):
        try:
            entry = await _make(backend, operation, record, size)
        except (Refused, OutOfSpace, NotOurs) as error:
            if finished := await undo(backend, operation, error):
                return finished
            raise
    backend.expect(made(record, entry, size), "a ready volume", entry)
    return await _finish(backend, operation, record, entry)


async def _refuse_remains(backend: Backend, operation: Operation, record: VolumeRecord, entry: Entry) -> None:
    """What an undo has begun to remove, or a power loss has left without its file, becomes no volume: it goes first."""
    tag = own_tag(record, entry)
    if tag is None or (tag.state is not TagState.DELETING and record.backing in entry.backings):
        return
    error = Abandoned(f"{record.volume_id}: what was left of an earlier attempt had to be removed; ask again")
    await undo(backend, operation, error)
    raise OperationPending(str(error))


async def _make(backend: Backend, operation: Operation, record: VolumeRecord, size: int) -> Entry:
    """Send the create line. Raises NotOurs when a stranger has the slot, Quarantined when another create has."""
    half_made = backend.catalogue.entry(record.slot)
    missing = 0 if own_tag(record, half_made) is not None else size
    with backend.space.promise(record.volume_id, missing, backend.catalogue.declared_bytes()):
        new = _new_volume(backend, record, operation.request, size)
        await operation.step("create", f"{size} bytes in {new.file_path}")
        entry = await backend.act(record.slot, partial(backend.device.create, new), backend.backing(record))
    if entry.item is not None and own_tag(record, entry) is None:
        said = f"the slot {record.slot} is taken by an item that is not this volume: {entry.item.comment!r}"
        raise NotOurs(said) if entry.tag is None else Quarantined(said)
    return entry


def made(record: VolumeRecord, entry: Entry, size: int) -> bool:
    """Tell whether the volume of this create is there as asked for, its file too, and nobody reaches it."""
    tag, item = entry.tag, entry.item
    if tag is None or item is None or tag.operation != record.backing or record.backing not in entry.backings:
        return False
    return tag.state is TagState.READY and item.size == size and not item.nvme_tcp_export


async def _finish(backend: Backend, operation: Operation, record: VolumeRecord, entry: Entry) -> Volume:
    seen = backend.seen(record, entry)
    ready = backend.described(record, seen.tag, seen.item)
    await operation.finish(changes.put_volume(ready), outcome=f"{seen.item.size} bytes")
    return Volume(record.volume_id, seen.item.size)


def new_volume(backend: Backend, record: VolumeRecord, creating: Tag, ready: Tag) -> NewVolume:
    """Return what the create line needs; the line itself adds the backing object's uuid to both tags."""
    return NewVolume(
        slot=record.slot,
        backing=backend.backing(record),
        file_path=backend.device.file_path(backend.backing(record)),
        size_bytes=ready.size_bytes,
        creating=render_tag(creating),
        ready=render_tag(ready),
        keep_free_bytes=backend.options.reserve_bytes,
    )


def _new_volume(backend: Backend, record: VolumeRecord, request: Mapping[str, Json], size: int) -> NewVolume:
    creating = Tag(
        state=TagState.CREATING,
        operation=record.backing,
        generation=1,
        name_hash=name_hash(str(request["name"])),
        request_hash=str(request["request_hash"]),
        size_bytes=size,
    )
    return new_volume(backend, record, creating, creating.evolve(state=TagState.READY))


async def undo(backend: Backend, operation: Operation, error: DriverError) -> Volume | None:
    """Erase what a create has made so far and close it as refused by `error`; None when that is done.

    A volume that is ready is finished instead, and returned, whoever asked for it. A create that this journal only
    learned from a tag may have been acknowledged by another one (a power loss can turn a tag back): it is not undone
    here. Raises OperationPending then, and whatever leaves the end unknown.
    """
    record = await backend.journal.volume(operation.subject)
    if record is None:
        await operation.fail(error)
        return None
    entry = await backend.look_at(record.slot, record.backing)
    tag = own_tag(record, entry)
    if tag is not None and tag.state is TagState.READY and record.backing in entry.backings:
        return await _finish(backend, operation, record, entry)
    begun = record.backing in entry.backings and (tag is None or tag.state is TagState.CREATING)
    if begun and record.backing != operation.id:
        raise OperationPending(f"{error}; what is there was begun under another journal, and is left as it is")
    await operation.step("undo", str(error))
    tombstone = await erase(backend, record, unless_ready=record.backing in entry.backings)
    await operation.fail(error, changes.drop_volume(record.volume_id, tombstone))
    backend.catalogue.forget(record.slot)
    return None


def _number(request: Mapping[str, Json], key: str) -> int:
    value = request[key]
    assert isinstance(value, int), f"the intent holds {key}={value!r}"
    return value
