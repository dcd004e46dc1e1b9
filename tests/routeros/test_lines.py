"""The lines on a simulated console, which shares no code with them: each parses, does what it says and no more.

Run in the frame in which the driver sends them. What the driver makes of the answers is tested with the controller;
their guards, length and the lines that only look are in `test_line_guards`.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from line_rig import BACKING, GIB, OTHER_SLOT, OTHER_SUBNQN, SLOT, SUBNQN, Refused, Rig

from rdscsi.names import Backing
from rdscsi.routeros import lines
from rdscsi.routeros.answers import Answer
from rdscsi.simulator import LineCut


@pytest.fixture(params=["btrfs", "ext4"])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path / "appliance", request.param)
    yield made
    made.appliance.close()


class TestCreate:
    def test_it_makes_item_and_file_with_export_off_and_tells_both(self, rig: Rig) -> None:
        answer = rig.send(lines.create(rig.guard, rig.volume()))
        item = answer.disk(SLOT)
        assert item == rig.get()
        assert item is not None
        assert (item.type, item.size, item.file_path) == ("file", GIB, rig.path)
        assert not item.nvme_tcp_export
        assert not item.mount_filesystem
        assert item.block_device
        assert item.comment.startswith("rdscsi1 v ready uuid=")
        assert bool(item.comment.removeprefix("rdscsi1 v ready uuid=")) == rig.place.btrfs
        assert answer.pool is not None
        assert answer.pool.free < 100 * GIB
        assert answer.uptime == 1000

    def test_again_changes_nothing(self, rig: Rig) -> None:
        rig.create()
        before, changes = rig.get(), rig.appliance.mutations
        rig.send(lines.create(rig.guard, rig.volume()))
        assert rig.get() == before
        assert rig.appliance.mutations == changes

    def test_after_a_cut_anywhere_it_is_finished(self, rig: Rig) -> None:
        cuts = 0
        for nth in itertools.count(1):
            try:
                rig.send(lines.create(rig.guard, rig.volume()), cut_before=nth)
            except LineCut:
                cuts += 1
            else:
                break
        assert cuts >= 2
        assert rig.get().comment.startswith("rdscsi1 v ready")
        assert len([leaf for leaf in rig.leaves() if leaf.startswith(SLOT) and "/" not in leaf]) == 1

    def test_an_item_of_somebody_else_stays_as_it_is(self, rig: Rig) -> None:
        rig.appliance.run(f'/disk/add type=file slot="{SLOT}" file-path="{rig.place.base_path}/x" file-size=1048576')
        before = rig.get()
        rig.send(lines.create(rig.guard, rig.volume()))
        assert rig.get() == before
        assert not [leaf for leaf in rig.leaves() if leaf.startswith(SLOT)]

    def test_without_space_it_is_refused_and_nothing_is_made(self, rig: Rig) -> None:
        with pytest.raises(Refused, match=lines.NO_SPACE):
            rig.send(lines.create(rig.guard, rig.volume(100 * GIB)))
        with pytest.raises(Refused, match=lines.NO_SPACE):
            rig.send(lines.create(rig.guard, rig.volume(GIB, keep_free_bytes=100 * GIB)))
        assert rig.item() is None
        assert rig.leaves() == set()

    def test_its_own_leftover_is_made_anew_and_a_used_file_is_not(self, rig: Rig) -> None:
        rig.create()
        rig.appliance.run(f'/disk/remove [find slot="{SLOT}"]')
        assert rig.leaves()
        rig.send(lines.create(rig.guard, rig.volume(2 * GIB)))
        assert rig.get().size == 2 * GIB


class TestPublish:
    def publish(self, rig: Rig, old: str, new: str, subnqn: str = SUBNQN) -> Answer:
        return rig.send(lines.publish(rig.guard, SLOT, old, new, subnqn, 4420))

    def test_it_tags_names_and_exports(self, rig: Rig) -> None:
        old = rig.create()
        answer = self.publish(rig, old, "new tag")
        item = rig.get()
        assert answer.disk(SLOT) == item
        assert item.comment == "new tag"
        assert item.nvme_tcp_export
        assert (item.nvme_tcp_server_nqn, item.nvme_tcp_server_port) == (SUBNQN, 4420)

    def test_again_changes_nothing(self, rig: Rig) -> None:
        old = rig.create()
        self.publish(rig, old, "new tag")
        changes = rig.appliance.mutations
        self.publish(rig, old, "new tag")
        self.publish(rig, "new tag", "new tag")
        assert rig.appliance.mutations == changes

    def test_after_a_cut_anywhere_it_is_finished_and_never_exported_under_another_name(self, rig: Rig) -> None:
        old = rig.create()
        self.publish(rig, old, "first")
        for nth in itertools.count(1):
            try:
                rig.send(lines.publish(rig.guard, SLOT, "first", "second", OTHER_SUBNQN, 4420), cut_before=nth)
            except LineCut:
                item = rig.get()
                assert not (item.nvme_tcp_export and item.comment == "second" and item.nvme_tcp_server_nqn == SUBNQN)
            else:
                break
        item = rig.get()
        assert (item.comment, item.nvme_tcp_export, item.nvme_tcp_server_nqn) == ("second", True, OTHER_SUBNQN)

    def test_an_item_with_another_tag_is_not_touched(self, rig: Rig) -> None:
        rig.create()
        before, changes = rig.get(), rig.appliance.mutations
        self.publish(rig, "stale tag", "new tag")
        assert rig.get() == before
        assert rig.appliance.mutations == changes


class TestUnpublish:
    def test_it_cuts_first_and_tags_then(self, rig: Rig) -> None:
        old = rig.create()
        rig.send(lines.publish(rig.guard, SLOT, old, "published", SUBNQN, 4420))
        seen = []
        for nth in itertools.count(1):
            try:
                rig.send(lines.unpublish(rig.guard, SLOT, "published", "left"), cut_before=nth)
            except LineCut:
                seen.append((rig.get().nvme_tcp_export, rig.get().comment))
            else:
                break
        assert (rig.get().nvme_tcp_export, rig.get().comment) == (False, "left")
        assert (True, "left") not in seen
        changes = rig.appliance.mutations
        rig.send(lines.unpublish(rig.guard, SLOT, "published", "left"))
        assert rig.appliance.mutations == changes

    def test_the_tag_alone_can_change(self, rig: Rig) -> None:
        old = rig.create()
        rig.send(lines.unpublish(rig.guard, SLOT, old, "left"))
        assert rig.get().comment == "left"

    def test_an_item_with_another_tag_stays_exported(self, rig: Rig) -> None:
        old = rig.create()
        rig.send(lines.publish(rig.guard, SLOT, old, "published", SUBNQN, 4420))
        rig.send(lines.unpublish(rig.guard, SLOT, "stale", "left"))
        assert rig.get().nvme_tcp_export

    def test_a_volume_that_is_gone_is_told_as_absent(self, rig: Rig) -> None:
        assert rig.send(lines.unpublish(rig.guard, SLOT, "old", "new")).disk(SLOT) is None


class TestExpand:
    def test_it_tags_and_grows(self, rig: Rig) -> None:
        old = rig.create()
        answer = rig.send(lines.expand(rig.guard, SLOT, old, "new", 3 * GIB, GIB))
        item = answer.disk(SLOT)
        assert item is not None
        assert (item.size, item.comment) == (3 * GIB, "new")
        changes = rig.appliance.mutations
        rig.send(lines.expand(rig.guard, SLOT, old, "new", 3 * GIB, GIB))
        assert rig.appliance.mutations == changes

    def test_it_never_shrinks(self, rig: Rig) -> None:
        old = rig.create(2 * GIB)
        rig.send(lines.expand(rig.guard, SLOT, old, "new", GIB, 0))
        assert (rig.get().size, rig.get().comment) == (2 * GIB, "new")

    def test_after_a_cut_anywhere_it_is_finished(self, rig: Rig) -> None:
        old = rig.create()
        for nth in itertools.count(1):
            try:
                rig.send(lines.expand(rig.guard, SLOT, old, "new", 2 * GIB, 0), cut_before=nth)
            except LineCut:
                continue
            break
        assert (rig.get().size, rig.get().comment) == (2 * GIB, "new")

    def test_without_space_it_is_refused_before_the_tag_promises_it(self, rig: Rig) -> None:
        old = rig.create()
        with pytest.raises(Refused, match=lines.NO_SPACE):
            rig.send(lines.expand(rig.guard, SLOT, old, "new", 2 * GIB, 200 * GIB))
        assert (rig.get().size, rig.get().comment) == (GIB, old)

    def test_an_item_with_another_tag_stays(self, rig: Rig) -> None:
        rig.create()
        rig.send(lines.expand(rig.guard, SLOT, "stale", "new", 2 * GIB, 0))
        assert rig.get().size == GIB


class TestRemove:
    def remove(self, rig: Rig, old: str, *, cut_before: int = 0) -> Answer:
        return rig.send(lines.remove(rig.guard, SLOT, BACKING, rig.path, old, "deleting"), cut_before=cut_before)

    def test_item_and_file_go_and_it_tells_that_nothing_is_left(self, rig: Rig) -> None:
        answer = self.remove(rig, rig.create())
        assert answer.disk(SLOT) is None
        assert answer.leaves == ()
        assert rig.item() is None
        assert rig.leaves() == set()
        changes = rig.appliance.mutations
        self.remove(rig, "whatever")
        assert rig.appliance.mutations == changes

    def test_after_a_cut_anywhere_it_is_finished(self, rig: Rig) -> None:
        old, cuts = rig.create(), 0
        for nth in itertools.count(1):
            try:
                self.remove(rig, old, cut_before=nth)
            except LineCut:
                cuts += 1
            else:
                break
        assert cuts >= 1
        assert rig.item() is None
        assert rig.leaves() == set()

    def test_an_exported_volume_stays(self, rig: Rig) -> None:
        rig.send(lines.publish(rig.guard, SLOT, rig.create(), "published", SUBNQN, 4420))
        answer = self.remove(rig, "published")
        item = answer.disk(SLOT)
        assert item is not None
        assert (item.comment, item.nvme_tcp_export) == ("published", True)
        assert answer.leaves
        assert rig.leaves()

    def test_an_item_with_another_tag_stays_with_its_file(self, rig: Rig) -> None:
        tag = rig.create()
        answer = self.remove(rig, "stale")
        item = answer.disk(SLOT)
        assert item is not None
        assert item.comment == tag
        assert [leaf.name.removesuffix(".img") for leaf in answer.leaves] == [BACKING.name]

    def test_a_file_that_another_item_uses_stays(self, rig: Rig) -> None:
        old = rig.create()
        rig.appliance.run(f'/disk/add type=file slot="{OTHER_SLOT}" file-path="/{rig.path}"')
        assert rig.item(OTHER_SLOT) is not None
        answer = self.remove(rig, old)
        assert answer.disk(SLOT) is None
        assert answer.leaves
        assert rig.item(OTHER_SLOT) is not None

    def test_another_volume_is_not_touched(self, rig: Rig) -> None:
        old = rig.create()
        other = Backing(OTHER_SLOT, "bbbqeayeaudao")
        path = other.file_path(rig.place.base_path, btrfs=rig.place.btrfs)
        rig.send(lines.create(rig.guard, rig.volume(slot=OTHER_SLOT, backing=other, file_path=path)))
        before = rig.get(OTHER_SLOT)
        self.remove(rig, old)
        assert rig.get(OTHER_SLOT) == before
        assert any(leaf.startswith(OTHER_SLOT) for leaf in rig.leaves())


class TestAddAgain:
    def test_a_lost_item_comes_back_with_its_file_and_export_off(self, rig: Rig) -> None:
        tag = rig.create()
        rig.appliance.run(f'/disk/remove [find slot="{SLOT}"]')
        answer = rig.send(lines.add_again(rig.guard, SLOT, BACKING, rig.path, tag))
        item = answer.disk(SLOT)
        assert item is not None
        assert (item.size, item.comment, item.nvme_tcp_export) == (GIB, tag, False)
        assert [leaf.name for leaf in answer.leaves] == [BACKING.leaf(btrfs=rig.place.btrfs)]

    def test_without_its_file_nothing_is_added(self, rig: Rig) -> None:
        answer = rig.send(lines.add_again(rig.guard, SLOT, BACKING, rig.path, "tag"))
        assert answer.disk(SLOT) is None
        assert rig.leaves() == set()

    def test_an_item_that_is_there_stays(self, rig: Rig) -> None:
        tag = rig.create()
        rig.send(lines.add_again(rig.guard, SLOT, BACKING, rig.path, "other tag"))
        assert rig.get().comment == tag

    def test_a_file_that_another_item_uses_is_not_used_twice(self, rig: Rig) -> None:
        rig.create()
        rig.appliance.run(f'/disk/set [find slot="{SLOT}"] slot="{OTHER_SLOT}"')
        assert rig.send(lines.add_again(rig.guard, SLOT, BACKING, rig.path, "tag")).disk(SLOT) is None


class TestObserve:
    def test_it_tells_of_the_item_and_of_that_creates_backing_object(self, rig: Rig) -> None:
        tag = rig.create()
        answer = rig.send(lines.observe(rig.guard, SLOT, BACKING, rig.path))
        item = answer.disk(SLOT)
        assert item is not None
        assert item.comment == tag
        assert [leaf.name for leaf in answer.leaves] == [BACKING.leaf(btrfs=rig.place.btrfs)]

    def test_another_creates_backing_object_is_not_told(self, rig: Rig) -> None:
        rig.create()
        other = Backing(SLOT, "bbbqeayeaudao")
        path = other.file_path(rig.place.base_path, btrfs=rig.place.btrfs)
        assert rig.send(lines.observe(rig.guard, SLOT, other, path)).leaves == ()

    def test_without_a_backing_it_tells_of_the_item_alone(self, rig: Rig) -> None:
        rig.create()
        answer = rig.send(lines.observe(rig.guard, SLOT, None, ""))
        assert answer.disk(SLOT) is not None
        assert answer.leaves == ()
