"""Creates that nobody asks for again: undone; where the volume is ready, kept, waited for or given up (ADR 0006).

A ready volume may be in use although its create is open: the journal may be an old copy. It is given up only when it is
this journal's own create, to the letter as that made it, and Kubernetes, asked afresh, knows neither a PersistentVolume
that names it nor the claim that it was made for. That is committed before the first line is sent (the record's state
`deleting`), and from then on no answer hands the volume out; the removing line still compares the whole tag.
"""

from dataclasses import replace

from rdscsi.controller import creation
from rdscsi.controller.backend import Backend, log
from rdscsi.controller.catalogue import Entry
from rdscsi.controller.creation import CLAIM
from rdscsi.controller.evidence import Claims
from rdscsi.errors import DriverError, OperationPending
from rdscsi.journal import Operation, VolumeRecord, changes
from rdscsi.journal.records import TOLD, UNCLAIMED_META
from rdscsi.model import Claim, Standing


class StillClaimed(OperationPending):
    """The claim that the volume is made for is still there: its caller may come back at any time."""


async def abandon(backend: Backend, claims: Claims | None, operation: Operation, error: DriverError) -> None:
    """End a create that nobody asks for any more.

    Raises StillClaimed and ClusterUnavailable while it has to wait, and what `creation.undo` raises.
    """
    record = await backend.journal.volume(operation.subject)
    if record is not None and record.state == "creating":
        entry = await backend.look_at(record.slot, record.backing)
        if creation.ready(record, entry):
            if not await _given_up(backend, claims, operation, record, entry):
                return
        elif entry.item is None and record.backing in entry.backings:
            await _refuse_handed_out(claims, operation, record)
    await creation.undo(backend, operation, error)


async def _given_up(
    backend: Backend, claims: Claims | None, operation: Operation, record: VolumeRecord, entry: Entry
) -> bool:
    """Decide about a volume that is ready: commit that it goes, or that it stays."""
    why, claim = "", _claim(operation)
    if record.backing != operation.id:
        why = "it was begun under another journal"
    elif not creation.untouched(backend, operation, record, entry):
        why = "it holds data, or somebody had it"
    elif claims is None:
        why = "nobody can be asked whether it is claimed (claim-evidence=none)"
    elif claim is None:
        why = "nobody told which claim it was made for"
    else:
        standing = await claims.standing(record.volume_id, record.csi_name, claim)
        if standing is Standing.CLAIM:
            raise StillClaimed(f"{record.volume_id}: the claim {claim.namespace}/{claim.name} waits for it")
        if standing is Standing.NOBODY:
            await operation.step("give up", standing.value)
            await operation.record(changes.put_volume(replace(record, state="deleting", updated_at=backend.now())))
            return True
        await creation.finish(backend, operation, record, entry, outcome=f"nobody asked again; {standing.value}")
        return False
    log.warning("kept although nobody asked for it again", volume_id=record.volume_id, reason=why)
    mark = changes.put_meta(UNCLAIMED_META + record.backing, f"{backend.now():.0f} {why}")
    await creation.finish(backend, operation, record, entry, mark, outcome=f"nobody asked again; kept: {why}")
    return False


async def _refuse_handed_out(claims: Claims | None, operation: Operation, record: VolumeRecord) -> None:
    """Ask about a file without an item: half made, or handed out long ago and robbed of its item since.

    The second, where the journal is an old copy. Raises StillClaimed, and OperationPending until a person has decided.
    """
    claim = _claim(operation)
    if claims is None or claim is None:
        return
    standing = await claims.standing(record.volume_id, record.csi_name, claim)
    if standing is Standing.CLAIM:
        raise StillClaimed(f"{record.volume_id}: the claim {claim.namespace}/{claim.name} is there")
    if standing is Standing.VOLUME:
        raise OperationPending(
            f"{record.volume_id}: its create is open and its item is gone, but a PersistentVolume names it; "
            "the journal may be an old copy. Its file is left as it is, and "
            f"rdscsi journal abandon {record.volume_id} deletes it"
        )


def _claim(operation: Operation) -> Claim | None:
    told = operation.request.get(TOLD)
    text = told.get(CLAIM) if isinstance(told, dict) else None
    namespace, _, name = str(text or "").partition("/")
    return Claim(namespace, name) if namespace and name else None
