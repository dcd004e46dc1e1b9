"""What one slot's facts lead to, without any appliance."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdscsi import names
from rdscsi.controller.boots import Boot, parse_boot, render_boot
from rdscsi.controller.catalogue import Entry
from rdscsi.controller.creation import made
from rdscsi.controller.judgement import LOST, Facts, Judgement, Verdict, from_tag, judge
from rdscsi.journal import VolumeRecord
from rdscsi.model import AccessMode, AccessType
from rdscsi.routeros.answers import DiskItem
from rdscsi.tags import NodeState, PublicationTag, Tag, TaggedNode, TagState, name_hash, render_tag

SLOT = "vwrs4eg-73erkkta3ehsf5z2537pywbx"
CREATE = "aaaaaaaaaaaaa"
OTHER = "bbbbbbbbbbbbb"

READY = Tag(
    state=TagState.READY,
    operation=CREATE,
    generation=4,
    name_hash=name_hash("pvc-1"),
    request_hash="abcdefghijkl",
    size_bytes=1 << 30,
)
DELETING = replace(READY, state=TagState.DELETING)
RECORD = VolumeRecord(
    volume_id=f"rds/{SLOT}",
    backend="rds",
    slot=SLOT,
    csi_name="pvc-1",
    backing=CREATE,
    capacity_bytes=1 << 30,
    state="ready",
    tag=render_tag(READY),
    ever_published=False,
    quarantine="",
    updated_at=0.0,
)


def item(tag: Tag, *, block_device: bool = True) -> DiskItem:
    return DiskItem(
        item_id="*1",
        slot=SLOT,
        type="file",
        size=1 << 30,
        comment=render_tag(tag),
        file_path=f"pool1/rdscsi/{SLOT}.{CREATE}/disk.img",
        fs="",
        block_device=block_device,
        nvme_tcp_export=False,
        nvme_tcp_server_nqn="",
        nvme_tcp_server_port=4420,
        mount_filesystem=False,
        disabled=False,
    )


def facts(
    *,
    record: VolumeRecord | None = RECORD,
    found: DiskItem | None = None,
    files: tuple[str, ...] = (),
    buried: tuple[str, ...] = (),
    open_operation: bool = False,
    rebooted: bool = False,
) -> Facts:
    return Facts(SLOT, record, found, frozenset(files), frozenset(buried), open_operation, rebooted)


@pytest.mark.parametrize(
    ("seen", "verdict"),
    [
        (facts(found=item(READY), files=(CREATE,)), Verdict.FINE),
        (facts(record=None), Verdict.NOBODYS),
        (facts(record=None, found=item(READY), files=(CREATE,)), Verdict.LEARN),
        (facts(record=None, found=item(DELETING), files=(CREATE,)), Verdict.ERASE),
        (facts(found=item(DELETING), files=(CREATE,)), Verdict.ERASE),
        (facts(found=item(DELETING), files=(CREATE,), open_operation=True), Verdict.UNFINISHED),
        (facts(record=None, found=item(READY), files=(CREATE,), buried=(CREATE,)), Verdict.ERASE),
        (facts(found=item(replace(READY, generation=3)), files=(CREATE,)), Verdict.RESTORE),
        (facts(found=item(replace(READY, generation=5)), files=(CREATE,)), Verdict.LEARN),
        (facts(found=item(replace(READY, blank=False)), files=(CREATE,)), Verdict.QUARANTINE),
        (facts(files=(CREATE,)), Verdict.ADD_AGAIN),
        (facts(files=(OTHER,), rebooted=True), Verdict.MAKE_AGAIN),
        (facts(found=item(READY), rebooted=True), Verdict.MAKE_AGAIN),
        (facts(found=item(READY, block_device=False), files=(CREATE,), rebooted=True), Verdict.MAKE_AGAIN),
        (facts(found=item(replace(READY, operation=OTHER)), files=(OTHER,)), Verdict.LEARN),
        (facts(found=item(replace(READY, operation=OTHER)), files=(CREATE, OTHER)), Verdict.QUARANTINE),
        (facts(found=item(replace(READY, operation=OTHER))), Verdict.QUARANTINE),
    ],
)
def test_each_difference_has_its_verdict(seen: Facts, verdict: Verdict) -> None:
    assert judge(seen).verdict is verdict


@pytest.mark.parametrize(
    "seen",
    [
        facts(),  # nothing is there, and the appliance has not rebooted: somebody took it away
        facts(found=item(READY)),
        facts(record=replace(RECORD, ever_published=True), rebooted=True),
        facts(record=replace(RECORD, ever_published=True), found=item(READY), rebooted=True),
        facts(record=None, found=item(READY)),
    ],
)
def test_what_cannot_be_made_good_is_quarantined_as_lost(seen: Facts) -> None:
    judgement = judge(seen)
    assert judgement.verdict is Verdict.QUARANTINE
    assert judgement.reason.startswith(LOST)


IMPORTED = replace(READY, path="pool1/vm-1.img")
PUBLISHED = replace(
    READY,
    publication=PublicationTag(
        epoch="e" * 16,
        access_type=AccessType.MOUNT,
        access_mode=AccessMode.SINGLE_NODE_WRITER,
        readonly=False,
        permit=False,
        nodes=(TaggedNode("node-a:3f9a2c4d", NodeState.PUBLISHED),),
    ),
)
SUBNQN = names.subnqn(SLOT, "e" * 16)


def recorded(tag: Tag, **others: Any) -> Facts:
    """What is recorded with this tag, and shown with it but for these properties of the item."""
    record = replace(RECORD, tag=render_tag(tag))
    return facts(record=record, found=replace(item(tag), **others), files=(CREATE,))


@pytest.mark.parametrize(
    ("seen", "verdict", "reason"),
    [
        (recorded(READY, disabled=True), Verdict.QUARANTINE, f"its item is disabled; /disk/enable {SLOT}"),
        (
            facts(record=replace(RECORD, tag=render_tag(IMPORTED))),
            Verdict.QUARANTINE,
            "file-path=pool1/vm-1.img",
        ),
        (recorded(READY, size=1 << 29), Verdict.RESTORE, f"it has {1 << 29} bytes, not {1 << 30}"),
        (recorded(READY, nvme_tcp_export=True, nvme_tcp_server_nqn="x"), Verdict.RESTORE, "published to nobody"),
        (recorded(PUBLISHED), Verdict.RESTORE, "its export is off, and it is published to node-a:3f9a2c4d"),
        (recorded(PUBLISHED, nvme_tcp_export=True, nvme_tcp_server_nqn="x"), Verdict.RESTORE, f"as {SUBNQN}"),
        (recorded(PUBLISHED, nvme_tcp_export=True, nvme_tcp_server_nqn=SUBNQN), Verdict.FINE, ""),
        (facts(record=replace(RECORD, state="creating")), Verdict.UNFINISHED, ""),
        (facts(record=replace(RECORD, tag=""), found=item(READY), files=(CREATE,)), Verdict.LEARN, ""),
        (
            facts(record=replace(RECORD, state="deleting"), found=item(DELETING), files=(CREATE,), open_operation=True),
            Verdict.UNFINISHED,
            "",
        ),
        (
            facts(
                record=replace(RECORD, state="creating"),
                found=item(replace(READY, operation=OTHER)),
                open_operation=True,
            ),
            Verdict.UNFINISHED,
            "",
        ),
    ],
)
def test_a_person_reads_what_differs(seen: Facts, verdict: Verdict, reason: str) -> None:
    judgement = judge(seen)
    assert judgement.verdict is verdict
    assert reason in judgement.reason
    assert bool(judgement.reason) == bool(reason)


def test_what_is_on_its_way_out_is_not_held_to_its_tag() -> None:
    assert from_tag(replace(item(DELETING), size=1), DELETING) == ""


def test_a_reason_that_is_known_is_not_said_twice() -> None:
    judgement = Judgement(Verdict.QUARANTINE, "contradiction: odd")
    assert judgement.told() == "a person must look (contradiction: odd)"
    assert judgement.told("lost: other") == judgement.told()
    assert judgement.told("contradiction: odd") == "a person must look, as the quarantine says"
    assert Judgement(Verdict.FINE).told() == "as recorded"


def test_a_volume_without_its_file_was_not_made() -> None:
    shown = Entry(SLOT, item=item(READY), tag=READY)
    assert not made(RECORD, shown, 1 << 30)
    assert made(RECORD, replace(shown, backings=frozenset({CREATE})), 1 << 30)


BOOT = Boot(1_700_000_000.0, 1_700_003_600.0)


@given(st.floats(0, 1e7), st.floats(-2.0, 2.0))
def test_a_reading_of_the_same_boot_is_known_again(later: float, wobble: float) -> None:
    assert Boot(BOOT.booted_at + wobble, BOOT.seen_at + later).same_as(BOOT)


@given(st.floats(0, 3000.0))
def test_a_boot_after_the_last_reading_is_another(after: float) -> None:
    now = BOOT.seen_at + after + 60
    assert not Boot(BOOT.seen_at + after, now).same_as(BOOT)


def test_a_boot_reads_back_as_it_was_written() -> None:
    assert parse_boot(render_boot(BOOT)) == BOOT
    assert parse_boot(None) is None
