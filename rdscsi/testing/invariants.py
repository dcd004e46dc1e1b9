"""What must be true of a world once it has settled: appliance, journal and orchestrator say the same.

Each check returns sentences about what is wrong; none is the only good answer.
"""

import enum
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from rdscsi import names
from rdscsi.controller.judgement import LOST
from rdscsi.journal import Journal, SnapshotRecord, VolumeRecord
from rdscsi.model import Snapshot, Volume
from rdscsi.tags import FORMAT, Tag, TagState, parse_tag
from rdscsi.testing.machines import Machine, Shown
from rdscsi.testing.world import BACKEND, CLUSTER

BASE_DIRECTORY = "pool1/rdscsi"
PREFIX = f"{names.KIND_VOLUME}{names.cluster_key(CLUSTER)}-"


class Aspect(enum.Enum):
    """What an answer can leave open about a volume."""

    EXISTS = "exists"
    SIZE = "size"
    PUBLISHED = "published"


@dataclass(slots=True)
class Promises:
    """What the orchestrator was told, by volume id: sizes of volumes that exist, what is gone, who is let in.

    `doubts`: what the last answer about it was a maybe, so that either is right, for each volume or snapshot.
    `snapshots`: sizes of snapshots that exist. `unanswered`: what was asked again and again without a final answer.
    """

    exists: dict[str, int] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    published: dict[str, tuple[str, ...]] = field(default_factory=dict)
    doubts: dict[str, set[Aspect]] = field(default_factory=dict)
    snapshots: dict[str, int] = field(default_factory=dict)
    unanswered: dict[str, str] = field(default_factory=dict)

    def made(self, volume: Volume) -> None:
        """The orchestrator was told that the volume exists."""
        self.exists[volume.volume_id] = volume.capacity_bytes
        self.gone.discard(volume.volume_id)

    def deleted(self, volume_id: str) -> None:
        """The orchestrator was told that the volume is gone, and all that was open about it with it."""
        self.exists.pop(volume_id, None)
        self.published.pop(volume_id, None)
        self.doubts.pop(volume_id, None)
        self.gone.add(volume_id)

    def taken(self, snapshot: Snapshot) -> None:
        """The orchestrator was told that the snapshot exists, and is ready."""
        assert snapshot.ready
        self.snapshots[snapshot.snapshot_id] = snapshot.size_bytes
        self.gone.discard(snapshot.snapshot_id)
        self.sure(snapshot.snapshot_id)

    def dropped(self, snapshot_id: str) -> None:
        """The orchestrator was told that the snapshot is gone."""
        self.snapshots.pop(snapshot_id, None)
        self.gone.add(snapshot_id)
        self.sure(snapshot_id)

    def holds(self, an_id: str) -> bool:
        """Tell whether a volume or snapshot was promised, and nothing about that is open."""
        promised = an_id in self.exists or an_id in self.snapshots
        return promised and not self.doubtful(an_id, Aspect.EXISTS)

    def doubt(self, volume_id: str, *aspects: Aspect) -> None:
        """A call about this is under way, or its answer was a maybe."""
        self.doubts.setdefault(volume_id, set()).update(aspects or Aspect)

    def sure(self, volume_id: str, *aspects: Aspect) -> None:
        """A final answer told how this is."""
        self.doubts.setdefault(volume_id, set()).difference_update(aspects or Aspect)

    def doubtful(self, volume_id: str, aspect: Aspect) -> bool:
        """Tell whether either is right."""
        return aspect in self.doubts.get(volume_id, ())


@dataclass(frozen=True, slots=True)
class Holdings:
    """Everything on the appliance but the marker: items with what is set in them, names of files and directories."""

    items: Mapping[str, str]
    leaves: frozenset[str]

    @property
    def foreign(self) -> "Holdings":
        """What is not this cluster's; a stranger may sit in a slot of ours."""
        return Holdings(
            {slot: text for slot, text in self.items.items() if not slot.startswith(PREFIX) or FORMAT not in text},
            frozenset(leaf for leaf in self.leaves if PREFIX not in leaf and leaf != BASE_DIRECTORY),
        )

    def differing(self, other: "Holdings") -> set[str]:
        """The slots whose items are not the same in both."""
        slots = self.items.keys() | other.items.keys()
        return {slot for slot in slots if self.items.get(slot) != other.items.get(slot)}


def holdings(machine: Machine) -> Holdings:
    """Look past the console at what there is."""
    marker = names.marker_slot(CLUSTER, BACKEND)
    items = {slot: item.everything for slot, item in machine.items().items() if slot != marker}
    return Holdings(items, frozenset(leaf for leaf in machine.leaves() if marker not in leaf))


class Memory(enum.Enum):
    """What became of the journal, and so what a settled world may still show."""

    WHOLE = "nothing"
    LOST = "files without a record, and half-made volumes that nobody asks for again"
    OLD = "besides, records of volumes and snapshots that were deleted since, quarantined as lost"
    OLD_AND_REBOOTED = "besides, such volumes made anew: after a reboot the record is believed"


_OLD = (Memory.OLD, Memory.OLD_AND_REBOOTED)


async def violations(
    machine: Machine,
    journal: Journal,
    promises: Promises,
    before: Holdings,
    *,
    memory: Memory = Memory.WHOLE,
    lost: Collection[str] = (),
    removed: Collection[str] = (),
) -> list[str]:
    """Check everything, after settling. `lost`: files and directories that a power loss has taken back.

    Of those a volume or snapshot may be quarantined as lost, and stays so until a person comes. `removed`: slots whose
    item an operator removed: an expansion that was under way may have made the file larger than the tag tells.
    """
    now = holdings(machine)
    wrong = []
    if now.foreign != before.foreign:
        wrong.append(f"foreign objects changed: {_difference(before.foreign, now.foreign)}")
    records = {record.slot: record for record in await journal.volumes()}
    gone = {slot for slot, one in records.items() if one.quarantine.startswith(LOST) and _taken(one.backing, lost)}
    for slot in gone:
        promises.doubt(records[slot].volume_id)
    disks = {slot: item for slot, item in machine.items().items() if slot.startswith(PREFIX)}
    excused = gone | {slot for slot, record in records.items() if _unclaimed(record, promises, memory)}
    for held in (records, disks):
        for slot in excused & held.keys():
            del held[slot]
    for one in await journal.open_operations():
        if one.subject.partition("/")[2] not in excused:
            wrong.append(f"open: {one.kind} {one.subject}: {one.error}")
    # An old journal's create whose item somebody removed waits for a person, and all calls but a delete wait with it.
    for_a_person = excused | (set(removed) if memory in _OLD else set())
    wrong += [told for an_id, told in promises.unanswered.items() if an_id.partition("/")[2] not in for_a_person]
    for slot in sorted({*records, *disks}):
        wrong += _pair(slot, records.get(slot), disks.get(slot), larger=slot in removed)
    wrong += _leaves(now, records) if memory is Memory.WHOLE else []
    # A file that outlived its item and every record is for a person to add again: nothing is lost.
    kept = {volume_id for volume_id in promises.exists if memory is not Memory.WHOLE and _has_file(now, volume_id)}
    wrong += _promises(promises, records, kept, old=memory in _OLD)
    snapshots = {record.snapshot_id: record for record in await journal.snapshots()}
    for missing in [one for one in snapshots.values() if one.quarantine.startswith(LOST)]:
        if _taken(missing.leaf, lost):
            promises.doubt(missing.snapshot_id)
        if _taken(missing.leaf, lost) or (memory in _OLD and not promises.holds(missing.snapshot_id)):
            del snapshots[missing.snapshot_id]
    wrong += _snapshots(now, promises, snapshots, memory)
    return wrong


async def half_made(machine: Machine, journal: Journal) -> list[str]:
    """Check what must be true the moment after a final answer, without any settling: nothing of ours is half made.

    Of volumes about which nothing is open and that nobody has to judge.
    """
    busy = {one.subject for one in await journal.open_operations()}
    disks = machine.items()
    return [
        f"half made after a final answer: {wrong}"
        for record in await journal.volumes()
        if record.volume_id not in busy and not record.quarantine
        for wrong in _pair(record.slot, record, disks.get(record.slot))
    ]


def _taken(backing: str, lost: Collection[str]) -> bool:
    return any(backing in leaf for leaf in lost)


def _snapshots(
    now: Holdings, promises: Promises, records: Mapping[str, SnapshotRecord], memory: Memory
) -> Iterator[str]:
    """Each snapshot is recorded, on the appliance and promised, or none of these."""
    there = {name for leaf in now.leaves if names.parse_snapshot_backing(name := leaf.rpartition("/")[2]) is not None}
    known = {record.leaf for record in records.values()}
    if memory is Memory.WHOLE:
        yield from (f"{leaf}: left behind" for leaf in sorted(there - known))
    for record in records.values():
        if record.quarantine or record.state != "ready" or record.leaf not in there:
            yield f"{record.snapshot_id}: {record.state}, quarantine {record.quarantine!r}, leaf {record.leaf}"
    for snapshot_id, size in promises.snapshots.items():
        if promises.doubtful(snapshot_id, Aspect.EXISTS):
            continue
        found = records.get(snapshot_id)
        if found is None or found.size_bytes != size:
            yield f"{snapshot_id}: was acknowledged with {size} bytes and is {found}"
    for snapshot_id in promises.gone & records.keys():
        if not promises.doubtful(snapshot_id, Aspect.EXISTS):
            yield f"{snapshot_id}: was acknowledged as deleted and is there"


def _unclaimed(record: VolumeRecord, promises: Promises, memory: Memory) -> bool:
    """Tell whether the orchestrator has no claim to this record's volume, which a journal with gaps may still hold.

    What another journal left half made is finished for its caller alone, and never erased (law 5).
    """
    promised = record.volume_id in promises.exists and not promises.doubtful(record.volume_id, Aspect.EXISTS)
    if promised or memory is Memory.WHOLE:
        return False
    deleted_since = record.quarantine.startswith(LOST) and memory is not Memory.LOST
    return record.state == "creating" or deleted_since or memory is Memory.OLD_AND_REBOOTED


def _pair(slot: str, record: VolumeRecord | None, disk: Shown | None, *, larger: bool = False) -> Iterator[str]:
    tag = parse_tag(disk.comment) if disk is not None else None
    if record is None:
        if tag is not None:
            yield f"{slot}: on the appliance without a record"
        return
    if record.quarantine:
        yield f"{slot}: quarantined: {record.quarantine}"
        return
    if disk is None:
        yield f"{slot}: recorded as {record.state}, and not on the appliance"
        return
    if tag is None or record.state != "ready" or tag.state is not TagState.READY:
        yield f"{slot}: record {record.state}, tag {tag}"
        return
    if parse_tag(record.tag) != tag:
        yield f"{slot}: the record's tag {record.tag} is not {tag}"
    yield from _item(slot, record, disk, tag, larger=larger)


def _item(slot: str, record: VolumeRecord, disk: Shown, tag: Tag, *, larger: bool) -> Iterator[str]:
    size = disk.size
    as_tagged = size >= tag.size_bytes if larger else size == tag.size_bytes
    if size != record.capacity_bytes or not as_tagged:
        yield f"{slot}: {size} bytes, recorded {record.capacity_bytes}, tagged {tag.size_bytes}"
    if disk.mount_filesystem:
        yield f"{slot}: the appliance may mount it"
    if not disk.attached:
        yield f"{slot}: its file is gone"
    wanted = bool(tag.active_nodes)
    if disk.export != wanted:
        yield f"{slot}: exported {disk.export}, active nodes {tag.active_nodes}"
    if wanted and tag.publication and disk.nqn != names.subnqn(slot, tag.publication.epoch):
        yield f"{slot}: exported under an NQN that the tag does not know"


def _leaves(now: Holdings, records: Mapping[str, VolumeRecord]) -> Iterator[str]:
    known = {f"{record.slot}.{record.backing}" for record in records.values()}
    for leaf in sorted(now.leaves):
        parts = [part for part in leaf.split("/") if names.parse_backing(part) is not None]
        if parts and parts[0].removesuffix(".img") not in known and PREFIX in leaf:
            yield f"{leaf}: left behind"


def _has_file(now: Holdings, volume_id: str) -> bool:
    return any(volume_id.partition("/")[2] in leaf for leaf in now.leaves)


def _promises(
    promises: Promises, records: Mapping[str, VolumeRecord], kept: Collection[str], *, old: bool
) -> Iterator[str]:
    found = {record.volume_id: record for record in records.values()}
    for volume_id, size in promises.exists.items():
        if promises.doubtful(volume_id, Aspect.EXISTS) or (volume_id in kept and volume_id not in found):
            continue
        if volume_id not in found:
            yield f"{volume_id}: was acknowledged and is not there"
        elif found[volume_id].capacity_bytes != size and not promises.doubtful(volume_id, Aspect.SIZE):
            yield f"{volume_id}: has {found[volume_id].capacity_bytes} bytes; {size} were acknowledged"
    for volume_id in promises.gone:
        if volume_id in found and not promises.doubtful(volume_id, Aspect.EXISTS):
            yield f"{volume_id}: was acknowledged as deleted and is there"
    for volume_id, nodes in promises.published.items():
        # A delete whose end is open took the item, and the tag that told an old journal who had left.
        deleting = old and promises.doubtful(volume_id, Aspect.EXISTS)
        if deleting or promises.doubtful(volume_id, Aspect.PUBLISHED) or volume_id not in found:
            continue
        tag = parse_tag(found[volume_id].tag)
        active = tuple(node.node for node in tag.active_nodes) if tag else ()
        if active != nodes:
            yield f"{volume_id}: published to {active}; the orchestrator was told {nodes}"


def _difference(before: Holdings, now: Holdings) -> str:
    return f"items {sorted(before.differing(now))}, files {sorted(before.leaves ^ now.leaves)}"
