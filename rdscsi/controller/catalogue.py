"""What this process has seen of its volumes on the appliance: one entry a slot. Memory only, rebuilt by inventories.

An entry is *suspect* from the moment a line for its slot is sent until its answer is read: whoever needs it then looks
again. `touched` is a number of its own for every change, so that an inventory that was overtaken by a line changes
nothing, even where an entry was dropped and made again meanwhile.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from rdscsi.controller.snapshot_catalogue import SnapshotCatalogue
from rdscsi.routeros.answers import DiskItem
from rdscsi.tags import Tag, parse_tag


@dataclass(slots=True)
class Entry:
    """A slot as last seen. `tag` is None when there is no item or its comment is not a tag of ours.

    `backings` are the operation ids of the backing objects that were seen for it. `hold` says what must happen before
    anything else may be done with the volume; empty when nothing.
    """

    slot: str
    item: DiskItem | None = None
    tag: Tag | None = None
    backings: frozenset[str] = frozenset()
    suspect: bool = True
    hold: str = ""
    touched: int = 0


class Catalogue:
    """All entries of one backend."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._changes = itertools.count(1)
        self.snapshots = SnapshotCatalogue()

    def __iter__(self) -> Iterator[Entry]:
        return iter(list(self._entries.values()))

    def entry(self, slot: str) -> Entry:
        """Return the entry of a slot; a suspect, empty one when nothing was ever seen there."""
        return self._entries.setdefault(slot, Entry(slot))

    def saw(self, slot: str, item: DiskItem | None) -> Entry:
        """Keep what an answer showed in a slot."""
        entry = self.entry(slot)
        entry.item = item
        entry.tag = parse_tag(item.comment) if item is not None else None
        entry.suspect = False
        entry.touched = next(self._changes)
        return entry

    def saw_backing(self, slot: str, operation: str, *, there: bool) -> None:
        """Keep whether an answer showed one create's backing object."""
        entry = self.entry(slot)
        entry.backings = entry.backings | {operation} if there else entry.backings - {operation}

    def saw_backings(self, slot: str, operations: frozenset[str]) -> None:
        """Keep all the backing objects that an inventory showed for a slot."""
        self.entry(slot).backings = operations

    def doubt(self, slot: str) -> None:
        """Trust the entry no more: a line for the slot is on its way."""
        entry = self.entry(slot)
        entry.suspect = True
        entry.touched = next(self._changes)

    def forget(self, slot: str) -> None:
        """Drop the entry of a volume that is gone."""
        self._entries.pop(slot, None)

    def versions(self) -> dict[str, int]:
        """Return how often each entry was touched, to be compared after an inventory."""
        return {slot: entry.touched for slot, entry in self._entries.items()}

    def declared_bytes(self) -> int:
        """The sum of the sizes that the tags, or else the items, declare, and of what snapshots reserve."""
        volumes = (
            max(entry.tag.size_bytes if entry.tag else 0, entry.item.size if entry.item else 0) for entry in self
        )
        return sum(volumes) + self.snapshots.reserved_bytes()
