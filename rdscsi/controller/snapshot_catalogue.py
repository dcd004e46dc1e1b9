"""What this process knows of its snapshots: the space they reserve, and which of them lines were sent about.

Memory only, rebuilt by inventories. What they are is in the journal, for a snapshot never changes.
"""

import itertools


class SnapshotCatalogue:
    """All snapshots of one backend by slot. Each reserves its volume's full size at the time (law 14)."""

    def __init__(self) -> None:
        self._reserved: dict[str, int] = {}
        self._touched: dict[str, int] = {}
        self._changes = itertools.count(1)

    def touch(self, slot: str) -> None:
        """Take down that a line about this slot is on its way, or has ended: no inventory of before tells of it."""
        self._touched[slot] = next(self._changes)

    def versions(self) -> dict[str, int]:
        """Return a number for each slot that changes with each touch."""
        return dict(self._touched)

    def reserve(self, slot: str, size_bytes: int) -> None:
        """Count a snapshot that is there."""
        self._reserved[slot] = size_bytes

    def release(self, slot: str) -> None:
        """Count it no more."""
        self._reserved.pop(slot, None)

    def slots(self) -> set[str]:
        """The slots of all snapshots that are counted."""
        return set(self._reserved)

    def reserved_bytes(self) -> int:
        """The sum of what all snapshots reserve."""
        return sum(self._reserved.values())
