"""The lines on a simulated console, which shares no code with them: each parses, does what it says and no more.

Run in the frame in which the driver sends them. What the driver makes of the answers is tested with the controller.
"""

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from rdscsi import names
from rdscsi.model import AccessMode, AccessType
from rdscsi.names import Backing
from rdscsi.routeros import lines, surveys
from rdscsi.routeros.answers import Answer, DiskItem, parse_answer
from rdscsi.routeros.framing import MAX_BODY_BYTES, Frame, Ran, Stopped
from rdscsi.routeros.lines import Guard, NewVolume, Place
from rdscsi.routeros.uptime import Window
from rdscsi.simulator import Appliance, ApplianceOptions, Behaviour, LineCut, ManualClock, PoolOptions
from rdscsi.tags import Marker, NodeState, PublicationTag, Tag, TaggedNode, TagState, render_marker, render_tag

MIB, GIB = 1 << 20, 1 << 30
CLUSTER, BACKEND = "cluster-1", "rds"
SLOT = names.slot("v", CLUSTER, "pvc-1")
OTHER_SLOT = names.slot("v", CLUSTER, "pvc-2")
BACKING = Backing(SLOT, "aaaqeayeaudao")
MARKER_SLOT = names.marker_slot(CLUSTER, BACKEND)
SUBNQN = names.subnqn(SLOT, names.epoch(bytes(10)))
OTHER_SUBNQN = names.subnqn(SLOT, names.epoch(bytes(range(10))))


class Refused(Exception):
    """The line ended at a run-time error with this text."""


class Rig:
    """An appliance with a pool, a marker and a window that is open."""

    def __init__(self, directory: Path, fs: str) -> None:
        self.clock = ManualClock()
        options = ApplianceOptions(
            pool=PoolOptions(fs=fs, size=100 * GIB),  # type: ignore[arg-type]
            behaviour=Behaviour(error_suffix=False),
            initial_uptime=1000,
        )
        self.appliance = Appliance(directory, options, clock=self.clock)
        self.nonces = itertools.count()
        answer = self.send(surveys.look("pool1", MARKER_SLOT))
        assert answer.pool is not None
        mount = answer.pool.mount_point
        self.place = Place(
            "pool1", answer.pool.fs_uuid, answer.pool.fs_label, fs == "btrfs", f"{mount}/rdscsi", "rdscsi"
        )
        self.path = BACKING.file_path(self.place.base_path, btrfs=self.place.btrfs)
        self.marker = Marker(CLUSTER, self.place.base_path, self.place.fs_uuid, "journal", 1, "random")
        self.window = Window(900, 1100)
        path = f"{self.place.base_path}/{MARKER_SLOT}.img"
        self.send(surveys.first_marker(self.place, self.window, MARKER_SLOT, path, render_marker(self.marker)))

    @property
    def guard(self) -> Guard:
        return Guard(MARKER_SLOT, render_marker(self.marker), self.place, self.window)

    def send(self, body: str, *, cut_before: int = 0) -> Answer:
        """Run one line. With `cut_before` the power fails before its nth change."""
        frame = Frame(body, f"{next(self.nonces):016}")
        left = itertools.count(1)

        def cut(_path: str, _arguments: Mapping[str, object]) -> None:
            if next(left) == cut_before:
                raise LineCut

        text = self.appliance.run(frame.line, before=cut).replace("\r\n", "\n")
        finding = frame.read(text)
        if isinstance(finding, Stopped):
            raise Refused(finding.text)
        assert isinstance(finding, Ran), finding
        return parse_answer(finding.lines)

    def item(self, slot: str = SLOT) -> DiskItem | None:
        """Look without any guard, by a line that no line of the driver has a part in."""
        put = ':put ("I " . [:serialize to=json value=[/disk/get $zi] options=json.no-string-conversion])'
        return self.send(f':foreach zi in=[/disk/find where slot="{slot}"] do={{{put}}}').disk(slot)

    def get(self, slot: str = SLOT) -> DiskItem:
        found = self.item(slot)
        assert found is not None
        return found

    def leaves(self) -> set[str]:
        """List what lies on the pool under the base path, as `/file` sees it."""
        text = self.appliance.run(":foreach zi in=[/file/find] do={:put [/file/get $zi name]}")
        below = f"{self.place.base_path}/"
        return {line.removeprefix(below) for line in text.split("\r\n") if line.startswith(below)} - {
            f"{MARKER_SLOT}.img"
        }

    def volume(self, size: int = GIB, **changes: object) -> NewVolume:
        values: dict[str, object] = {
            "slot": SLOT,
            "backing": BACKING,
            "file_path": self.path,
            "size_bytes": size,
            "creating": "rdscsi1 v creating uuid=",
            "ready": "rdscsi1 v ready uuid=",
            "keep_free_bytes": GIB,
        }
        return NewVolume(**(values | changes))  # type: ignore[arg-type]

    def create(self, size: int = GIB) -> str:
        """Create the volume; return its tag."""
        self.send(lines.create(self.guard, self.volume(size)))
        return self.get().comment


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


class TestSurveys:
    def test_a_look_tells_what_the_driver_must_know(self, rig: Rig) -> None:
        answer = rig.send(surveys.look("pool1", MARKER_SLOT))
        assert answer.facts["version"].startswith("7.24.4")
        assert answer.facts["rose-storage"] == "1"
        assert answer.facts["date"]
        assert answer.uptime == 1000
        assert answer.pool is not None
        assert answer.pool.mounted
        assert answer.pool.btrfs == rig.place.btrfs
        marker = answer.disk(MARKER_SLOT)
        assert marker is not None
        assert marker.comment == render_marker(rig.marker)
        assert (marker.size, marker.nvme_tcp_export) == (surveys.MARKER_BYTES, False)

    def test_a_look_at_an_empty_appliance_tells_that_too(self, rig: Rig) -> None:
        answer = rig.send(surveys.look("no-such-pool", "no-such-marker"))
        assert (answer.pool, answer.disks) == (None, ())

    def test_an_inventory_shows_what_is_ours_and_nothing_else(self, rig: Rig) -> None:
        rig.create()
        rig.appliance.run('/disk/add type=file slot="stranger" file-path="stranger.img" file-size=1048576')
        prefix = f"v{names.cluster_key(CLUSTER)}-"
        for body in (surveys.inventory(rig.guard, prefix), surveys.unguarded_inventory(rig.place, prefix)):
            answer = rig.send(body)
            assert [item.slot for item in answer.disks] == [SLOT]
            assert [names.parse_backing(leaf.name) for leaf in answer.leaves] == [BACKING]
        nothing = rig.send(surveys.inventory(rig.guard, "vother2-"))
        assert (nothing.disks, nothing.leaves) == ((), ())
        assert nothing.pool is not None

    def test_a_second_first_marker_is_refused(self, rig: Rig) -> None:
        body = surveys.first_marker(rig.place, rig.window, MARKER_SLOT, f"{rig.place.base_path}/x.img", "other")
        with pytest.raises(Refused, match=surveys.MARKER_CHANGED):
            rig.send(body)
        assert rig.get(MARKER_SLOT).comment == render_marker(rig.marker)

    def test_the_token_moves_from_the_marker_that_was_seen_only(self, rig: Rig) -> None:
        old, new = render_marker(rig.marker), render_marker(rig.marker.taken_by("journal2", "random2"))
        answer = rig.send(surveys.move_token(rig.place, rig.window, MARKER_SLOT, old, new))
        item = answer.disk(MARKER_SLOT)
        assert item is not None
        assert item.comment == new
        with pytest.raises(Refused, match=surveys.MARKER_CHANGED):
            rig.send(surveys.move_token(rig.place, rig.window, MARKER_SLOT, old, new))

    def test_a_base_path_that_is_the_pool_itself_needs_no_directory(self, tmp_path: Path) -> None:
        with Appliance(tmp_path, clock=ManualClock()) as appliance:
            root = Place("pool1", "", "pool1", True, "pool1", "")
            assert surveys._base_directory(root) == []
            assert appliance.mutations == 0


MUTATING = ("create", "publish", "unpublish", "expand", "remove", "add_again")


def every_line(rig: Rig, guard: Guard) -> dict[str, str]:
    """One line of each kind that changes something, for a volume that exists."""
    tag = rig.get().comment
    return {
        "create": lines.create(guard, rig.volume(slot=OTHER_SLOT, backing=Backing(OTHER_SLOT, "b" * 13))),
        "publish": lines.publish(guard, SLOT, tag, "new", SUBNQN, 4420),
        "unpublish": lines.unpublish(guard, SLOT, tag, "new"),
        "expand": lines.expand(guard, SLOT, tag, "new", 2 * GIB, 0),
        "remove": lines.remove(guard, SLOT, BACKING, rig.path, tag, "deleting"),
        "add_again": lines.add_again(guard, SLOT, BACKING, rig.path, tag),
        "observe": lines.observe(guard, SLOT),
    }


class TestTheGuard:
    @pytest.mark.parametrize(
        ("what", "told"),
        [
            ("another token", lines.FENCED),
            ("no marker", lines.FENCED),
            ("too late", lines.OUT_OF_WINDOW),
            ("too early", lines.OUT_OF_WINDOW),
            ("another pool", lines.POOL_GONE),
        ],
    )
    def test_a_line_whose_time_is_over_changes_nothing(self, rig: Rig, what: str, told: str) -> None:
        rig.create()
        bodies = every_line(rig, rig.guard)
        if what == "another token":
            rig.appliance.run(f'/disk/set [find slot="{MARKER_SLOT}"] comment="taken"')
        elif what == "no marker":
            rig.appliance.run(f'/disk/remove [find slot="{MARKER_SLOT}"]')
        elif what == "too late":
            rig.clock.advance(200)
        elif what == "too early":
            rig.appliance.reboot()
        else:
            place = Place("pool1", "another uuid", *[getattr(rig.place, name) for name in Place.__slots__[2:]])
            bodies = every_line(rig, Guard(MARKER_SLOT, render_marker(rig.marker), place, rig.window))
        before, changes = rig.get(), rig.appliance.mutations
        for body in bodies.values():
            with pytest.raises(Refused, match=told):
                rig.send(body)
        assert rig.get() == before
        assert rig.appliance.mutations == changes

    @pytest.mark.parametrize("name", MUTATING)
    def test_before_each_change_token_and_window_are_checked_again(self, rig: Rig, name: str) -> None:
        """A line may stop anywhere and go on later: whatever it has left to do must then be refused."""
        rig.create()
        if name == "add_again":
            body = every_line(rig, rig.guard)[name]
            rig.appliance.run(f'/disk/remove [find slot="{SLOT}"]')
        else:
            body = every_line(rig, rig.guard)[name]
        changed: list[str] = []

        def take_the_token(path: str, _arguments: Mapping[str, object]) -> None:
            changed.append(path)
            if len(changed) == 1:
                rig.appliance.run(f'/disk/set [find slot="{MARKER_SLOT}"] comment="taken"')

        frame = Frame(body, f"{next(rig.nonces):016}")
        text = rig.appliance.run(frame.line, after=take_the_token).replace("\r\n", "\n")
        finding = frame.read(text)
        assert len(changed) == 1
        assert isinstance(finding, Stopped | Ran)
        if isinstance(finding, Stopped):
            assert finding.text == lines.FENCED


LONGEST_PLACE = [
    Place("p" * 32, "0f8fad5b-d9cb-469f-a165-70867728950e", "l" * 32, btrfs, "b" * 64, "b" * 60)
    for btrfs in (True, False)
]


@pytest.mark.parametrize("place", LONGEST_PLACE, ids=["btrfs", "plain"])
def test_every_line_fits_its_frame_in_the_worst_case_and_is_printable_ascii(place: Place) -> None:
    marker = Marker("c" * 64, place.base_path, place.fs_uuid, "j" * 13, 10**11, "r" * 16)
    guard = Guard(MARKER_SLOT, render_marker(marker), place, Window(10**9, 10**9 + 60))
    backing = Backing(SLOT, "o" * 13)
    path = backing.file_path(place.base_path, btrfs=place.btrfs)
    nodes = tuple(TaggedNode(names.node_id(f"{'n' * 118}{number}"), NodeState.PUBLISHED) for number in (1, 2))
    publication = PublicationTag("e" * 16, AccessType.MOUNT, AccessMode.MULTI_NODE_MULTI_WRITER, False, True, nodes)
    uuid = place.fs_uuid if place.btrfs else ""
    tag = Tag(TagState.READY, "o" * 13, 10**9, "h" * 12, "q" * 26, 1 << 50, publication=publication, backing_uuid=uuid)
    old, new = render_tag(tag), render_tag(tag.evolve(state=TagState.DELETING, blank=False))
    bare = Tag(TagState.CREATING, "o" * 13, 10**9, "h" * 12, "q" * 26, 1 << 50)
    volume = NewVolume(
        SLOT, backing, path, 1 << 50, render_tag(bare), render_tag(bare.evolve(state=TagState.READY)), 1 << 50
    )
    bodies = {
        "create": lines.create(guard, volume),
        "publish": lines.publish(guard, SLOT, old, new, SUBNQN, 65535),
        "unpublish": lines.unpublish(guard, SLOT, old, new),
        "expand": lines.expand(guard, SLOT, old, new, 1 << 50, 1 << 50),
        "remove": lines.remove(guard, SLOT, backing, path, old, new),
        "add_again": lines.add_again(guard, SLOT, backing, path, new),
        "observe": lines.observe(guard, SLOT),
        "look": surveys.look(place.pool_slot, MARKER_SLOT),
        "inventory": surveys.inventory(guard, SLOT[:8]),
        "unguarded_inventory": surveys.unguarded_inventory(place, SLOT[:8]),
        "first_marker": surveys.first_marker(place, guard.window, MARKER_SLOT, path, render_marker(marker)),
        "move_token": surveys.move_token(place, guard.window, MARKER_SLOT, "o" * 255, "n" * 255),
    }
    lengths = {name: len(body) for name, body in bodies.items()}
    assert max(lengths.values()) <= MAX_BODY_BYTES, lengths
    for body in bodies.values():
        Frame(body, "0123456789abcdef")
