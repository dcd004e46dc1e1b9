"""The lines that make somebody else's disk ours, on a simulated console: every prefix, every guard, their length."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from line_rig import BACKING, CLUSTER, MARKER_SLOT, MIB, Refused, Rig

from rdscsi import names
from rdscsi.names import ImportedBacking
from rdscsi.routeros import adopting, lines
from rdscsi.routeros.adopting import Adoption
from rdscsi.routeros.framing import MAX_BODY_BYTES, Frame
from rdscsi.routeros.lines import Guard, Place
from rdscsi.routeros.uptime import Window
from rdscsi.simulator import LineCut
from rdscsi.simulator.storage.disks import Disk
from rdscsi.tags import Marker, render_marker

FOREIGN, PATH = "vm-storage-001", "pool1/vm.img"
SLOT = names.slot("v", CLUSTER, "import it")
WANTED = Adoption(FOREIGN, "", ImportedBacking(SLOT, "i" * 13, PATH), MIB, "claimed", "ready")


@pytest.fixture(params=["btrfs", "ext4"])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path / "appliance", request.param)
    made.appliance.run(f"/disk/add type=file slot={FOREIGN} file-path={PATH} file-size={MIB}")
    yield made
    made.appliance.close()


def state(rig: Rig) -> tuple[str, str, bool]:
    """Slot, comment and mount-filesystem of the one disk over the file."""
    [disk] = rig.appliance.storage.disks.by_file(PATH)
    return disk.slot, str(disk.setting("comment", "")), disk.setting("mount-filesystem", True) is True


def test_the_disk_gets_tag_slot_and_the_word_ready(rig: Rig) -> None:
    answer = rig.send(adopting.adopt(rig.guard, WANTED))
    assert state(rig) == (SLOT, "ready", False)
    item = answer.disk(SLOT)
    assert item is not None
    assert (item.size, item.file_path, answer.disk(FOREIGN)) == (MIB, PATH, None)
    assert [leaf.name for leaf in answer.leaves] == ["vm.img"]
    assert answer.pool is not None
    changes = rig.appliance.mutations
    rig.send(adopting.adopt(rig.guard, WANTED))
    assert rig.appliance.mutations == changes, "twice is once"


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_a_line_that_was_cut_short_is_finished_by_the_next_or_taken_back(cut: int, rig: Rig) -> None:
    prefixes = {1: (FOREIGN, "", True), 2: (FOREIGN, "claimed", False), 3: (SLOT, "claimed", False)}
    with pytest.raises(LineCut):
        rig.send(adopting.adopt(rig.guard, WANTED), cut_before=cut)
    assert state(rig) == prefixes[cut]
    rig.send(adopting.disclaim(rig.guard, WANTED))
    assert state(rig)[:2] == ((SLOT, "claimed") if cut == 3 else (FOREIGN, "")), "what has our slot is finished"
    rig.send(adopting.adopt(rig.guard, WANTED))
    assert state(rig) == (SLOT, "ready", False)


@pytest.mark.parametrize(
    "difference",
    [
        replace(WANTED, size_bytes=2 * MIB),
        replace(WANTED, comment="another"),
        replace(WANTED, backing=ImportedBacking(SLOT, "i" * 13, "pool1/other.img")),
    ],
    ids=["size", "comment", "path"],
)
def test_a_disk_that_is_not_as_it_was_seen_is_left_alone(difference: Adoption, rig: Rig) -> None:
    before = state(rig)
    rig.send(adopting.adopt(rig.guard, difference))
    assert state(rig) == before


def test_what_an_earlier_import_has_left_is_adopted_where_it_is(rig: Rig) -> None:
    rig.appliance.run(f'/disk/set [find where slot={FOREIGN}] slot={SLOT} comment="left" mount-filesystem=no')
    rig.send(adopting.adopt(rig.guard, replace(WANTED, from_slot=SLOT, comment="left")))
    assert state(rig) == (SLOT, "ready", False)


def test_a_taken_slot_stops_it_after_the_claim(rig: Rig) -> None:
    rig.appliance.run(f"/disk/add type=file slot={SLOT} file-path=pool1/other.img file-size={MIB}")
    answer = rig.send(adopting.adopt(rig.guard, WANTED))
    assert state(rig)[:2] == (FOREIGN, "claimed")
    assert {item.slot for item in answer.disks} == {SLOT, FOREIGN}
    rig.send(adopting.disclaim(rig.guard, WANTED))
    assert state(rig)[:2] == (FOREIGN, "")


def test_without_token_or_window_nothing_is_done(rig: Rig) -> None:
    before = state(rig)
    for guard in (
        Guard(MARKER_SLOT, "another marker", rig.place, rig.window),
        Guard(MARKER_SLOT, render_marker(rig.marker), rig.place, Window(1, 2)),
    ):
        with pytest.raises(Refused):
            rig.send(adopting.adopt(guard, WANTED))
        with pytest.raises(Refused):
            rig.send(adopting.disclaim(guard, WANTED))
    assert state(rig) == before


def test_removing_it_removes_its_file_wherever_that_is(rig: Rig) -> None:
    rig.send(adopting.adopt(rig.guard, WANTED))
    with pytest.raises(LineCut):  # between the item and its file
        rig.send(lines.remove(rig.guard, SLOT, WANTED.backing, PATH, "ready", "deleting"), cut_before=3)
    assert list(rig.appliance.storage.disks.by_file(PATH)) == []
    assert rig.appliance.storage.files.find(PATH) is not None
    answer = rig.send(lines.remove(rig.guard, SLOT, WANTED.backing, PATH, "", ""))
    assert (answer.disks, answer.leaves) == ((), ())
    assert rig.appliance.storage.files.find(PATH) is None


def test_a_file_that_another_disk_uses_stays(rig: Rig) -> None:
    rig.send(adopting.adopt(rig.guard, WANTED))
    rig.appliance.run(f"/disk/set [find where slot={SLOT}] slot=mine comment=mine")
    rig.send(lines.remove(rig.guard, SLOT, WANTED.backing, PATH, "ready", "deleting"))
    [disk] = rig.appliance.storage.disks.by_file(PATH)
    assert isinstance(disk, Disk)
    assert disk.slot == "mine"
    assert rig.appliance.storage.files.find(PATH) is not None


def test_the_longest_lines_fit_their_frame() -> None:
    place = Place("p" * 32, "u" * 36, "l" * 32, True, "b" * 56, "b" * 20)
    marker = render_marker(Marker("c" * 40, "b" * 56, "u" * 36, "j" * 13, 10**9, "r" * 16))
    guard = Guard(MARKER_SLOT, marker, place, Window(10**8, 10**8 + 60))
    wanted = Adoption(
        "f" * 32, "o" * 255, ImportedBacking(BACKING.slot, BACKING.operation, "p" * 60), 1 << 62, "c" * 255, "r" * 255
    )
    for body in (adopting.adopt(guard, wanted), adopting.disclaim(guard, wanted)):
        assert len(body) <= MAX_BODY_BYTES
        Frame(body, "0123456789abcdef")
