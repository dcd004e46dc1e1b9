"""What is copied: the volume of a snapshot, the snapshot or volume of a new volume.

A source is pinned by the open operation that names it in its request: nobody deletes it while the journal holds that.
While the copy is made, the copying operation is the source's one operation too, so that the source stays as it is seen.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from rdscsi import names
from rdscsi.controller.backend import Backend
from rdscsi.errors import NotFound, NotSupported, OperationPending, Quarantined
from rdscsi.journal import SnapshotRecord
from rdscsi.model import ContentSource
from rdscsi.names import Backing, SnapshotBacking, parse_snapshot_backing
from rdscsi.routeros.lines import Origin
from rdscsi.tags import TagState

SOURCE = "source"
"""The key of a request that names what is copied; empty or absent for nothing."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Source:
    """A volume or snapshot that may be copied now; `size_bytes` is exact."""

    source_id: str
    origin: Origin

    @property
    def size_bytes(self) -> int:
        """How large a copy is."""
        return self.origin.size_bytes


def snapshot_backing(record: SnapshotRecord) -> SnapshotBacking:
    """Return what the name of a recorded snapshot's subvolume tells."""
    backing = parse_snapshot_backing(record.leaf)
    assert backing is not None, f"the journal holds the leaf {record.leaf!r}"
    return backing


async def find(backend: Backend, content: ContentSource) -> Source:
    """Look up what is to be copied.

    Raises NotFound when it is proven absent, NotSupported for an imported volume; else NotFinal, when nothing may be
    done with it now.
    """
    if content.snapshot_id:
        return Source(content.snapshot_id, await _snapshot(backend, content.snapshot_id))
    return Source(content.volume_id, await _volume(backend, content.volume_id))


def content_of(source_id: str) -> ContentSource:
    """Return the content source that an id names: a slot's first letter tells which kind it is."""
    parsed = names.parse_volume_id(source_id)
    if parsed is not None and parsed.slot.startswith(names.KIND_SNAPSHOT):
        return ContentSource(snapshot_id=source_id)
    return ContentSource(volume_id=source_id)


async def _snapshot(backend: Backend, snapshot_id: str) -> Origin:
    """With the inventory complete, the records are all there is."""
    backend.require_inventory()
    record = await backend.journal.snapshot(snapshot_id)
    if record is None:
        raise NotFound(f"snapshot {snapshot_id} does not exist")
    if record.quarantine:
        raise Quarantined(f"{snapshot_id}: {record.quarantine}")
    if record.state != "ready":
        raise OperationPending(f"{snapshot_id} is {record.state}")
    return Origin(snapshot_backing(record), record.size_bytes, read_only=True)


async def _volume(backend: Backend, volume_id: str) -> Origin:
    parsed = names.parse_volume_id(volume_id)
    snapshot = parsed is not None and parsed.slot.startswith(names.KIND_SNAPSHOT)
    slot = None if snapshot else backend.own_slot(volume_id)
    if slot is None:
        raise NotFound(f"volume {volume_id} does not exist")
    backend.require_inventory()
    record = await backend.known(volume_id, slot)
    if record.state != "ready":
        raise OperationPending(f"{volume_id} is {record.state}")
    if record.backing in backend.imported:
        raise NotSupported(
            f"{volume_id} was imported: its file lies in no subvolume of its own, so that Btrfs cannot copy it alone; "
            "copy its content to a new volume, which can have snapshots and clones"
        )
    seen = backend.seen(record, await backend.entry(slot))
    if seen.tag.state is not TagState.READY or seen.item.size != seen.tag.size_bytes:
        raise OperationPending(f"{volume_id} is {seen.tag.state.value}, with {seen.item.size} bytes")
    return Origin(Backing(slot, record.backing), seen.item.size, read_only=False)


async def refuse_pinned(backend: Backend, source_id: str) -> None:
    """Raise OperationPending while an unfinished operation copies this volume or snapshot."""
    for operation in await backend.journal.open_operations():
        if operation.request.get(SOURCE) == source_id:
            raise OperationPending(f"{source_id} is being copied by {operation.kind} {operation.id}; ask again")


async def alone(backend: Backend, source_id: str, by: str, work: Callable[[Source], Awaitable[T]]) -> T:
    """Run `work`, which `by` asks for, as the one operation of the source. Raises as `find`, and Busy."""

    async def with_source() -> T:
        return await work(await find(backend, content_of(source_id)))

    return await backend.operations.run(source_id, ("copied", by), with_source)
