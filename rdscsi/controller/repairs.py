"""Making good what an inventory found: after a power loss committed changes may be gone, and deleted volumes back.

Each repair is an operation of the journal like any other. It takes the place of a publish, unpublish or expansion that
was open: those are asked for again by their caller, and must not be built on what the appliance forgot. Whom an
unpublish was cutting off is not let in again all the same: by an old copy of the journal its caller has its answer.
"""

from collections.abc import Iterable
from dataclasses import replace
from functools import partial

from rdscsi import names
from rdscsi.controller import creation, deletion, expansion, publications, snapshot_deletion
from rdscsi.controller.backend import Backend
from rdscsi.controller.catalogue import Entry
from rdscsi.controller.erasing import drop_item, erase, own_tag
from rdscsi.controller.inventory import Repair
from rdscsi.controller.judgement import LOST, NOT_ADDED, Verdict
from rdscsi.controller.overtaken import BACKING
from rdscsi.errors import Refused
from rdscsi.journal import Change, Json, Operation, VolumeRecord, changes
from rdscsi.tags import Tag, TagState, parse_tag

KIND = "restore"
ERASE = "erase"
_REPLACED = (publications.PUBLISH, publications.UNPUBLISH, expansion.KIND, KIND, ERASE)
_WAITING = (creation.KIND, deletion.KIND)
_CUT = "cut"
_PATIENCE_SECONDS = 60.0
"""How long an item that the appliance refuses is tried to be added again: a refusal may pass."""


async def repair(backend: Backend, found: Repair) -> None:
    """Carry out one repair. Raises NotFinal when it must be tried again."""
    volume_id = backend.volume_id(found.slot)
    if found.slot.startswith(names.KIND_SNAPSHOT):
        await snapshot_deletion.erase(backend, volume_id, found.backings)
        return
    if found.verdict is Verdict.ERASE and await _is_waited_for(backend, found):
        await backend.journal.commit(*await _erased(backend, found.slot, found.backings))
        backend.catalogue.entry(found.slot).hold = ""
        return
    request: dict[str, Json] = {"why": found.verdict.value, "backings": list(found.backings), "reason": found.reason}
    kind = ERASE
    if found.verdict is not Verdict.ERASE:
        record = await backend.journal.volume(volume_id)
        if record is None:
            return  # deleted since: nothing is left to be restored
        kind, request = KIND, request | {BACKING: record.backing} | await _cut_meanwhile(backend, volume_id)
    async with backend.journal.operation(kind, volume_id, request, supersedes=_REPLACED, undoing=True) as operation:
        await carry_out(backend, operation)


async def _is_waited_for(backend: Backend, found: Repair) -> bool:
    """Tell whether an unfinished create or delete of the name waits for the erasing of what was deleted before it.

    Nothing takes the place of these two. So the tombstones alone are the intent: a crash leaves them, and the next
    inventory finds the same.
    """
    subject = backend.volume_id(found.slot)
    waiting = [one for one in await backend.journal.open_operations() if one.subject == subject]
    buried = {stone.backing for stone in await backend.journal.tombstones() if stone.slot == found.slot}
    return any(one.kind in _WAITING for one in waiting) and buried.issuperset(found.backings)


async def _cut_meanwhile(backend: Backend, volume_id: str) -> dict[str, Json]:
    """Return whom an open unpublish, or a repair that took its place, was cutting off."""
    for one in await backend.journal.open_operations():
        if one.subject == volume_id and one.kind == publications.UNPUBLISH:
            return {_CUT: one.request["node"]}
        if one.subject == volume_id and one.kind == KIND and _CUT in one.request:
            return {_CUT: one.request[_CUT]}
    return {}


async def carry_out(backend: Backend, operation: Operation) -> None:
    """Do what the intent says, judged afresh by what the appliance shows now."""
    slot = backend.own_slot(operation.subject)
    assert slot is not None, "repairs are made for slots of this cluster only"
    if operation.kind == ERASE:
        await _erase_returned(backend, operation, slot)
    else:
        await _restore(backend, operation)
    backend.catalogue.entry(slot).hold = ""


async def _erase_returned(backend: Backend, operation: Operation, slot: str) -> None:
    """Erase what the inventory found deleted. That was decided for good: nobody can repeat the creates of these ids."""
    wanted = operation.request["backings"]
    assert isinstance(wanted, list)
    await operation.step("erase", ", ".join(f"{slot}.{backing}" for backing in wanted))
    last = await _erased(backend, slot, map(str, wanted))
    record = await backend.journal.volume(operation.subject)
    if record is not None and record.backing in wanted:
        last.append(changes.drop_volume(record.volume_id, None))
        backend.catalogue.forget(slot)
    await operation.finish(*last, outcome="gone again")


async def _erased(backend: Backend, slot: str, backings: Iterable[str]) -> list[Change]:
    """Erase what creates of these ids have left; return what is to be kept of them."""
    return [changes.bury(await erase(backend, _ghost(backend, slot, backing))) for backing in backings]


def _ghost(backend: Backend, slot: str, backing: str) -> VolumeRecord:
    """A record of a volume that was deleted, for the one purpose of deleting it again."""
    return VolumeRecord(
        volume_id=backend.volume_id(slot),
        backend=backend.options.backend,
        slot=slot,
        csi_name="",
        backing=backing,
        capacity_bytes=0,
        state="deleting",
        tag="",
        ever_published=True,
        quarantine="",
        updated_at=backend.now(),
    )


async def _restore(backend: Backend, operation: Operation) -> None:
    record = await backend.journal.volume(operation.subject)
    assert record is not None, "nothing deletes a volume while it is being restored"
    if record.backing != operation.request[BACKING]:
        # An old copy of the journal holds this; an inventory has learned what was made under the name since.
        await operation.finish(outcome="gone; what bears the name now was made since")
        return
    committed = parse_tag(record.tag)
    assert committed is not None, "only what has a committed tag is restored"
    entry = await backend.look_at(record.slot, record.backing)
    why = operation.request["why"]
    if entry.item is None and why != Verdict.MAKE_AGAIN.value:
        try:
            entry = await _add_again(backend, operation, record)
        except Refused as refused:
            if why != Verdict.ADD_OR_MAKE.value:
                await _give_up(backend, operation, record, refused)
                return
            why = Verdict.MAKE_AGAIN.value  # its directory is all that the power loss has left
    if why == Verdict.MAKE_AGAIN.value:
        entry = await _make_again(backend, operation, record, committed, entry)
    elif (tag := own_tag(record, entry)) is None or tag.generation <= committed.generation:
        entry = await _as_committed(backend, operation, record, committed, entry)
    # Else the appliance is ahead of an intent that an old copy of the journal holds: the record follows it.
    after = backend.seen(record, entry)
    await operation.finish(changes.put_volume(backend.described(record, after.tag, after.item)), outcome="restored")


async def _as_committed(
    backend: Backend, operation: Operation, record: VolumeRecord, committed: Tag, entry: Entry
) -> Entry:
    """Bring item, tag, export and size back to what the journal committed; the file keeps its content.

    Whoever was being cut off stays out.
    """
    await operation.step("restore", record.tag)
    cut = operation.request.get(_CUT)
    entry = await publications.restore(backend, record, None if cut is None else str(cut))
    if entry.item is not None and entry.item.size < committed.size_bytes:
        entry = await expansion.regrow(backend, record, entry)
    elif entry.item is not None and entry.item.size > committed.size_bytes:
        # An expansion that this took the place of, or its late line, had grown the file, and nothing shrinks it.
        entry = await expansion.tell_size(backend, record, entry)
    return entry


async def _add_again(backend: Backend, operation: Operation, record: VolumeRecord) -> Entry:
    """Add the item again to the file that is there. Raises Refused when the appliance takes no item for it."""
    await operation.step("add again", record.slot)
    backing = backend.backing(record)
    line = partial(backend.device.add_again, backing, tag=record.tag)
    entry = await backend.act(record.slot, line, backing)
    backend.expect(entry.item is not None, "there again", entry)
    return entry


async def _give_up(backend: Backend, operation: Operation, record: VolumeRecord, refused: Refused) -> None:
    """Leave to a person what the appliance has refused for a while. Raises `refused` before that.

    A power loss can take a file and leave its directory; nobody knows whether it was that.
    """
    if backend.now() - operation.opened_at < _PATIENCE_SECONDS:
        raise refused
    known = replace(record, quarantine=f"{LOST}{NOT_ADDED}{refused}", updated_at=backend.now())
    await operation.fail(refused, changes.put_volume(known))


async def _make_again(
    backend: Backend, operation: Operation, record: VolumeRecord, committed: Tag, entry: Entry
) -> Entry:
    """Make a volume that nobody ever had once more, empty. Its tag is a new one: the backing object is another.

    What was made since the intent stays as it is: an old copy of the journal may hold this long after it was done.
    """
    if _made_since(record, committed, entry):
        return entry
    if entry.item is not None and record.backing not in entry.backings:
        await operation.step("drop", f"the item in {record.slot}, whose file is gone")
        entry = await drop_item(backend, record, backend.seen(record, entry).tag)
    creating = committed.evolve(state=TagState.CREATING, backing_uuid="")
    new = creation.new_volume(backend, record, creating, creating.evolve(state=TagState.READY))
    await operation.step("make again", record.slot)
    entry = await backend.act(record.slot, partial(backend.device.create, new), backend.backing(record))
    backend.expect(creation.made(record, entry, committed.size_bytes), "made again", entry)
    return entry


def _made_since(record: VolumeRecord, committed: Tag, entry: Entry) -> bool:
    """Tell whether the volume is there, file and all, with a tag that was written after the journal's."""
    tag, item = own_tag(record, entry), entry.item
    if tag is None or item is None or tag.state is not TagState.READY or tag.generation <= committed.generation:
        return False
    return item.block_device and record.backing in entry.backings
