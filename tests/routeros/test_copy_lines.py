"""The lines that copy subvolumes, on a simulated console: snapshots, and what other volumes are made of."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from line_rig import BACKING, CLUSTER, GIB, OTHER_SLOT, SLOT, Refused, Rig

from rdscsi import names
from rdscsi.names import Backing, SnapshotBacking
from rdscsi.routeros import lines
from rdscsi.routeros.answers import Answer
from rdscsi.routeros.lines import NewCopy, Origin
from rdscsi.simulator import LineCut

SNAPSHOT = SnapshotBacking(names.slot("s", CLUSTER, "snap-1"), "s" * 13, BACKING, GIB)
COPY = Backing(OTHER_SLOT, "c" * 13)
OF_VOLUME = Origin(BACKING, GIB, read_only=False)
OF_SNAPSHOT = Origin(SNAPSHOT, GIB, read_only=True)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path / "appliance", "btrfs")
    made.create()
    yield made
    made.appliance.close()


def snapshot(rig: Rig, need: int = GIB) -> Answer:
    return rig.send(lines.copy(rig.guard, NewCopy(SNAPSHOT, OF_VOLUME, True, need)))


def copied(rig: Rig, origin: Origin) -> Answer:
    return rig.send(lines.copy(rig.guard, NewCopy(COPY, origin, False, GIB)))


def attach(rig: Rig, size: int = GIB, *, cut_before: int = 0) -> Answer:
    path = COPY.file_path(rig.place.base_path, btrfs=True)
    volume = rig.volume(size, slot=OTHER_SLOT, backing=COPY, file_path=path, copied=True)
    return rig.send(lines.create(rig.guard, volume), cut_before=cut_before)


def test_a_snapshot_is_there_read_only_and_told_with_its_time(rig: Rig) -> None:
    answer = snapshot(rig)
    (leaf,) = answer.leaves
    assert (leaf.name, leaf.read_only) == (SNAPSHOT.name, True)
    assert leaf.uuid
    assert leaf.created
    assert answer.facts["gmt-offset"] == "+00:00"
    assert answer.pool is not None
    assert f"{SNAPSHOT.name}/disk.img" in rig.leaves()
    assert rig.send(lines.observe_copy(rig.guard, SNAPSHOT)).leaves == (leaf,)


def test_again_changes_nothing(rig: Rig) -> None:
    first = snapshot(rig)
    changes = rig.appliance.mutations
    assert snapshot(rig).leaves == first.leaves
    assert rig.appliance.mutations == changes


@pytest.mark.parametrize("what", ["another size", "another create", "no item"])
def test_of_what_is_not_the_origin_nothing_is_copied(rig: Rig, what: str) -> None:
    origin = OF_VOLUME
    if what == "another size":
        origin = Origin(BACKING, 2 * GIB, read_only=False)
    elif what == "another create":
        origin = Origin(Backing(SLOT, "z" * 13), GIB, read_only=False)
    else:
        rig.appliance.run(f'/disk/remove [find slot="{SLOT}"]')
    changes = rig.appliance.mutations
    assert rig.send(lines.copy(rig.guard, NewCopy(SNAPSHOT, origin, True, GIB))).leaves == ()
    assert rig.appliance.mutations == changes


def test_a_snapshot_that_can_be_written_to_is_no_origin(rig: Rig) -> None:
    snapshot(rig)
    rig.appliance.run(f'/disk/btrfs/subvolume/set [find where name="{SNAPSHOT.name}"] read-only=no')
    assert copied(rig, OF_SNAPSHOT).leaves == ()


def test_without_space_it_is_refused_and_nothing_is_made(rig: Rig) -> None:
    with pytest.raises(Refused, match=lines.NO_SPACE):
        snapshot(rig, 1000 * GIB)
    assert rig.send(lines.observe_copy(rig.guard, SNAPSHOT)).leaves == ()


@pytest.mark.parametrize("origin", [OF_VOLUME, OF_SNAPSHOT], ids=["volume", "snapshot"])
@pytest.mark.parametrize("size", [GIB, 3 * GIB], ids=["same size", "larger"])
def test_a_copy_becomes_a_volume_of_the_size_that_is_asked_for(rig: Rig, origin: Origin, size: int) -> None:
    snapshot(rig)
    (leaf,) = copied(rig, origin).leaves
    assert not leaf.read_only
    item = attach(rig, size).disk(OTHER_SLOT)
    assert item is not None
    assert (item.size, item.nvme_tcp_export, item.mount_filesystem) == (size, False, False)
    assert item.comment == f"rdscsi1 v ready uuid={leaf.uuid}"
    changes = rig.appliance.mutations
    attach(rig, size)
    assert rig.appliance.mutations == changes


def test_a_copy_cut_anywhere_is_finished(rig: Rig) -> None:
    copied(rig, OF_VOLUME)
    cuts = 0
    for nth in itertools.count(1):
        try:
            attach(rig, 2 * GIB, cut_before=nth)
        except LineCut:
            cuts += 1
        else:
            break
    assert cuts == 2  # an item, its size; the tag comes with the last one
    assert (rig.get(OTHER_SLOT).size, rig.get(OTHER_SLOT).comment[:16]) == (2 * GIB, "rdscsi1 v ready ")


def test_without_the_copy_no_item_is_made(rig: Rig) -> None:
    changes = rig.appliance.mutations
    assert attach(rig).disk(OTHER_SLOT) is None
    assert rig.appliance.mutations == changes


def test_a_snapshot_is_removed_and_its_copies_stay(rig: Rig) -> None:
    snapshot(rig)
    copied(rig, OF_SNAPSHOT)
    attach(rig)
    path = SNAPSHOT.file_path(rig.place.base_path, btrfs=True)
    assert rig.send(lines.remove(rig.guard, SNAPSHOT.slot, SNAPSHOT, path, "", "")).leaves == ()
    assert rig.get(OTHER_SLOT).block_device
    assert {leaf for leaf in rig.leaves() if leaf.endswith("disk.img")} == {
        f"{BACKING.name}/disk.img",
        f"{COPY.name}/disk.img",
    }
