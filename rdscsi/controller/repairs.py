"""Making good what an inventory found: after a power loss committed changes may be gone, and deleted volumes back.

Each repair is an operation of the journal like any other. It takes the place of a publish, unpublish or expansion that
was open: those are asked for again by their caller, and must not be built on what the appliance forgot.
"""

from functools import partial

from rdscsi.controller import creation, expansion, publications
from rdscsi.controller.backend import Backend
from rdscsi.controller.erasing import erase
from rdscsi.controller.inventory import Repair
from rdscsi.controller.judgement import Verdict
from rdscsi.errors import NotFound
from rdscsi.journal import Operation, VolumeRecord, changes
from rdscsi.tags import parse_tag

KIND = "restore"
ERASE = "erase"
_REPLACED = (publications.PUBLISH, publications.UNPUBLISH, expansion.KIND, KIND, ERASE)


async def repair(backend: Backend, found: Repair) -> None:
    """Carry out one repair. Raises NotFinal when it must be tried again."""
    volume_id = backend.volume_id(found.slot)
    kind = ERASE if found.verdict is Verdict.ERASE else KIND
    request = {"why": found.verdict.value, "backings": list(found.backings)}
    async with backend.journal.operation(kind, volume_id, request, supersedes=_REPLACED, undoing=True) as operation:
        await carry_out(backend, operation)


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
    wanted = operation.request["backings"]
    assert isinstance(wanted, list)
    buried = {(stone.slot, stone.backing): stone for stone in await backend.journal.tombstones()}
    for backing in map(str, wanted):
        stone = buried.get((slot, backing))
        if stone is not None:
            await operation.step("erase", f"{slot}.{backing}")
            await erase(backend, _ghost(backend, slot, backing))
    await operation.finish(outcome="gone again")


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
    if record is None:
        await operation.fail(NotFound(f"volume {operation.subject} is not recorded any more"))
        return
    entry = await backend.look_at(record.slot)
    if entry.item is None:
        await _bring_back(backend, operation, record)
    await operation.step("restore", record.tag)
    entry = await publications.restore(backend, record)
    tag = parse_tag(record.tag)
    assert tag is not None
    if entry.item is not None and entry.item.size < tag.size_bytes:
        entry = await expansion.regrow(backend, record, entry)
    after = backend.seen(record, entry)
    await operation.finish(changes.put_volume(backend.described(record, after.tag, after.item)), outcome="restored")


async def _bring_back(backend: Backend, operation: Operation, record: VolumeRecord) -> None:
    """Add the item again to its file. Without a file, a volume that nobody ever had is made again, empty."""
    tag = parse_tag(record.tag)
    assert tag is not None, "a ready volume has a committed tag"
    await operation.step("add again", record.slot)
    line = partial(backend.device.add_again, backend.backing(record), tag=record.tag)
    entry = await backend.act(record.slot, line)
    if entry.item is None and not record.ever_published:
        await operation.step("make again", record.slot)
        new = creation.new_volume(backend, record, tag, tag)
        entry = await backend.act(record.slot, partial(backend.device.create, new))
    backend.expect(entry.item is not None, "there again", entry)
