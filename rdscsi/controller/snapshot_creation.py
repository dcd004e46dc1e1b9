"""CreateSnapshot: one statement, which Btrfs carries out as a whole; idempotent by name; undone when refused.

A snapshot is not there at all or it is ready: nothing of it can be half made. Its subvolume's name, which is recorded
with the intent, holds all that must be known of it; so it survives the journal, and the volume that it was taken of.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial

from rdscsi import names
from rdscsi.controller.backend import Backend
from rdscsi.controller.sources import SOURCE, Source, alone, find, snapshot_backing
from rdscsi.errors import (
    AlreadyExists,
    DriverError,
    NotFound,
    NotSupported,
    OperationPending,
    OutOfSpace,
    Quarantined,
    Refused,
    UnexpectedAnswer,
)
from rdscsi.journal import Change, Json, Operation, SnapshotRecord, Tombstone, changes
from rdscsi.model import ContentSource, Snapshot, SnapshotRequest
from rdscsi.names import SnapshotBacking
from rdscsi.routeros.answers import Answer, Leaf
from rdscsi.routeros.calendar import seconds_since_epoch
from rdscsi.routeros.lines import NewCopy

KIND = "create-snapshot"


async def create(backend: Backend, request: SnapshotRequest) -> Snapshot:
    """Make a snapshot, or confirm that it is there.

    Raises NotSupported for a pool without Btrfs, NotFound for an unknown volume, AlreadyExists when the name is
    another volume's snapshot, OutOfSpace or Refused with nothing made; else NotFinal.
    """
    backend.require_inventory()
    slot = names.slot(names.KIND_SNAPSHOT, backend.options.cluster_id, request.name)
    snapshot_id = backend.volume_id(slot)
    record = await backend.journal.snapshot(snapshot_id)
    if record is not None:
        refuse_held(record)
        if record.source_volume_id != request.source_volume_id:
            raise _taken(record, request)
        if record.state == "ready":
            return await _confirm(backend, record)
    wanted: dict[str, Json] = {"name": request.name, SOURCE: request.source_volume_id}
    changes_of = () if record is not None else await _intent(backend, request, slot)
    async with backend.journal.operation(KIND, snapshot_id, wanted, changes=changes_of) as operation:
        return await carry_out(backend, operation)


async def _intent(backend: Backend, request: SnapshotRequest, slot: str) -> Callable[[str], Sequence[Change]]:
    if not backend.device.place.btrfs:
        pool = backend.device.settings.pool_slot
        raise NotSupported(f"the pool {pool!r} has no Btrfs, and only Btrfs can take snapshots of its volumes")
    source = await find(backend, ContentSource(volume_id=request.source_volume_id))
    return partial(_intend, backend, request, slot, source)


async def carry_out(backend: Backend, operation: Operation) -> Snapshot:
    """Make what the intent says, or find it made by an earlier attempt. Raises as `create`."""
    record = await backend.journal.snapshot(operation.subject)
    assert record is not None, "the intent's changes made it"
    if operation.resumed:
        answer = await look(backend, record)
        if leaf_of(record, answer) is not None:
            return await _finish(backend, operation, record, answer)
    work = partial(_copy, backend, operation, record)
    try:
        named, answer = await alone(backend, record.source_volume_id, record.snapshot_id, work)
    except (Refused, OutOfSpace, NotFound) as error:
        if finished := await undo(backend, operation, error):
            return finished
        raise
    return await _finish(backend, operation, named, answer)


async def _copy(
    backend: Backend, operation: Operation, record: SnapshotRecord, source: Source
) -> "tuple[SnapshotRecord, Answer]":
    """Send the copy line. A volume that has grown since the intent has the new name recorded before it is used."""
    wanted = SnapshotBacking(record.slot, snapshot_backing(record).operation, source.origin.backing, source.size_bytes)
    if wanted.name != record.leaf:
        record = replace(record, leaf=wanted.name, size_bytes=wanted.size_bytes, updated_at=backend.now())
        await operation.record(changes.put_snapshot(record))
    new = NewCopy(wanted, source.origin, True, wanted.size_bytes + backend.options.reserve_bytes)
    with backend.space.promise(record.snapshot_id, wanted.size_bytes, backend.catalogue.declared_bytes()):
        await operation.step("snapshot", f"{source.origin.backing.name} as {wanted.name}")
        answer = await send(backend, record.slot, partial(backend.device.copy, new))
        backend.catalogue.snapshots.reserve(record.slot, wanted.size_bytes)
    return record, answer


async def _finish(backend: Backend, operation: Operation, record: SnapshotRecord, answer: Answer) -> Snapshot:
    """Commit what is proven: the subvolume is there under its own name, and nobody can write to it."""
    leaf = _proven(record, answer)
    ready = replace(
        record,
        state="ready",
        created_at=seconds_since_epoch(leaf.created, answer.facts.get("gmt-offset", "")),
        uuid=leaf.uuid,
        updated_at=backend.now(),
    )
    await operation.finish(changes.put_snapshot(ready), outcome=f"{ready.size_bytes} bytes")
    backend.catalogue.snapshots.reserve(record.slot, record.size_bytes)
    return shown(ready)


async def _confirm(backend: Backend, record: SnapshotRecord) -> Snapshot:
    answer = await look(backend, record)
    if _proven(record, answer).uuid != record.uuid:
        raise Quarantined(f"{record.snapshot_id}: another subvolume has taken its name; the next inventory judges it")
    return shown(record)


async def undo(backend: Backend, operation: Operation, error: DriverError) -> Snapshot | None:
    """Close a create as refused by `error` once the snapshot is proven absent; None then.

    One that is there is finished instead, and returned, whoever asked for it. Raises NotFinal when nobody knows.
    """
    record = await backend.journal.snapshot(operation.subject)
    if record is None:
        await operation.fail(error)
        return None
    answer = await look(backend, record)
    if leaf_of(record, answer) is not None:
        return await _finish(backend, operation, record, answer)
    await operation.fail(error, changes.drop_snapshot(record.snapshot_id, tombstone(backend, record)))
    backend.catalogue.snapshots.release(record.slot)
    return None


def _intend(
    backend: Backend, request: SnapshotRequest, slot: str, source: Source, operation_id: str
) -> Sequence[Change]:
    backing = SnapshotBacking(slot, operation_id, source.origin.backing, source.size_bytes)
    record = SnapshotRecord(
        snapshot_id=backend.volume_id(slot),
        backend=backend.options.backend,
        slot=slot,
        csi_name=request.name,
        source_volume_id=request.source_volume_id,
        leaf=backing.name,
        size_bytes=backing.size_bytes,
        created_at=0.0,
        uuid="",
        state="creating",
        quarantine="",
        updated_at=backend.now(),
    )
    return [changes.put_snapshot(record)]


def refuse_held(record: SnapshotRecord) -> None:
    """Raise Quarantined or OperationPending for a snapshot that nothing may be done with now."""
    if record.quarantine:
        raise Quarantined(f"{record.snapshot_id}: {record.quarantine}")
    if record.state == "deleting":
        raise OperationPending(f"{record.snapshot_id} is being deleted; a snapshot of that name can be made after that")


def _taken(record: SnapshotRecord, request: SnapshotRequest) -> DriverError:
    said = f"{request.name!r} is a snapshot of {record.source_volume_id}"
    return AlreadyExists(said) if record.state == "ready" else OperationPending(f"{said}, and not finished")


async def look(backend: Backend, record: SnapshotRecord) -> Answer:
    """Observe a snapshot afresh. An absence counts only when no line of the past can still act there."""
    backing = snapshot_backing(record)
    answer = await backend.device.observe_copy(backing)
    if leaf_of(record, answer) is None and backend.device.settled_in(record.slot) > 0:
        await backend.device.wait_settled(record.slot)
        answer = await backend.device.observe_copy(backing)
    backend.space.saw(answer.pool)
    return answer


async def send(backend: Backend, slot: str, line: Callable[[], Awaitable[Answer]]) -> Answer:
    """Send a line about a snapshot's slot; inventories that it overtakes tell nothing of that."""
    backend.catalogue.snapshots.touch(slot)
    try:
        answer = await line()
    finally:
        backend.catalogue.snapshots.touch(slot)
    backend.space.saw(answer.pool)
    return answer


def leaf_of(record: SnapshotRecord, answer: Answer) -> Leaf | None:
    """Return the snapshot's subvolume out of an answer."""
    return next((leaf for leaf in answer.leaves if leaf.name == record.leaf), None)


def _proven(record: SnapshotRecord, answer: Answer) -> Leaf:
    leaf = leaf_of(record, answer)
    if leaf is None:
        raise OperationPending(f"{record.snapshot_id}: its subvolume {record.leaf} is not on the appliance")
    if not leaf.read_only:
        raise Quarantined(f"{record.snapshot_id}: its subvolume {record.leaf} is not read-only")
    if not leaf.uuid:
        raise UnexpectedAnswer(f"the subvolume {record.leaf} is shown without its uuid")
    return leaf


def tombstone(backend: Backend, record: SnapshotRecord) -> Tombstone:
    """Return what is kept of a snapshot that is gone: whatever comes back of that create is erased."""
    return Tombstone(
        volume_id=record.snapshot_id,
        slot=record.slot,
        backing=snapshot_backing(record).operation,
        generation=0,
        deleted_at=backend.now(),
    )


def shown(record: SnapshotRecord) -> Snapshot:
    """Return a snapshot as CSI tells of it: ready unless a person must look first."""
    return Snapshot(
        snapshot_id=record.snapshot_id,
        source_volume_id=record.source_volume_id,
        size_bytes=record.size_bytes,
        created_at=record.created_at,
        ready=not record.quarantine,
    )
