"""ControllerExpandVolume: the tag tells the new size first, then the file grows. Never shrinks anything."""

from functools import partial

from rdscsi.controller import sizes
from rdscsi.controller.backend import Backend, Seen
from rdscsi.controller.catalogue import Entry
from rdscsi.controller.overtaken import stamp
from rdscsi.controller.sources import refuse_pinned
from rdscsi.errors import NotFound, OperationPending, OutOfSpace, Refused
from rdscsi.journal import Json, Operation, VolumeRecord, changes
from rdscsi.model import CapacityRange, Expansion
from rdscsi.tags import TagState, render_tag

KIND = "expand"


async def expand(backend: Backend, volume_id: str, wanted: CapacityRange) -> Expansion:
    """Grow a volume to the range. The node has work left in any case: it must see the new size.

    Raises NotFound, CapacityOutOfRange, OutOfSpace or Refused with the volume as it was; else NotFinal, also while it
    is being copied.
    """
    slot = backend.own_slot(volume_id)
    if slot is None:
        raise NotFound(f"volume {volume_id} does not exist")
    backend.require_inventory()
    record = await backend.known(volume_id, slot)
    await refuse_pinned(backend, volume_id)
    seen = _ready(record, backend.seen(record, await backend.entry(slot)))
    size = sizes.grown(wanted, max(seen.item.size, seen.tag.size_bytes))
    request: dict[str, Json] = {"size_bytes": size, **stamp(backend, record)}
    async with backend.journal.operation(KIND, volume_id, request, supersedes=(KIND,)) as operation:
        return await carry_out(backend, operation)


async def carry_out(backend: Backend, operation: Operation) -> Expansion:
    """Grow the volume to the size of the intent, or prove that nothing has changed and close it as refused."""
    record = await backend.journal.volume(operation.subject)
    assert record is not None, "only known volumes are expanded"
    size = operation.request["size_bytes"]
    assert isinstance(size, int)
    seen = _ready(record, backend.seen(record, await backend.entry(record.slot)))
    size = max(size, seen.item.size)  # a line that was late may have made it larger than this intent knew
    delta = size - seen.item.size
    declared = backend.catalogue.declared_bytes() - max(seen.tag.size_bytes - seen.item.size, 0)
    try:
        with backend.space.promise(record.volume_id, delta, declared):
            await operation.step("expand", f"from {seen.item.size} to {size} bytes")
            entry = await _grow(backend, record, seen, size)
    except (Refused, OutOfSpace) as error:
        await _undo(backend, operation, record, error)
        raise
    after = backend.seen(record, entry)
    backend.expect(after.item.size >= size, f"at least {size} bytes large", entry)
    grown = backend.described(record, after.tag, after.item)
    await operation.finish(changes.put_volume(grown), outcome=f"{after.item.size} bytes")
    return Expansion(after.item.size, node_expansion_required=True)


def _ready(record: VolumeRecord, seen: Seen) -> Seen:
    if seen.tag.state is not TagState.READY:
        raise OperationPending(f"{record.volume_id} is {seen.tag.state.value}")
    return seen


async def _grow(backend: Backend, record: VolumeRecord, seen: Seen, size: int) -> Entry:
    old = render_tag(seen.tag)
    new = old if seen.tag.size_bytes == size else render_tag(seen.tag.evolve(size_bytes=size))
    line = partial(
        backend.device.expand,
        record.slot,
        old_tag=old,
        new_tag=new,
        size_bytes=size,
        need_free_bytes=max(0, size - seen.item.size) + backend.options.reserve_bytes,
    )
    return await backend.act(record.slot, line)


async def _undo(backend: Backend, operation: Operation, record: VolumeRecord, error: Refused) -> None:
    """Let the tag tell the size that the appliance shows, then close the operation."""
    entry = await backend.look_at(record.slot)
    seen = backend.seen(record, entry)
    if seen.tag.size_bytes != seen.item.size:
        await operation.step("undo", str(error))
        seen = backend.seen(record, await tell_size(backend, record, entry))
    await operation.fail(error, changes.put_volume(backend.described(record, seen.tag, seen.item)))


async def tell_size(backend: Backend, record: VolumeRecord, entry: Entry) -> Entry:
    """Let the tag tell the size that the volume has."""
    seen = backend.seen(record, entry)
    entry = await _grow(backend, record, seen, seen.item.size)
    after = backend.seen(record, entry)
    backend.expect(after.tag.size_bytes == after.item.size, "as large as its tag says", entry)
    return entry


async def regrow(backend: Backend, record: VolumeRecord, entry: Entry) -> Entry:
    """Grow a volume to the size that its tag tells already."""
    seen = backend.seen(record, entry)
    entry = await _grow(backend, record, seen, seen.tag.size_bytes)
    grown = backend.seen(record, entry)
    backend.expect(grown.item.size >= seen.tag.size_bytes, "as large as its tag says", entry)
    return entry
