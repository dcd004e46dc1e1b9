"""DeleteSnapshot, and erasing what returns of deleted ones: one line each, and proof that the subvolume is gone.

A subvolume's name holds the id of the create that made it, so that the removing line takes nobody else's. Volumes that
were made of the snapshot, and the volume that it was taken of, are subvolumes of their own and notice nothing.
"""

from dataclasses import replace
from functools import partial

from rdscsi import names
from rdscsi.controller import snapshot_creation
from rdscsi.controller.backend import Backend
from rdscsi.controller.judgement import LOST
from rdscsi.controller.snapshot_creation import send, tombstone
from rdscsi.controller.sources import refuse_pinned, snapshot_backing
from rdscsi.errors import InvalidRequest, Quarantined, UnexpectedAnswer
from rdscsi.journal import Operation, Tombstone, changes
from rdscsi.names import SnapshotBacking, parse_snapshot_backing

KIND = "delete-snapshot"
ERASE = "erase-snapshot"


def own_slot(backend: Backend, snapshot_id: str) -> str | None:
    """The slot that a snapshot id names; None for an id that this driver cannot have handed out for a snapshot.

    Raises InvalidRequest for one of another backend or cluster: nothing may be told or done about it here.
    """
    parsed = names.parse_volume_id(snapshot_id)
    if parsed is None or not parsed.slot.startswith(names.KIND_SNAPSHOT):
        return None
    if parsed.backend != backend.options.backend:
        said = f"this controller serves the backend {backend.options.backend!r}"
        raise InvalidRequest("snapshot_id", snapshot_id, said)
    if not names.slot_of_cluster(parsed.slot, names.KIND_SNAPSHOT, backend.options.cluster_id):
        raise InvalidRequest("snapshot_id", snapshot_id, "the snapshot of another cluster is never touched")
    return parsed.slot


async def delete(backend: Backend, snapshot_id: str) -> None:
    """Delete a snapshot. An id that this driver never handed out is deleted already; nothing is touched for it.

    Raises NotFinal, also while a volume is being made of it.
    """
    if own_slot(backend, snapshot_id) is None:
        return
    backend.require_inventory()
    record = await backend.journal.snapshot(snapshot_id)
    if record is None:
        return
    if record.quarantine and not record.quarantine.startswith(LOST):
        raise Quarantined(f"{snapshot_id}: {record.quarantine}")
    await refuse_pinned(backend, snapshot_id)
    doomed = changes.put_snapshot(replace(record, state="deleting", updated_at=backend.now()))
    async with backend.journal.operation(
        KIND,
        snapshot_id,
        {"leaf": record.leaf},
        supersedes=(snapshot_creation.KIND, ERASE),
        changes=[doomed],
        undoing=True,
    ) as operation:
        await carry_out(backend, operation)


async def carry_out(backend: Backend, operation: Operation) -> None:
    """Remove the snapshot and forget it, leaving a tombstone.

    Whatever else bears its id goes too: a create that the journal knows nothing of made it, and left where it is it
    would be learned as a snapshot that somebody was told is gone.
    """
    record = await backend.journal.snapshot(operation.subject)
    assert record is not None, "the intent's changes made it"
    own = snapshot_backing(record)
    await operation.step("remove", record.leaf)
    await _remove(backend, own)
    stone = tombstone(backend, record)
    for other in await backend.snapshot_survey.of(record.slot):
        if other.name != own.name:
            await operation.record(changes.bury(replace(stone, backing=other.operation)))
            await operation.step("remove", f"{other.name}, which no record knows")
            await _remove(backend, other)
    await operation.finish(changes.drop_snapshot(record.snapshot_id, stone), outcome="gone")
    backend.catalogue.snapshots.release(record.slot)


async def erase(backend: Backend, snapshot_id: str, leaves: tuple[str, ...]) -> None:
    """Erase subvolumes of snapshots that were deleted for good and are there again. Raises NotFinal."""
    request = {"leaves": list(leaves)}
    async with backend.journal.operation(ERASE, snapshot_id, request, supersedes=(ERASE,), undoing=True) as operation:
        await carry_out_erase(backend, operation)


async def carry_out_erase(backend: Backend, operation: Operation) -> None:
    """Remove what the intent names, and keep a tombstone of each."""
    wanted = operation.request["leaves"]
    assert isinstance(wanted, list)
    stones = []
    for name in map(str, wanted):
        backing = parse_snapshot_backing(name)
        assert backing is not None, "an inventory found it by its name"
        await operation.step("erase", name)
        await _remove(backend, backing)
        stones.append(Tombstone(operation.subject, backing.slot, backing.operation, 0, backend.now()))
    await operation.finish(*map(changes.bury, stones), outcome="gone again")


async def _remove(backend: Backend, backing: SnapshotBacking) -> None:
    line = partial(backend.device.remove, backing, old_tag="", new_tag="")
    answer = await send(backend, backing.slot, line)
    if any(leaf.name == backing.name for leaf in answer.leaves):
        raise UnexpectedAnswer(f"{backing.name} is still there after its removal")
