"""Taking a volume, whole or half made, off the appliance. Used by deletion and by creates that are undone.

The removing line proves ownership by the tag that it finds, and by the backing object's name, which holds the id of the
create that made it (law 5). What bears another tag or another name stays.
"""

from functools import partial

from rdscsi.controller.backend import Backend
from rdscsi.controller.catalogue import Entry
from rdscsi.errors import OperationPending, UnexpectedAnswer
from rdscsi.journal import Tombstone, VolumeRecord
from rdscsi.routeros.answers import Answer
from rdscsi.tags import Tag, TagState, parse_tag, render_tag

_LOOKS = 3  # the tag of an item can be one line behind ours, and once more when that line was late


async def erase(backend: Backend, record: VolumeRecord) -> Tombstone:
    """Remove the record's item and backing object, and prove both gone; return the tombstone to keep.

    Raises OperationPending when the item is exported or goes on changing, UnexpectedAnswer when something is left.
    """
    for _ in range(_LOOKS):
        entry = await backend.entry(record.slot)
        ours = _own_tag(record, entry)
        if ours is not None and entry.item is not None and entry.item.nvme_tcp_export:
            entry = await _cut(backend, record, ours)
            ours = _own_tag(record, entry)
        last = ours or parse_tag(record.tag)
        entry, answer = await _remove(backend, record, ours)
        if _own_tag(record, entry) is None:
            return _buried(backend, record, last, answer)
    raise OperationPending(f"{record.volume_id}: the tag in slot {record.slot} changes under the removal")


async def _cut(backend: Backend, record: VolumeRecord, tag: Tag) -> Entry:
    """Switch off an export that no publication knows of, as an operator may have left it; a publication stays."""
    if tag.active_nodes:
        nodes = ", ".join(node.node for node in tag.active_nodes)
        raise OperationPending(f"{record.volume_id}: it is published to {nodes}; it is not removed")
    same = render_tag(tag)
    line = partial(backend.device.unpublish, record.slot, old_tag=same, new_tag=same)
    return await backend.act(record.slot, line)


def _own_tag(record: VolumeRecord, entry: Entry) -> Tag | None:
    return entry.tag if entry.tag is not None and entry.tag.operation == record.backing else None


async def _remove(backend: Backend, record: VolumeRecord, tag: Tag | None) -> tuple[Entry, Answer]:
    """Send the removal. Without an item of ours its tags match nothing, and only the backing object goes."""
    if tag is None:
        old = new = "-"
    else:
        old = render_tag(tag)
        new = old if tag.state is TagState.DELETING else render_tag(tag.evolve(state=TagState.DELETING))
    line = partial(backend.device.remove, backend.backing(record), old_tag=old, new_tag=new)
    return await backend.act_and_tell(record.slot, line)


def _buried(backend: Backend, record: VolumeRecord, last: Tag | None, answer: Answer) -> Tombstone:
    if answer.leaves:
        raise UnexpectedAnswer(f"{record.volume_id}: {answer.leaves[0].name} is still there after its removal")
    return Tombstone(
        volume_id=record.volume_id,
        slot=record.slot,
        backing=record.backing,
        generation=last.generation if last is not None else 0,
        deleted_at=backend.now(),
    )
