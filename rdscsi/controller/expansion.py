"""ControllerExpandVolume: the tag tells the new size first, then the file grows. Never shrinks anything."""

from contextlib import AbstractContextManager
from functools import partial

from rdscsi.controller import overtaken, sizes
from rdscsi.controller.backend import Backend, Seen
from rdscsi.controller.catalogue import Entry
from rdscsi.controller.sources import refuse_pinned
from rdscsi.errors import NotFound, OperationPending, OutOfSpace, Refused
from rdscsi.journal import Operation, VolumeRecord, changes
from rdscsi.model import CapacityRange, Expansion
from rdscsi.tags import Tag, TagState, render_tag

KIND = overtaken.EXPAND


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
    await _refuse_early(backend, record, seen, size)
    request = await overtaken.stamped(backend, record, KIND, {"size_bytes": size})
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
    try:
        with _promise(backend, record, seen, size):
            await operation.step("expand", f"from {seen.item.size} to {size} bytes")
            entry = await _retell(backend, record, seen, overtaken.beyond(operation, _sized(seen.tag, size)))
    except (Refused, OutOfSpace) as error:
        grown_before = await _undo(backend, operation, record, size, error)
        if grown_before is None:
            raise
        entry = grown_before
    after = backend.seen(record, entry)
    backend.expect(after.item.size >= size, f"at least {size} bytes large", entry)
    grown = backend.described(record, after.tag, after.item)
    await operation.finish(changes.put_volume(grown), outcome=f"{after.item.size} bytes")
    return Expansion(after.item.size, node_expansion_required=True)


async def _refuse_early(backend: Backend, record: VolumeRecord, seen: Seen, size: int) -> None:
    """Refuse what the pool cannot hold before an intent is written, from a fresh look (law 7).

    A caller may ask again for hours, and a refusal after an intent costs a change of the tag. An intent that is open
    already comes to its own end.
    """
    try:
        with _promise(backend, record, seen, size):
            return
    except OutOfSpace:
        if await backend.journal.open_operation(record.volume_id) is not None:
            return
    seen = _ready(record, backend.seen(record, await backend.look_at(record.slot)))
    if seen.tag.size_bytes == seen.item.size:
        with _promise(backend, record, seen, size):
            return


def _promise(backend: Backend, record: VolumeRecord, seen: Seen, size: int) -> AbstractContextManager[None]:
    """Hold what the volume lacks of that size. What its tag says already is not asked for twice."""
    declared = backend.catalogue.declared_bytes() - max(seen.tag.size_bytes - seen.item.size, 0)
    return backend.space.promise(record.volume_id, size - seen.item.size, declared)


def _ready(record: VolumeRecord, seen: Seen) -> Seen:
    if seen.tag.state is not TagState.READY:
        raise OperationPending(f"{record.volume_id} is {seen.tag.state.value}")
    return seen


def _sized(tag: Tag, size: int) -> Tag:
    return tag if tag.size_bytes == size else tag.evolve(size_bytes=size)


async def _retell(backend: Backend, record: VolumeRecord, seen: Seen, tag: Tag) -> Entry:
    """Put a tag on the volume, and let it grow to the size that the tag tells."""
    line = partial(
        backend.device.expand,
        record.slot,
        old_tag=render_tag(seen.tag),
        new_tag=render_tag(tag),
        size_bytes=tag.size_bytes,
        need_free_bytes=max(0, tag.size_bytes - seen.item.size) + backend.options.reserve_bytes,
    )
    return await backend.act(record.slot, line)


async def _undo(
    backend: Backend, operation: Operation, record: VolumeRecord, size: int, error: Refused
) -> Entry | None:
    """Let the tag tell the size that the appliance shows, then close the operation; None then.

    The tag moves on in any case: an old copy of the journal may hold the intent open, and would grow the volume to a
    size that nobody knows any more (law 5). What an earlier attempt had grown already is returned, and nothing undone.
    """
    entry = await backend.look_at(record.slot)
    seen = backend.seen(record, entry)
    if min(seen.tag.size_bytes, seen.item.size) >= size:
        return entry
    if seen.tag.size_bytes != seen.item.size or not overtaken.is_past(operation, seen.tag):
        await operation.step("undo", str(error))
        tag = overtaken.outdated(operation, seen.tag.evolve(size_bytes=seen.item.size))
        entry = await _retell(backend, record, seen, tag)
        seen = backend.seen(record, entry)
        backend.expect((seen.tag, seen.item.size) == (tag, tag.size_bytes), "as the refused intent's end", entry)
    await operation.fail(error, changes.put_volume(backend.described(record, seen.tag, seen.item)))
    return None


async def tell_size(backend: Backend, record: VolumeRecord, entry: Entry) -> Entry:
    """Let the tag tell the size that the volume has."""
    seen = backend.seen(record, entry)
    entry = await _retell(backend, record, seen, _sized(seen.tag, seen.item.size))
    after = backend.seen(record, entry)
    backend.expect(after.tag.size_bytes == after.item.size, "as large as its tag says", entry)
    return entry


async def regrow(backend: Backend, record: VolumeRecord, entry: Entry) -> Entry:
    """Grow a volume to the size that its tag tells already."""
    seen = backend.seen(record, entry)
    entry = await _retell(backend, record, seen, seen.tag)
    grown = backend.seen(record, entry)
    backend.expect(grown.item.size >= seen.tag.size_bytes, "as large as its tag says", entry)
    return entry
