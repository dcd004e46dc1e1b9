"""Which subvolumes bear a snapshot's slot: more than its record knows, where the journal forgot a create (law 5).

An old copy of the journal makes a snapshot once more, beside what a line of its former life makes late. Once lines of
former holders of the token cannot act any more, subvolumes come by this process alone: one look is good for its term.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping

import trio

from rdscsi import names
from rdscsi.errors import OperationPending
from rdscsi.names import SnapshotBacking, parse_snapshot_backing
from rdscsi.routeros.answers import Answer, Leaf
from rdscsi.routeros.device import Device
from rdscsi.tags import Marker


def shown(cluster_id: str, answer: Answer) -> "Iterator[tuple[SnapshotBacking, Leaf]]":
    """Return the subvolumes in an inventory's answer that are a cluster's snapshots."""
    for leaf in answer.leaves:
        backing = parse_snapshot_backing(leaf.name)
        if backing is not None and names.slot_of_cluster(backing.slot, names.KIND_SNAPSHOT, cluster_id):
            yield backing, leaf


class SnapshotSurvey:
    """Remembers the last inventory that former holders of the token cannot have added to since."""

    def __init__(self, device: Device, cluster_id: str) -> None:
        self._device = device
        self._cluster_id = cluster_id
        self._term: Marker | None = None
        self._found: Mapping[str, list[SnapshotBacking]] = {}
        self._looking = trio.Lock()

    def begin(self) -> Marker | None:
        """Return what `take` needs of the moment before the look: None when it will not be the last word."""
        return self._device.marker if self._device.former_lines_ended else None

    def take(self, answer: Answer, term: Marker | None) -> None:
        """Remember what an inventory shows that was asked for after `begin`."""
        if term is None or term != self._device.marker:
            return
        found: dict[str, list[SnapshotBacking]] = defaultdict(list)
        for backing, _ in shown(self._cluster_id, answer):
            found[backing.slot].append(backing)
        self._term, self._found = term, found

    async def of(self, slot: str) -> list[SnapshotBacking]:
        """Return all that bore a slot at that look; what this process has made or removed since is not told.

        Raises NotFinal, also while former holders may still add to it.
        """
        async with self._looking:
            if not self._is_of_this_term():
                term = self.begin()
                self.take(await self._device.inventory(), term)
        if not self._is_of_this_term():
            raise OperationPending(f"{slot}: lines of another controller, or of a former start, may still act")
        return list(self._found.get(slot, ()))

    def _is_of_this_term(self) -> bool:
        return self._term is not None and self._term == self._device.marker
