"""What `rdscsi journal` says about snapshots: as journal and appliance show them, judged as the driver will."""

from collections.abc import Iterator, Mapping

from rdscsi import names
from rdscsi.cli.sight import Sight
from rdscsi.controller.judgement import LOST
from rdscsi.controller.snapshot_inventory import SnapshotFacts, judge
from rdscsi.journal import SnapshotRecord
from rdscsi.names import SnapshotBacking, parse_snapshot_backing
from rdscsi.routeros.answers import Leaf

Leaves = Mapping[str, tuple[SnapshotBacking, Leaf]]


def is_snapshot(volume_id: str) -> bool:
    """Tell whether an id of ours is a snapshot's."""
    parsed = names.parse_volume_id(volume_id)
    return parsed is not None and parsed.slot.startswith(names.KIND_SNAPSHOT)


def leaves(sight: Sight) -> Mapping[str, Leaves]:
    """Return the subvolumes of snapshots that a look showed: by slot, then by the id of the create that made them."""
    found: dict[str, dict[str, tuple[SnapshotBacking, Leaf]]] = {}
    for leaf in sight.leaves.values():
        backing = parse_snapshot_backing(leaf.name)
        if backing is not None:
            found.setdefault(backing.slot, {})[backing.operation] = (backing, leaf)
    return found


def appliance(snapshot_id: str, record: SnapshotRecord | None, there: Leaves, facts: SnapshotFacts) -> Iterator[str]:
    """Say what the look showed of a snapshot, and what the driver's next inventory will make of it."""
    if record is not None and all(leaf.name != record.leaf for _, leaf in there.values()):
        yield f"subvolume {record.leaf} is not there"
    for _, leaf in there.values():
        yield f"subvolume {leaf.name} is there, {'read-only' if leaf.read_only else 'and can be written to'}"
    if record is None and not there:
        yield f"no subvolume bears the name of {snapshot_id}"
    yield "judged: " + judge(facts).told(record.quarantine if record is not None else "")


def resolutions(record: SnapshotRecord, there: Leaves) -> Iterator[tuple[str, str]]:
    """Return the commands that may end a snapshot's quarantine, each with what it does."""
    if record.quarantine.startswith(LOST):
        yield "kubectl delete volumesnapshot, or", "DeleteSnapshot is allowed for what is lost"
        yield f"rdscsi journal resolve {record.snapshot_id} --forget", "drop the record; what comes back is learned"
        return
    own = [leaf for _, leaf in there.values() if leaf.name == record.leaf]
    if own and not own[0].read_only:
        command = f'/disk/btrfs/subvolume/set [find name="{record.leaf}"] read-only=yes'
        yield command, "on the appliance, if nobody has written to it"
        return
    yield f"rdscsi journal resolve {record.snapshot_id} --accept", f"take {record.leaf} for the snapshot"
