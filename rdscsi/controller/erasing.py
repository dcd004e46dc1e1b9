"""Taking a volume, whole or half made, off the appliance. Used by deletion and by creates that are undone.

The removing line proves ownership by the tag that it finds, and by the backing object's name, which holds the id of the
create that made it (law 5). What bears another tag or another name stays.
"""

from collections.abc import Callable
from functools import partial

from rdscsi.controller.backend import Backend
from rdscsi.controller.catalogue import Entry
from rdscsi.errors import OperationPending, UnexpectedAnswer
from rdscsi.journal import Tombstone, VolumeRecord
from rdscsi.tags import Tag, TagState, parse_tag, render_tag

_LOOKS = 3  # the tag of an item can be one line behind ours, and once more when that line was late


async def erase(
    backend: Backend, record: VolumeRecord, *, spared: Callable[[Tag], bool] = lambda _: False
) -> Tombstone:
    """Remove the record's item and backing object, and prove both gone; return the tombstone to keep.

    Whoever calls has decided that nobody may have the volume any more: an export is cut off first. `spared` says of
    which tag of it that is not so. Raises OperationPending when the tag goes on changing or is spared, UnexpectedAnswer
    when something is left.
    """
    for _ in range(_LOOKS):
        entry = await backend.entry(record.slot)
        ours = own_tag(record, entry)
        if ours is not None and spared(ours):
            raise OperationPending(f"{record.volume_id} has become ready meanwhile; it is not undone")
        if ours is not None and entry.item is not None and entry.item.nvme_tcp_export:
            entry = await cut(backend, record, ours)
            ours = own_tag(record, entry)
        last = ours or parse_tag(record.tag)
        entry = await _remove(backend, record, ours)
        if own_tag(record, entry) is None:
            return _proven(backend, record, last, entry)
    raise OperationPending(f"{record.volume_id}: the tag in slot {record.slot} changes under the removal")


async def cut(backend: Backend, record: VolumeRecord, tag: Tag) -> Entry:
    """Switch an export off: an operator may have left it on, and what returns after a power loss may be published."""
    same = render_tag(tag)
    line = partial(backend.device.unpublish, record.slot, old_tag=same, new_tag=same)
    entry = await backend.act(record.slot, line)
    backend.cut_off(record.slot)
    return entry


def own_tag(record: VolumeRecord, entry: Entry) -> Tag | None:
    """Return the tag in the slot when it is of the record's own create."""
    return entry.tag if entry.tag is not None and entry.tag.operation == record.backing else None


async def _remove(backend: Backend, record: VolumeRecord, tag: Tag | None) -> Entry:
    """Send the removal. Without an item of ours only the backing object goes."""
    old = new = ""
    if tag is not None:
        old = render_tag(tag)
        new = old if tag.state is TagState.DELETING else render_tag(tag.evolve(state=TagState.DELETING))
    backing = backend.backing(record)
    line = partial(backend.device.remove, backing, old_tag=old, new_tag=new)
    return await backend.act(record.slot, line, backing)


async def drop_item(backend: Backend, record: VolumeRecord, tag: Tag) -> Entry:
    """Remove an item whose file is gone, and what is left of its backing object, without a word about deleting."""
    same, backing = render_tag(tag), backend.backing(record)
    line = partial(backend.device.remove, backing, old_tag=same, new_tag=same)
    return await backend.act(record.slot, line, backing)


def _proven(backend: Backend, record: VolumeRecord, last: Tag | None, entry: Entry) -> Tombstone:
    if record.backing in entry.backings:
        raise UnexpectedAnswer(f"{record.volume_id}: {backend.backing(record).name} is still there after its removal")
    return buried(backend, record, last)


def buried(backend: Backend, record: VolumeRecord, last: Tag | None) -> Tombstone:
    """Return what is kept of a volume that is gone, and whose tag was `last` the last time anybody saw it."""
    return Tombstone(
        volume_id=record.volume_id,
        slot=record.slot,
        backing=record.backing,
        generation=last.generation if last is not None else 0,
        deleted_at=backend.now(),
    )
