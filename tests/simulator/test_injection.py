"""Hostile texts in every field that the driver sends: they change their own field alone, or are refused unsent.

The driver's own quoting and lines against an interpreter that shares no code with them.
"""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rdscsi.names import Backing
from rdscsi.routeros import lines, surveys
from rdscsi.routeros.quoting import quote
from rdscsi.routeros.uptime import Window
from rdscsi.simulator import Appliance, ManualClock

HOSTILE = (
    '"', "\\", "$", "?", ";", "'", "`", "#", "{}", "[]", "()", "~", "!", ".", "..", "%00", "\\41",
    "$[/system/reboot]", "$(1+1)", "$zm", '$"pool1"', '"; /system/reboot; "', '\\"; /disk/remove [find]; :put \\"',
    "[/disk/remove [find]]", "}; /disk/remove [find]; {", "a=b", "a,b", "*5", "yes", "1.1", "00:00:05",
    "x" * 33, "x" * 255, " leading and trailing ",
)  # fmt: skip
UNSENDABLE = ("\n", "\r", "\t", "\x00", "\x7f", "é", "名", "\x1b[2J", "a" * 513)
PRINTABLE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=60)
NASTY = st.lists(st.one_of(st.sampled_from(HOSTILE), PRINTABLE), max_size=4).map(lambda parts: "".join(parts)[:400])
SLOT, OTHER = "vaaaaaa-bbbbbbbbbbbbbbbbbbbbbbbb", "vaaaaaa-cccccccccccccccccccccccc"
MARKER_SLOT = "maaaaaa-dddddddddddddddddddddddd"
BACKING = Backing(SLOT, "eeeeeeeeeeeee")
WINDOW = Window(0, 10**6)


@contextmanager
def world() -> Iterator[Appliance]:
    """An appliance with a stranger's disk and a marker."""
    with tempfile.TemporaryDirectory() as directory, Appliance(Path(directory), clock=ManualClock()) as appliance:
        appliance.run("/disk/btrfs/subvolume/add fs=pool1 name=csi; /file/add name=pool1/stranger contents=theirs")
        appliance.run(f"/disk/add type=file slot={OTHER} file-path=pool1/other.img file-size=1M comment=theirs")
        yield appliance


def state(appliance: Appliance) -> dict[str, object]:
    """Everything that could be changed by accident."""
    disks = appliance.run(":foreach i in=[/disk/find] do={:put [:serialize to=json value=[/disk/get $i] "
                          "options=json.no-string-conversion]}")  # fmt: skip
    return {
        "disks": {row["slot"]: row for row in map(json.loads, disks.splitlines())},
        "files": sorted(entry.name for entry in appliance.storage.files.listing()),
        "users": appliance.run("/user/print as-value"),
        "globals": appliance.run(":environment print"),
        "boots": appliance.boots,
        "identity": appliance.run(":put [/system/identity/get name]"),
    }


def comment_of(appliance: Appliance, slot: str) -> str:
    disk = appliance.storage.disks.by_slot(slot)
    assert disk is not None
    return str(disk.settings.get("comment", ""))


def guard(appliance: Appliance, marker: str) -> lines.Guard:
    uuid, label = appliance.storage.pool.uuid, appliance.storage.pool.label
    return lines.Guard(MARKER_SLOT, marker, lines.Place("pool1", uuid, label, True, "pool1/csi", "csi"), WINDOW)


@settings(max_examples=100, deadline=None)
@given(NASTY)
def test_a_quoted_text_is_read_back_as_it_was(text: str) -> None:
    with world() as appliance:
        before = state(appliance)
        assert appliance.run(f"/disk/set {OTHER} comment={quote(text)}") == ""
        assert comment_of(appliance, OTHER) == text
        answer = appliance.run(f":put [:serialize to=json value=[/disk/get {OTHER}] options=json.no-string-conversion]")
        assert json.loads(answer).get("comment", "") == text
        assert appliance.run(f":put [:len [/disk/find where comment={quote(text)}]]") == f"{int(bool(text))}\r\n"
        appliance.run(f"/disk/set {OTHER} comment=theirs")
        assert state(appliance) == before


@pytest.mark.parametrize("text", UNSENDABLE)
def test_what_would_break_a_line_is_refused_before_it_is_sent(text: str) -> None:
    with pytest.raises(ValueError, match=r"printable ASCII|longer than"):
        quote(f"a{text}b" if len(text) < 500 else text)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_tags_and_markers_stay_in_their_fields(text: str) -> None:
    with world() as appliance:
        place = guard(appliance, "").place
        marker = f"marker {text}"[:255]
        made = appliance.run(surveys.first_marker(place, WINDOW, MARKER_SLOT, "pool1/csi/m.img", marker))
        assert comment_of(appliance, MARKER_SLOT) == marker, made
        before = state(appliance)
        volume = lines.NewVolume(
            SLOT, BACKING, "pool1/csi/" + BACKING.name + "/disk.img", 1 << 20, f"creating {text} ", f"ready {text} ", 0
        )
        printed = appliance.run(lines.create(guard(appliance, marker), volume))
        assert comment_of(appliance, SLOT).startswith(f"ready {text} "), printed
        tag = comment_of(appliance, SLOT)
        appliance.run(
            lines.publish(guard(appliance, marker), SLOT, tag, f"published {text}", f"nqn.x:{text}"[:200], 4420)
        )
        disk = appliance.storage.disks.by_slot(SLOT)
        assert disk is not None
        assert (disk.settings["comment"], disk.exported) == (f"published {text}", True)
        assert disk.settings["nvme-tcp-server-nqn"] == f"nqn.x:{text}"[:200]
        appliance.run(lines.unpublish(guard(appliance, marker), SLOT, f"published {text}", f"gone {text}"))
        assert comment_of(appliance, SLOT) == f"gone {text}"
        path = "pool1/csi/" + BACKING.name + "/disk.img"
        appliance.run(lines.remove(guard(appliance, marker), SLOT, BACKING, path, f"gone {text}", f"deleting {text}"))
        assert state(appliance) == before


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_slots_and_paths_find_nothing_and_change_nothing(text: str) -> None:
    with world() as appliance:
        before = state(appliance)
        marker_guard = guard(appliance, "m")
        for line in (
            surveys.look(text, text),
            surveys.move_token(marker_guard.place, WINDOW, text, "old", "new"),
            lines.observe(marker_guard, text, BACKING, text),
            lines.unpublish(marker_guard, text, "a", "b"),
            lines.remove(marker_guard, text, BACKING, text, "a", "b"),
        ):
            appliance.run(line)
        assert state(appliance) == before


def test_33_characters_are_no_slot() -> None:
    with world() as appliance:
        before = state(appliance)
        answer = appliance.run(f"/disk/add type=file slot={quote('x' * 33)} file-path=pool1/x file-size=1M")
        assert "too long" in answer
        assert state(appliance) == before
