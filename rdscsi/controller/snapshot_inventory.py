"""Comparing the snapshots that are recorded with those that the appliance shows (laws 5, 9 and 13).

A snapshot without a record is learned: its name tells all of it. One whose create or deletion is under way is left to
that. What was deleted and is there again is erased; what cannot be told is for a person.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from rdscsi.controller.backend import Backend, log
from rdscsi.controller.judgement import LOST, Judgement, Verdict
from rdscsi.controller.snapshot_survey import shown
from rdscsi.controller.sources import snapshot_backing
from rdscsi.journal import Change, SnapshotRecord, changes
from rdscsi.names import SnapshotBacking
from rdscsi.routeros.answers import Answer, Leaf
from rdscsi.routeros.calendar import seconds_since_epoch
from rdscsi.tags import Marker

GONE = LOST + "its subvolume is not on the appliance any more"
_SEVERAL = "contradiction: several subvolumes bear its name"


@dataclass(frozen=True, slots=True)
class SnapshotFacts:
    """All that is known of one slot: its record, its subvolumes by the id of their create, and which are deleted.

    `busy`: the journal holds an unfinished operation for the snapshot.
    """

    slot: str
    record: SnapshotRecord | None
    leaves: Mapping[str, "tuple[SnapshotBacking, Leaf]"]
    buried: frozenset[str]
    busy: bool

    def live(self) -> list[str]:
        """The creates whose subvolumes are there by right, or nobody knows by which."""
        return sorted(set(self.leaves) - self.buried)

    def strays(self) -> list[str]:
        """The creates that the record, where there is one, does not know."""
        if self.record is None:
            return []
        return [one for one in self.live() if one != snapshot_backing(self.record).operation]


def quarantine(facts: SnapshotFacts) -> str:
    """Say why a person must look at a snapshot; empty when it is as it must be. Pure."""
    live = facts.live()
    own = snapshot_backing(facts.record).operation if facts.record is not None else (live[0] if live else "")
    if own not in facts.leaves:
        return GONE
    undecided = facts.record is None or facts.record.quarantine.startswith(_SEVERAL)
    if undecided and len(live) > 1:
        # Which of them the record names was chance: that holds until a person has decided.
        return f"{_SEVERAL}, made by {', '.join(live)}: remove all but one, or accept the one made by {own}"
    backing, leaf = facts.leaves[own]
    if not leaf.read_only:
        return f"contradiction: its subvolume {backing.name} is not read-only any more"
    if facts.record is not None and facts.record.uuid and leaf.uuid != facts.record.uuid:
        return f"contradiction: another subvolume has taken the name {backing.name}"
    return ""


def returned(facts: SnapshotFacts) -> tuple[str, ...]:
    """The subvolumes that were deleted for good and are there again."""
    return tuple(sorted(facts.leaves[one][0].name for one in facts.buried & set(facts.leaves)))


def judge(facts: SnapshotFacts) -> Judgement:
    """Say what the next inventory makes of a snapshot, for people. Pure."""
    if facts.busy:
        return Judgement(Verdict.UNFINISHED)
    if returned(facts):
        return Judgement(Verdict.ERASE)
    if facts.record is None and not facts.leaves:
        return Judgement(Verdict.NOBODYS)
    if reason := quarantine(facts):
        return Judgement(Verdict.QUARANTINE, reason)
    return Judgement(Verdict.FINE) if facts.record is not None else Judgement(Verdict.LEARN, "its name tells all of it")


class SnapshotInventory:
    """Judges the snapshots of one backend out of the answers that the inventory of volumes gets."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._told: set[tuple[str, str]] = set()

    def begin(self) -> "tuple[Mapping[str, int], Marker | None]":
        """Return what `take` needs of the moment before the look."""
        return self._backend.catalogue.snapshots.versions(), self._backend.snapshot_survey.begin()

    async def take(
        self, answer: Answer, moment: "tuple[Mapping[str, int], Marker | None]"
    ) -> dict[str, tuple[str, ...]]:
        """Correct the records; return by slot the subvolumes that are to be erased.

        Slots that a line was sent about since `before` are left out: that line's answer is newer.
        """
        catalogue = self._backend.catalogue.snapshots
        before, term = moment
        self._backend.snapshot_survey.take(answer, term)
        found = await self._facts(answer)
        after = catalogue.versions()
        untouched = [one for one in found if before.get(one.slot, 0) == after.get(one.slot, 0)]
        offset = answer.facts.get("gmt-offset", "")
        corrections = [change for one in untouched for change in self._correct(one, offset)]
        # Between the judging and here nothing was awaited, so no line can have come between.
        self._count(untouched, {slot for slot in catalogue.slots() if before.get(slot, 0) == after.get(slot, 0)})
        if corrections:
            await self._backend.journal.commit(*corrections)
        return {one.slot: names_ for one in untouched if not one.busy and (names_ := returned(one))}

    async def _facts(self, answer: Answer) -> list[SnapshotFacts]:
        journal = self._backend.journal
        records = {record.slot: record for record in await journal.snapshots()}
        busy = {operation.subject for operation in await journal.open_operations()}
        buried: dict[str, set[str]] = defaultdict(set)
        for stone in await journal.tombstones():
            buried[stone.slot].add(stone.backing)
        leaves: dict[str, dict[str, tuple[SnapshotBacking, Leaf]]] = defaultdict(dict)
        for backing, leaf in shown(self._backend.options.cluster_id, answer):
            leaves[backing.slot][backing.operation] = (backing, leaf)
        return [
            SnapshotFacts(
                slot=slot,
                record=records.get(slot),
                leaves=leaves.get(slot, {}),
                buried=frozenset(buried.get(slot, ())),
                busy=self._backend.volume_id(slot) in busy,
            )
            for slot in sorted({*records, *leaves})
        ]

    def _count(self, found: list[SnapshotFacts], counted: set[str]) -> None:
        """Reserve what is there; a subvolume that nobody knows takes as much as any other."""
        catalogue = self._backend.catalogue.snapshots
        for slot in counted - {one.slot for one in found}:
            catalogue.release(slot)
        for one in found:
            if one.leaves:
                catalogue.reserve(one.slot, sum(backing.size_bytes for backing, _ in one.leaves.values()))
            else:
                catalogue.release(one.slot)
            if strays := one.strays():
                self._tell(one.slot, f"no record knows its subvolumes made by {', '.join(strays)}")

    def _tell(self, slot: str, finding: str) -> None:
        """Log each finding once."""
        if (slot, finding) not in self._told:
            self._told.add((slot, finding))
            log.warning("snapshot inventory", slot=slot, finding=finding)

    def _correct(self, facts: SnapshotFacts, gmt_offset: str) -> list[Change]:
        if facts.busy:
            return []
        record = facts.record
        if record is None:
            return self._learn(facts, gmt_offset) if facts.live() else []
        reason = quarantine(facts)
        if record.state != "ready" or reason == record.quarantine:
            return []
        self._tell(facts.slot, reason or "as recorded again")
        return [changes.judge_snapshot(record, reason)]

    def _learn(self, facts: SnapshotFacts, gmt_offset: str) -> list[Change]:
        """Make the record of a snapshot that only its subvolume tells of. Its CSI name is not in there."""
        backend, reason = self._backend, quarantine(facts)
        backing, leaf = facts.leaves[facts.live()[0]]
        self._tell(facts.slot, reason or "learned from its name")
        record = SnapshotRecord(
            snapshot_id=backend.volume_id(facts.slot),
            backend=backend.options.backend,
            slot=facts.slot,
            csi_name="",
            source_volume_id=backend.volume_id(backing.source.slot),
            leaf=backing.name,
            size_bytes=backing.size_bytes,
            created_at=seconds_since_epoch(leaf.created, gmt_offset),
            uuid=leaf.uuid,
            state="ready",
            quarantine=reason,
            updated_at=backend.now(),
        )
        return [changes.add_snapshot(record)]
