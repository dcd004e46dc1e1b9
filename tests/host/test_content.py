"""The judgement on a device's content, and where the stamp stands."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdscsi.host.content import (
    LONGEST_STAMP,
    MIB,
    STAMP_BYTES,
    Identification,
    checked_stamp,
    judge,
    stamp_places,
)
from rdscsi.host.ports import ContentKind

EXT4 = Identification(found=True, tags={"TYPE": "ext4", "USAGE": "filesystem"})
NOTHING = Identification(found=False)


def kind(*, blank: bool = False, stamped: bool = False, identified: Identification = NOTHING) -> ContentKind:
    return judge(blank=blank, stamped=stamped, identified=identified).kind


def test_blank_needs_zeros_and_no_signature() -> None:
    assert kind(blank=True) is ContentKind.BLANK
    assert kind(blank=False) is ContentKind.OTHER
    assert kind(blank=True, identified=Identification(found=True, tags={"TYPE": "swap"})) is ContentKind.OTHER


def test_a_filesystem_is_named_and_a_partition_table_is_none() -> None:
    content = judge(blank=False, stamped=False, identified=EXT4)
    assert (content.kind, content.fs_type) == (ContentKind.FILESYSTEM, "ext4")
    both = Identification(found=True, tags={**EXT4.tags, "PTTYPE": "dos"})
    assert kind(identified=both) is ContentKind.OTHER
    table = judge(blank=False, stamped=False, identified=Identification(found=True, tags={"PTTYPE": "gpt"}))
    assert (table.kind, table.detail) == (ContentKind.OTHER, "PTTYPE=gpt")
    raid = Identification(found=True, tags={"TYPE": "linux_raid_member", "USAGE": "raid"})
    assert kind(identified=raid) is ContentKind.OTHER
    assert judge(blank=False, stamped=False, identified=Identification(found=True)).detail


def test_contradicting_signatures_are_nothing_to_mount() -> None:
    assert kind(identified=Identification(found=True, ambivalent=True)) is ContentKind.OTHER


def test_our_stamp_outweighs_what_stands_under_it() -> None:
    content = judge(blank=False, stamped=True, identified=EXT4)
    assert (content.kind, content.fs_type) == (ContentKind.STAMPED, "ext4")
    assert kind(blank=False, stamped=True) is ContentKind.STAMPED


@given(st.integers(MIB, 1 << 60))
def test_the_stamp_stands_apart_inside_the_device_on_blocks(size: int) -> None:
    places = stamp_places(size)
    assert len(set(places)) == 3
    assert all(place % STAMP_BYTES == 0 and 0 < place <= size - STAMP_BYTES for place in places)
    assert min(b - a for a, b in zip(sorted(places), sorted(places)[1:], strict=False)) >= STAMP_BYTES


def test_a_device_below_a_mebibyte_has_no_place_for_it() -> None:
    with pytest.raises(ValueError, match="no room"):
        stamp_places(MIB - 1)


@pytest.mark.parametrize("stamp", ["", "x" * (LONGEST_STAMP + 1), "\N{EURO SIGN}", "a\0b"])
def test_a_stamp_is_a_short_plain_text(stamp: str) -> None:
    with pytest.raises(ValueError, match="ASCII"):
        checked_stamp(stamp)
    assert checked_stamp("x" * LONGEST_STAMP)
