"""DeleteVolume: refused while published; otherwise one line, and proof that slot and backing object are gone."""

from dataclasses import replace

from rdscsi.controller import creation, expansion
from rdscsi.controller.backend import Backend
from rdscsi.controller.catalogue import Entry
from rdscsi.controller.erasing import buried, erase
from rdscsi.controller.judgement import LOST
from rdscsi.controller.sources import refuse_pinned
from rdscsi.errors import NotFound, NotPermittedNow, Quarantined
from rdscsi.journal import Operation, VolumeRecord, changes
from rdscsi.journal.records import UNCLAIMED_META
from rdscsi.tags import parse_tag

KIND = "delete"
_GIVEN_UP = (creation.KIND, expansion.KIND)
"""What a delete takes the place of: its caller has given the volume up, whole or half made."""


async def delete(backend: Backend, volume_id: str) -> None:
    """Delete a volume. An id that this driver never handed out is deleted already; nothing is touched for it.

    Raises NotPermittedNow while a node may reach the volume; else NotFinal, also while it is being copied. Snapshots
    and clones of it stay: their subvolumes are their own.
    """
    slot = backend.own_slot(volume_id)
    if slot is None:
        return
    backend.require_inventory()
    record = await _deletable(backend, volume_id, slot)
    if record is None:
        return
    if record.state == "ready":
        await _refuse_published(backend, record)
    await refuse_pinned(backend, volume_id)
    doomed = changes.put_volume(replace(record, state="deleting", updated_at=backend.now()))
    request = {"backing": record.backing}
    async with backend.journal.operation(
        KIND, volume_id, request, supersedes=_GIVEN_UP, changes=[doomed], undoing=True
    ) as operation:
        await carry_out(backend, operation)


async def carry_out(backend: Backend, operation: Operation) -> None:
    """Remove what is left of the volume and forget it, leaving a tombstone."""
    record = await backend.journal.volume(operation.subject)
    assert record is not None, "the intent's changes made it"
    if record.backing != operation.request["backing"]:
        await _gone_before(backend, operation, record)
        return
    await operation.step("remove", record.slot)
    tombstone = await erase(backend, record)
    _refuse_another(backend, record)
    unmarked = changes.drop_meta(UNCLAIMED_META + record.backing)
    await operation.finish(changes.drop_volume(record.volume_id, tombstone), unmarked, outcome="gone")
    backend.catalogue.forget(record.slot)


async def _gone_before(backend: Backend, operation: Operation, newer: VolumeRecord) -> None:
    """End a delete that only an old copy of the journal holds open (law 5): it was carried out long ago.

    An inventory has found nothing of that create, and learned what was made under the name since, which nobody asked to
    delete.
    """
    former = replace(newer, backing=str(operation.request["backing"]))
    outcome = "gone; what bears the name now was made since"
    await operation.finish(changes.bury(buried(backend, former, None)), outcome=outcome)


def _refuse_another(backend: Backend, record: VolumeRecord) -> None:
    """The volume is gone only when no create of its name has anything there; this record may be the older one."""
    tag = backend.catalogue.entry(record.slot).tag
    if tag is not None:
        raise Quarantined(
            f"{record.volume_id}: the slot holds what another create of that name made ({tag.operation}), which this "
            "journal does not know"
        )


async def _deletable(backend: Backend, volume_id: str, slot: str) -> VolumeRecord | None:
    record = await backend.journal.volume(volume_id)
    if record is not None and record.quarantine.startswith(LOST):
        return record
    try:
        return await backend.known(volume_id, slot)
    except NotFound:
        return None


async def _refuse_published(backend: Backend, record: VolumeRecord) -> None:
    if record.quarantine:
        return
    entry = await backend.entry(record.slot)
    if _published(record, entry):
        entry = await backend.look_at(record.slot)  # a final refusal is never told from memory
    tag = entry.tag if entry.item is not None else parse_tag(record.tag)
    if entry.item is not None and (tag is None or tag.operation != record.backing):
        raise Quarantined(f"{record.volume_id}: the item in slot {record.slot} is not this volume's")
    if tag is not None and _published(record, entry):
        nodes = ", ".join(node.node for node in tag.active_nodes)
        raise NotPermittedNow(f"{record.volume_id} is published to {nodes}; unpublish it first")


def _published(record: VolumeRecord, entry: Entry) -> bool:
    tag = entry.tag if entry.item is not None else parse_tag(record.tag)
    return tag is not None and bool(tag.active_nodes)
