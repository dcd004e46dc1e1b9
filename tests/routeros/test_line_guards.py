"""Looks, the token, and what every line has in common: its guard, and that it fits its frame."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from line_rig import BACKING, CLUSTER, GIB, MARKER_SLOT, OTHER_SLOT, SLOT, SUBNQN, Refused, Rig

from rdscsi import names
from rdscsi.model import AccessMode, AccessType
from rdscsi.names import Backing, SnapshotBacking
from rdscsi.routeros import lines, surveys
from rdscsi.routeros.framing import MAX_BODY_BYTES, Frame, Ran, Stopped
from rdscsi.routeros.lines import Guard, NewCopy, NewVolume, Origin, Place
from rdscsi.routeros.uptime import Window
from rdscsi.simulator import Appliance, ManualClock
from rdscsi.tags import Marker, NodeState, PublicationTag, Tag, TaggedNode, TagState, render_marker, render_tag


@pytest.fixture(params=["btrfs", "ext4"])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path / "appliance", request.param)
    yield made
    made.appliance.close()


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
        "observe": lines.observe(guard, SLOT, BACKING, rig.path),
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

    def test_with_two_items_in_the_markers_slot_nobody_acts(self, rig: Rig) -> None:
        rig.create()
        bodies = every_line(rig, rig.guard)
        rig.appliance.run(f'/disk/add type=file slot=second file-path="{rig.path}.second" file-size=1M')
        bodies = {name: body.replace("/disk/find where slot=$zk]", "TWICE]") for name, body in bodies.items()}
        twice = f'/disk/find where slot="{MARKER_SLOT}" or slot=second]'
        for body in bodies.values():
            assert body.count("TWICE]") == 1  # counted whatever its comment says
            with pytest.raises(Refused, match=lines.FENCED):
                rig.send(body.replace("TWICE]", twice))

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
    Place("p" * 32, "0f8fad5b-d9cb-469f-a165-70867728950e", "l" * 32, btrfs, "b" * 56, "b" * 52)
    for btrfs in (True, False)
]


@pytest.mark.parametrize("place", LONGEST_PLACE, ids=["btrfs", "plain"])
def test_every_line_fits_its_frame_in_the_worst_case_and_is_printable_ascii(place: Place) -> None:
    marker = Marker("c" * 64, place.base_path, place.fs_uuid, "j" * 13, 10**8, "r" * 16)
    guard = Guard(MARKER_SLOT, render_marker(marker), place, Window(10**9, 10**9 + 60))
    backing = Backing(SLOT, "o" * 13)
    path = backing.file_path(place.base_path, btrfs=place.btrfs)
    nodes = tuple(TaggedNode(names.node_id(f"{'n' * 118}{number}"), NodeState.PUBLISHED) for number in (1, 2))
    publication = PublicationTag("e" * 16, AccessType.MOUNT, AccessMode.MULTI_NODE_MULTI_WRITER, False, True, nodes)
    uuid = place.fs_uuid if place.btrfs else ""
    tag = Tag(TagState.READY, "o" * 13, 10**9, "h" * 12, "q" * 12, 1 << 50, publication=publication, backing_uuid=uuid)
    old, new = render_tag(tag), render_tag(tag.evolve(state=TagState.DELETING, blank=False))
    bare = Tag(TagState.CREATING, "o" * 13, 10**9, "h" * 12, "q" * 12, 1 << 50)
    volume = NewVolume(
        SLOT, backing, path, 1 << 50, render_tag(bare), render_tag(bare.evolve(state=TagState.READY)), 1 << 50
    )
    snapshot = SnapshotBacking(names.slot("s", CLUSTER, "snap-1"), "o" * 13, backing, 1 << 50)
    bodies = {
        "create": lines.create(guard, volume),
        "create copied": lines.create(guard, replace(volume, copied=True)),
        "snapshot": lines.copy(guard, NewCopy(snapshot, Origin(backing, 1 << 50, read_only=False), True, 1 << 50)),
        "restore": lines.copy(guard, NewCopy(backing, Origin(snapshot, 1 << 50, read_only=True), False, 1 << 50)),
        "observe copy": lines.observe_copy(guard, snapshot),
        "remove snapshot": lines.remove(guard, snapshot.slot, snapshot, path, "", ""),
        "publish": lines.publish(guard, SLOT, old, new, SUBNQN, 65535),
        "unpublish": lines.unpublish(guard, SLOT, old, new),
        "expand": lines.expand(guard, SLOT, old, new, 1 << 50, 1 << 50),
        "remove": lines.remove(guard, SLOT, backing, path, old, new),
        "add_again": lines.add_again(guard, SLOT, backing, path, new),
        "observe": lines.observe(guard, SLOT, backing, path),
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
