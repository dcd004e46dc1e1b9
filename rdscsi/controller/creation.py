"""CreateVolume: two phases in one line; idempotent by name; undone when refused or abandoned.

The intent and a record in state `creating` are committed together, with the id under which the backing object will be
kept. From then on a crash, a lost reply or a cancellation leads back here: by the caller's retry, which adopts the
intent, or by `undo`, when nobody comes back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from rdscsi import names, tuning
from rdscsi.controller import sizes
from rdscsi.controller.backend import Backend
from rdscsi.controller.catalogue import Entry
from rdscsi.controller.erasing import cut, erase, own_tag
from rdscsi.controller.sources import SOURCE, Source, alone, find
from rdscsi.errors import (
    Abandoned,
    AlreadyExists,
    DriverError,
    InvalidRequest,
    NotFound,
    NotOurs,
    OperationPending,
    OutOfSpace,
    Quarantined,
    Refused,
)
from rdscsi.journal import Change, Json, Operation, VolumeRecord, changes
from rdscsi.journal.records import TOLD, UNCLAIMED_META
from rdscsi.model import CapacityRange, ContentSource, Volume, VolumeRequest
from rdscsi.routeros.lines import NewCopy, NewVolume
from rdscsi.tags import NO_SOURCE, Tag, TagState, name_hash, parse_tag, render_tag, source_word

KIND = "create"
_MADE = 2
"""The generation of a tag that a create has made ready; every later change raises it."""
CLAIM = "claim"
"""What an intent keeps of the claim that a volume is for: `namespace/name`, among what was told beside the request."""


def request_hash(parameters: Mapping[str, str]) -> str:
    """Return the hash by which a repeated create is told from a different one; sizes are compared by themselves."""
    flat = [part for key in sorted(parameters) for part in (key, parameters[key])]
    return names.checksum("request", *flat, length=12)


async def create(backend: Backend, request: VolumeRequest) -> Volume:
    """Make a volume, or confirm that it is there as asked.

    Raises AlreadyExists, CapacityOutOfRange, OutOfSpace, NotOurs or Refused, and NotFound for its content source, with
    nothing half made; else NotFinal.
    """
    sizes.choose(request.capacity_range, backend.options.default_capacity)  # what no volume can have is said first
    backend.require_inventory()
    slot = backend.slot(request.name)
    record = await backend.journal.volume(backend.volume_id(slot))
    if record is not None:
        backend.refuse_held(record)
        if record.state == "deleting":
            raise OperationPending(f"{record.volume_id} is being deleted; a volume of that name can be made after that")
        if record.state == "ready":
            return await _confirm(backend, record, request)
    size = await _intended(backend, slot, request) or await _size(backend, request)
    if record is not None:
        _refuse_other_attempt(record, request, size)
    wanted: dict[str, Json] = {
        "name": request.name,
        "size_bytes": size,
        "request_hash": request_hash(request.parameters),
    }
    if request.source is not None:
        wanted[SOURCE] = request.source.source_id
    if request.claim is not None:
        wanted[TOLD] = {CLAIM: f"{request.claim.namespace}/{request.claim.name}"}
    intend = partial(_intend, backend, request, slot, record)
    async with backend.journal.operation(KIND, backend.volume_id(slot), wanted, changes=intend) as operation:
        volume = await carry_out(backend, operation)
    _refuse_other_size(request, volume.capacity_bytes)
    return _answered(volume, request)


async def _intended(backend: Backend, slot: str, request: VolumeRequest) -> int | None:
    """The size that an open intent has for a copy: whatever became of its source since, the intent is gone on with."""
    for operation in await backend.journal.open_operations():
        if operation.subject != backend.volume_id(slot) or operation.kind != KIND or SOURCE not in operation.request:
            continue
        size = _number(operation.request, "size_bytes")
        return size if sizes.fits(size, request.capacity_range) else None
    return None


async def _size(backend: Backend, request: VolumeRequest) -> int:
    """Choose the size; a copy is as large as its source at least. Raises InvalidRequest for what cannot be copied."""
    if request.source is None:
        return sizes.choose(request.capacity_range, backend.options.default_capacity)
    if not backend.device.place.btrfs:
        pool = backend.device.settings.pool_slot
        said = f"nothing: the pool {pool!r} has no Btrfs, and only Btrfs can copy its volumes"
        raise InvalidRequest("volume_content_source", request.source.source_id, said)
    source = await find(backend, request.source)
    wanted = request.capacity_range
    least = CapacityRange(max(wanted.required_bytes, source.size_bytes), wanted.limit_bytes)
    return sizes.choose(least, source.size_bytes)


def _intend(
    backend: Backend, request: VolumeRequest, slot: str, record: VolumeRecord | None, operation_id: str
) -> Sequence[Change]:
    """The record of a volume in the making. One that was rebuilt from a half-made volume's tag keeps its backing.

    A copy counts as published from the beginning: what is lost of it must never be made again empty.
    """
    if record is not None:
        return ()
    return [
        changes.put_volume(
            VolumeRecord(
                volume_id=backend.volume_id(slot),
                backend=backend.options.backend,
                slot=slot,
                csi_name=request.name,
                backing=operation_id,
                capacity_bytes=0,
                state="creating",
                tag="",
                ever_published=request.source is not None,
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
    asked = (name_hash(request.name), request_hash(request.parameters), _source_word(request.source))
    return (tag.name_hash, tag.request_hash, tag.source) == asked


def _source_word(source: ContentSource | None) -> str:
    parsed = names.parse_volume_id(source.source_id) if source is not None else None
    return source_word(parsed.slot) if parsed is not None else NO_SOURCE


async def _confirm(backend: Backend, record: VolumeRecord, request: VolumeRequest) -> Volume:
    """Compare an existing volume, as the appliance shows it now, with what is asked for."""
    seen = backend.seen(record, await backend.look_at(record.slot))
    if seen.tag.state is not TagState.READY:
        raise OperationPending(f"{record.volume_id} is {seen.tag.state.value}")
    if not _same(seen.tag, request):
        raise AlreadyExists(f"a volume named {request.name!r} exists with other parameters or another content source")
    _refuse_other_size(request, seen.item.size)
    if await backend.journal.get_meta(UNCLAIMED_META + record.backing) is not None:
        await backend.journal.commit(changes.drop_meta(UNCLAIMED_META + record.backing))
    return _answered(Volume(record.volume_id, seen.item.size), request)


def _answered(volume: Volume, request: VolumeRequest) -> Volume:
    """Add what the request itself says; nothing has to remember it, for a repeated request is the same (law 5)."""
    return replace(volume, source=request.source, volume_context=tuning.context(request.parameters))


def _refuse_other_size(request: VolumeRequest, size: int) -> None:
    wanted = request.capacity_range
    if not sizes.fits(size, wanted):
        raise AlreadyExists(
            f"a volume named {request.name!r} exists with {size} bytes; asked for were at least "
            f"{wanted.required_bytes} and at most {wanted.limit_bytes or 'any'}"
        )


async def carry_out(backend: Backend, operation: Operation) -> Volume:
    """Make what the intent says, or finish what an earlier attempt has made of it. Raises as `create`."""
    record = await backend.journal.volume(operation.subject)
    assert record is not None, "the intent's changes made it"
    size = _number(operation.request, "size_bytes")
    entry = backend.catalogue.entry(record.slot)
    if operation.resumed or record.tag:
        entry = await backend.look_at(record.slot, record.backing)
        await _refuse_remains(backend, operation, record, entry)
        entry = await _unexported(backend, record, entry)
        if _changed_since(record, entry):
            return await finish(backend, operation, record, entry)
    if not made(record, entry, size):
        try:
            entry = await _make(backend, operation, record, size)
        except (Refused, OutOfSpace, NotOurs, NotFound, Abandoned) as error:
            if finished := await undo(backend, operation, error):
                return finished
            raise
    backend.expect(made(record, entry, size), "a ready volume", entry)
    if not backend.operations.waited_for(operation.subject):
        # Finished, it would count as handed out, and nobody could tell it from a volume that somebody has (ADR 0006).
        raise OperationPending(f"{operation.subject} is ready, and nobody waits for it any more: its caller has to ask")
    return await finish(backend, operation, record, entry)


def _changed_since(record: VolumeRecord, entry: Entry) -> bool:
    """Tell whether the volume was grown or published after it was made: a journal that knows more handed it out.

    Whatever it is now, it is not what this create would make, and waiting for that would never end.
    """
    tag = own_tag(record, entry)
    return tag is not None and ready(record, entry) and tag.generation > _MADE


async def _unexported(backend: Backend, record: VolumeRecord, entry: Entry) -> Entry:
    """Switch off the export of a volume that nobody was told of yet: only a person can have switched it on."""
    tag, item = own_tag(record, entry), entry.item
    if tag is None or item is None or not item.nvme_tcp_export or tag.active_nodes:
        return entry
    return await cut(backend, record, tag)


async def _refuse_remains(backend: Backend, operation: Operation, record: VolumeRecord, entry: Entry) -> None:
    """What an undo has begun to remove, or a power loss has left without its file, becomes no volume: it goes first.

    So does what was given up: a line that removes it may be on its way, though it is still to be seen.
    """
    tag = own_tag(record, entry)
    whole = tag is None or (tag.state is not TagState.DELETING and record.backing in entry.backings)
    if whole and record.state != "deleting":
        return
    error = Abandoned(f"{record.volume_id}: what was left of an earlier attempt had to be removed; ask again")
    if await undo(backend, operation, error) is None:
        raise OperationPending(str(error))
    raise OperationPending(f"{record.volume_id} was given up, and is kept after all; ask again")


async def _make(backend: Backend, operation: Operation, record: VolumeRecord, size: int) -> Entry:
    """Send the create line. Raises NotOurs when a stranger has the slot, Quarantined when another create has."""
    half_made = backend.catalogue.entry(record.slot)
    missing = 0 if own_tag(record, half_made) is not None else size
    with backend.space.promise(record.volume_id, missing, backend.catalogue.declared_bytes()):
        new = _new_volume(backend, record, operation.request, size)
        if new.copied and not half_made.backings.intersection({record.backing}):
            await _copy(backend, operation, record, size)
        await operation.step("create", f"{size} bytes in {new.file_path}")
        entry = await backend.act(record.slot, partial(backend.device.create, new), backend.backing(record))
    if entry.item is not None and own_tag(record, entry) is None:
        said = f"the slot {record.slot} is taken by an item that is not this volume: {entry.item.comment!r}"
        raise NotOurs(said) if entry.tag is None else Quarantined(said)
    return entry


async def _copy(backend: Backend, operation: Operation, record: VolumeRecord, size: int) -> None:
    """Make the backing object a copy of the source, which is held still meanwhile. It is whole or not there at all.

    Raises NotFound when the source is gone, Abandoned when it has grown beyond the size that was intended.
    """

    async def copy(source: Source) -> None:
        if source.size_bytes > size:
            raise Abandoned(f"{source.source_id} has grown to {source.size_bytes} bytes meanwhile; ask again")
        new = NewCopy(backend.backing(record), source.origin, False, size + backend.options.reserve_bytes)
        await operation.step("copy", f"{source.origin.backing.name} as {new.backing.name}")
        entry = await backend.act(record.slot, partial(backend.device.copy, new), new.backing)
        if record.backing not in entry.backings:
            raise OperationPending(f"{source.source_id} is not what it was taken for; it is looked at again")

    source_id = str(operation.request[SOURCE])
    await alone(backend, source_id, record.volume_id, copy)


def made(record: VolumeRecord, entry: Entry, size: int) -> bool:
    """Tell whether the volume of this create is there as asked for, its file too, and nobody reaches it."""
    tag, item = entry.tag, entry.item
    if tag is None or item is None or tag.operation != record.backing or record.backing not in entry.backings:
        return False
    return tag.state is TagState.READY and item.size == size and not item.nvme_tcp_export


def untouched(backend: Backend, operation: Operation, record: VolumeRecord, entry: Entry) -> bool:
    """Tell whether the volume is, to the letter, what this very create made of nothing, so that nobody had it yet.

    A publish would have raised the generation and stayed in the tag. A copy holds data from the beginning.
    """
    size = _number(operation.request, "size_bytes")
    if record.backing != operation.id or entry.tag is None or not made(record, entry, size):
        return False
    left = parse_tag(_new_volume(backend, record, operation.request, size).ready)
    return replace(entry.tag, backing_uuid="") == left and entry.tag.blank


async def finish(
    backend: Backend, operation: Operation, record: VolumeRecord, entry: Entry, *also: Change, outcome: str = ""
) -> Volume:
    """Commit that the volume is there, as it was just seen, and close its create."""
    seen = backend.seen(record, entry)
    ready = backend.described(record, seen.tag, seen.item)
    await operation.finish(changes.put_volume(ready), *also, outcome=outcome or f"{seen.item.size} bytes")
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
        copied=ready.source != NO_SOURCE,
    )


def _new_volume(backend: Backend, record: VolumeRecord, request: Mapping[str, Json], size: int) -> NewVolume:
    source = ContentSource(str(request[SOURCE])) if SOURCE in request else None
    creating = Tag(
        state=TagState.CREATING,
        operation=record.backing,
        generation=_MADE - 1,
        name_hash=name_hash(str(request["name"])),
        request_hash=str(request["request_hash"]),
        size_bytes=size,
        blank=source is None,
        source=_source_word(source),
    )
    return new_volume(backend, record, creating, creating.evolve(state=TagState.READY))


def ready(record: VolumeRecord, entry: Entry) -> bool:
    """Tell whether the record's volume was made to its end, whatever was done with it since."""
    tag = own_tag(record, entry)
    return tag is not None and tag.state is TagState.READY and record.backing in entry.backings


async def undo(backend: Backend, operation: Operation, error: DriverError) -> Volume | None:
    """Erase what a create has made so far and close it as refused by `error`; None when that is done.

    A volume that is ready is finished instead, and returned, whoever asked for it, unless it was given up and nobody
    has had it (`abandoning`). A create that this journal only learned from a tag may have been acknowledged by another
    one (a power loss can turn a tag back): it is not undone here. Raises OperationPending then, and whatever leaves the
    end unknown.
    """
    record = await backend.journal.volume(operation.subject)
    if record is None:
        await operation.fail(error)
        return None
    entry = await backend.look_at(record.slot, record.backing)
    tag = own_tag(record, entry)
    doomed = record.state == "deleting" and untouched(backend, operation, record, entry)
    if ready(record, entry) and not doomed:
        return await finish(backend, operation, record, entry)
    there = record.backing in entry.backings
    begun = there and (tag is None or tag.state is TagState.CREATING)
    if begun and record.backing != operation.id:
        raise OperationPending(f"{error}; what is there was begun under another journal, and is left as it is")

    def spared(now: Tag) -> bool:
        """Of a create nothing that is ready goes, but what is doomed, with the very tag that was judged."""
        return there and now.state is TagState.READY and not (doomed and now == tag)

    await operation.step("undo", str(error))
    tombstone = await erase(backend, record, spared=spared)
    await operation.fail(error, changes.drop_volume(record.volume_id, tombstone))
    backend.catalogue.forget(record.slot)
    return None


def _number(request: Mapping[str, Json], key: str) -> int:
    value = request[key]
    assert isinstance(value, int), f"the intent holds {key}={value!r}"
    return value
