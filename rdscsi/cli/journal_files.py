"""The verbs about the journal as a whole: verify it, export it, copy it, have it rebuilt."""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from rdscsi.cli import figures, journal_snapshots
from rdscsi.cli.journal_requests import NOT_CONFIRMED
from rdscsi.cli.journal_view import NEEDS_A_LOOK, readable
from rdscsi.cli.sight import Sight, look
from rdscsi.controller.judgement import Facts, Judgement, Verdict, judge
from rdscsi.controller.snapshot_inventory import SnapshotFacts
from rdscsi.controller.snapshot_inventory import judge as judge_snapshot
from rdscsi.journal import OperationRecord, Tombstone, VolumeRecord, asking, records
from rdscsi.journal.reading import Reading, read_journal
from rdscsi.observe.lines import one_line
from rdscsi.tags import parse_tag

_EVERYTHING = 1_000_000
_DAMAGED = 1
_HARMLESS = (Verdict.FINE, Verdict.NOBODYS, Verdict.UNFINISHED)


def verify(args: argparse.Namespace) -> int:
    """Look the file over, and compare what it says with itself and with the appliance; the exit status."""
    sight = look(args)
    with read_journal(Path(args.journal)) as reading:
        damage = reading.troubles()
        found = [] if damage else [*_contradictions(reading), *_differences(reading, sight)]
    if args.output == "json":
        print(json.dumps({"damage": damage, "contradictions": found, "appliance": sight.why_not or "seen"}, indent=2))
    else:
        for line in (*(f"damaged: {one}" for one in damage), *found):
            print(one_line(line))
        appliance = "is as the journal says" + (", but for the above" if found else "")
        print(f"the file is {'damaged' if damage else 'whole'}; the appliance {sight.why_not or appliance}")
    return _DAMAGED if damage else NEEDS_A_LOOK if found else 0


def export(args: argparse.Namespace) -> int:
    """Print all that the journal knows as one JSON document, without secrets."""
    with read_journal(Path(args.journal)) as reading:
        about = asdict(reading.situation) | {"path": str(reading.situation.path)}
        document = {
            "journal": about,
            "operations": [asdict(one) for one in reading.operations(limit=_EVERYTHING)],
            "volumes": [asdict(one) for one in reading.volumes()],
            "snapshots": [asdict(one) for one in reading.snapshots()],
            "stages": [asdict(one) for one in reading.stages()],
            "targets": [asdict(one) for one in reading.targets()],
            "tombstones": [asdict(one) for one in reading.tombstones()],
        }
    json.dump(readable(document), sys.stdout, indent=2, ensure_ascii=True)
    print()
    return 0


def backup(args: argparse.Namespace) -> int:
    """Copy the journal into a new file."""
    target = Path(args.file)
    with read_journal(Path(args.journal)) as reading:
        reading.copy_to(target)
    size = target.stat().st_size
    if args.output == "json":
        print(json.dumps({"file": str(target), "bytes": size}))
    else:
        print(f"{target}: {size} bytes, the journal as it was at {figures.moment(time.time())}")
    return 0


def rebuild(args: argparse.Namespace) -> int:
    """Have the journal put aside at the driver's next start, which rebuilds it from what there is."""
    path = Path(args.journal)
    with read_journal(path) as reading:
        lost = [one for one in reading.open_operations() if not one.subject.startswith(records.REQUEST_PREFIX)]
        held, stones, of_node = reading.situation.held, len(reading.tombstones()), bool(reading.stages())
    source = "mountinfo and sysfs" if of_node else "the owner tags on the appliance"
    print(f"plan (rebuild) for {path}:")
    print(f"  1. at the driver's next start the journal is renamed to {path.name}.aside-<UTC>; nothing is deleted")
    print(f"  2. a fresh one is made, and what exists is learned from {source}")
    for number, line in enumerate(_costs(lost, stones), start=3):
        print(f"  {number}. {line}")
    if not (args.yes or _confirmed()):
        print("nothing was done")
        return NOT_CONFIRMED
    wish = asking.ask_rebuild(path, "rdscsi journal rebuild")
    running = "; restart the driver when you want it: kubectl rollout restart" if held is not False else ""
    print(f"asked for in {wish}{running}. Remove that file to call it off.")
    return 0


def _costs(lost: list[OperationRecord], stones: int) -> Iterator[str]:
    for one in lost:
        yield one_line(f"{one.kind} of {one.subject} is open: it is forgotten, until the orchestrator asks again")
    if stones:
        yield f"{stones} deleted volumes are forgotten: one that a power loss brings back is learned, not erased"


def _confirmed() -> bool:
    print("Go on? [y/N] ", end="", flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _contradictions(reading: Reading) -> Iterator[str]:
    """Compare the journal with itself."""
    open_kinds = {one.subject: one.kind for one in reading.open_operations()}
    for record in reading.volumes():
        kind = open_kinds.get(record.volume_id)
        if record.quarantine:
            yield f"{record.volume_id}: quarantined: {record.quarantine}"
        elif record.state == "deleting" and kind not in ("delete", "create"):  # a create that was given up, too
            yield f"{record.volume_id}: being deleted, and no delete is open; the next inventory finds it"
        elif record.state == "ready":
            yield from _untold(record)
    for snapshot in reading.snapshots():
        if snapshot.quarantine:
            yield f"{snapshot.snapshot_id}: quarantined: {snapshot.quarantine}"
        elif snapshot.state == "deleting" and open_kinds.get(snapshot.snapshot_id) != "delete-snapshot":
            yield f"{snapshot.snapshot_id}: being deleted, and no delete is open; ask for its deletion again"


def _untold(record: VolumeRecord) -> Iterator[str]:
    tag = parse_tag(record.tag)
    if tag is None:
        yield f"{record.volume_id}: ready, and its tag is not readable: {record.tag!r}"
    elif tag.operation != record.backing:
        yield f"{record.volume_id}: its tag names create {tag.operation}, the record {record.backing}"


def _differences(reading: Reading, sight: Sight) -> Iterator[str]:
    """Compare the journal with the appliance, as the driver's next inventory will."""
    if not sight.seen:
        return
    records = {record.slot: record for record in reading.volumes()}
    busy = {one.subject for one in reading.open_operations()}
    stones = reading.tombstones()
    for slot in sorted({*records, *sight.items, *sight.backings}):
        record = records.get(slot)
        facts = Facts(
            slot=slot,
            record=record,
            item=sight.items.get(slot),
            backings=sight.backings.get(slot, frozenset()),
            buried=frozenset(stone.backing for stone in stones if stone.slot == slot),
            open_operation=record is not None and record.volume_id in busy,
        )
        yield from _told(slot, judge(facts))
    yield from _snapshot_differences(reading, sight, busy, stones)


def _snapshot_differences(reading: Reading, sight: Sight, busy: set[str], stones: list[Tombstone]) -> Iterator[str]:
    records = {record.slot: record for record in reading.snapshots()}
    there = journal_snapshots.leaves(sight)
    for slot in sorted({*records, *there}):
        record = records.get(slot)
        facts = SnapshotFacts(
            slot=slot,
            record=record,
            leaves=there.get(slot, {}),
            buried=frozenset(stone.backing for stone in stones if stone.slot == slot),
            busy=any(subject.endswith(f"/{slot}") for subject in busy),
        )
        yield from _told(slot, judge_snapshot(facts))


def _told(slot: str, found: Judgement) -> Iterator[str]:
    if found.verdict not in _HARMLESS:
        yield f"{slot}: {found.told()}"
