"""What a difference between the recorded snapshots and those on the appliance means."""

from dataclasses import replace

import pytest

from rdscsi import names
from rdscsi.controller.judgement import Verdict
from rdscsi.controller.snapshot_inventory import GONE, SnapshotFacts, judge, quarantine, returned
from rdscsi.journal import SnapshotRecord
from rdscsi.names import Backing, SnapshotBacking
from rdscsi.routeros.answers import Leaf

SLOT = names.slot("s", "c", "snap-1")
SOURCE = Backing(names.slot("v", "c", "pvc-1"), "v" * 13)
OLD, NEW = "a" * 13, "b" * 13


def backing(operation: str) -> SnapshotBacking:
    return SnapshotBacking(SLOT, operation, SOURCE, 1 << 20)


def record(operation: str = OLD, uuid: str = "u") -> SnapshotRecord:
    return SnapshotRecord(
        snapshot_id=f"rds/{SLOT}",
        backend="rds",
        slot=SLOT,
        csi_name="snap-1",
        source_volume_id=f"rds/{SOURCE.slot}",
        leaf=backing(operation).name,
        size_bytes=1 << 20,
        created_at=1.0,
        uuid=uuid,
        state="ready",
        quarantine="",
        updated_at=1.0,
    )


def facts(
    *there: str,
    of: SnapshotRecord | None = None,
    buried: tuple[str, ...] = (),
    read_only: bool = True,
) -> SnapshotFacts:
    leaves = {one: (backing(one), Leaf(backing(one).name, "u", read_only=read_only)) for one in there}
    return SnapshotFacts(SLOT, of, leaves, frozenset(buried), busy=False)


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (facts(OLD, of=record()), ""),
        (facts(OLD), ""),
        (facts(of=record()), GONE),
        (facts(NEW, of=record()), GONE),
        (facts(OLD, NEW, of=record()), ""),
        (facts(OLD, NEW), "contradiction: several subvolumes bear its name"),
        (facts(OLD, NEW, buried=(OLD,)), ""),
        (facts(OLD, of=record(), read_only=False), "is not read-only any more"),
        (facts(OLD, of=record(uuid="another")), "another subvolume has taken the name"),
    ],
)
def test_a_person_is_asked_where_nothing_else_can_decide(found: SnapshotFacts, reason: str) -> None:
    assert reason in quarantine(found)
    assert bool(reason) == bool(quarantine(found))


def test_what_was_deleted_and_is_there_again_is_erased_and_nothing_else() -> None:
    assert returned(facts(OLD, NEW, buried=(OLD,))) == (backing(OLD).name,)
    assert returned(facts(OLD, of=record())) == ()


def test_strays_are_what_the_record_does_not_know() -> None:
    assert facts(OLD, NEW, of=record()).strays() == [NEW]
    assert facts(OLD, NEW, of=record(), buried=(NEW,)).strays() == []
    assert facts(OLD, NEW).strays() == []


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (facts(OLD, of=record()), Verdict.FINE),
        (facts(of=record()), Verdict.QUARANTINE),
        (replace(facts(of=record()), busy=True), Verdict.UNFINISHED),
        (facts(OLD, buried=(OLD,)), Verdict.ERASE),
        (facts(OLD), Verdict.LEARN),
        (facts(), Verdict.NOBODYS),
    ],
)
def test_people_are_told_what_the_next_inventory_makes_of_it(found: SnapshotFacts, verdict: Verdict) -> None:
    assert judge(found).verdict is verdict


def test_which_of_several_is_the_snapshot_stays_undecided_until_a_person_has_said_so() -> None:
    undecided = replace(record(), quarantine=quarantine(facts(OLD, NEW)))
    assert quarantine(facts(OLD, NEW, of=undecided)) == undecided.quarantine
    assert quarantine(facts(OLD, of=undecided)) == ""
    assert quarantine(facts(OLD, NEW, of=record())) == ""
