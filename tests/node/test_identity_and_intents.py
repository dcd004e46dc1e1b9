"""Proofs and intents as values: what is accepted as this volume's device, and what of an intent can be read back."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdscsi import names
from rdscsi.errors import InvalidRequest, Quarantined, UnexpectedAnswer
from rdscsi.host.ports import Device
from rdscsi.model import MIB, AccessMode, AccessType, Portal, PublishContext, StageRequest, VolumeCapability
from rdscsi.node import identity, wishes
from rdscsi.node.wishes import Wish

SLOT = names.slot(names.KIND_VOLUME, "cluster", "pvc-1")
SUBNQN = names.subnqn(SLOT, "a" * 16)
WISH = Wish(
    volume_id=names.volume_id("rds", SLOT),
    staging_target_path="/staging",
    subnqn=SUBNQN,
    portals=(Portal("192.0.2.1", 4420), Portal("2001:db8::1", 4421)),
    access_type=AccessType.MOUNT,
    access_mode="SINGLE_NODE_WRITER",
    fs_type="",
    options=("noatime", 'context="a:b:c:s0:c1,c2"'),
    format_permit="a" * 16,
)
DEVICE = Device(SUBNQN, "/dev/nvme0n1", (259, 0), 64 * MIB, "nsid 1 uuid.x")
RECORD = identity.seen(WISH.record(None, state="staged", now=1.0), DEVICE, 1.0)


def test_the_device_that_was_staged_is_proven() -> None:
    identity.prove(RECORD, DEVICE, same_connection=True)
    identity.prove(RECORD, replace(DEVICE, size_bytes=128 * MIB), same_connection=True)


def test_another_volumes_nqn_proves_nothing() -> None:
    other = names.subnqn(names.slot(names.KIND_VOLUME, "cluster", "pvc-2"), "a" * 16)
    for subnqn in (other, "nqn.2014-08.org.nvmexpress:x"):
        with pytest.raises(Quarantined, match="another volume"):
            identity.prove(RECORD, replace(DEVICE, subnqn=subnqn), same_connection=False)
    with pytest.raises(Quarantined):
        identity.prove(replace(RECORD, volume_id="foreign"), DEVICE, same_connection=False)


def test_a_smaller_device_is_another() -> None:
    with pytest.raises(Quarantined):
        identity.prove(RECORD, replace(DEVICE, size_bytes=64 * MIB - 1), same_connection=False)


def test_a_namespace_counts_within_one_connection_only() -> None:
    other = replace(DEVICE, identity="nsid 1 uuid.y")
    identity.prove(RECORD, other, same_connection=False)
    identity.prove(RECORD, replace(other, subnqn=names.subnqn(SLOT, "b" * 16)), same_connection=True)
    identity.prove(replace(RECORD, identity=""), other, same_connection=True)
    with pytest.raises(Quarantined):
        identity.prove(RECORD, other, same_connection=True)


def test_an_intent_is_read_back_as_it_was_written() -> None:
    kept = json.loads(json.dumps(WISH.as_json()))
    assert wishes.of_intent(WISH.volume_id, kept) == WISH
    assert wishes.of_record(RECORD) == WISH


@pytest.mark.parametrize("key", sorted(WISH.as_json()))
def test_an_intent_that_lacks_anything_is_not_guessed(key: str) -> None:
    kept = {name: value for name, value in WISH.as_json().items() if name != key}
    with pytest.raises(UnexpectedAnswer):
        wishes.of_intent(WISH.volume_id, kept)


@pytest.mark.parametrize(
    ("key", "value"), [("options", None), ("options", 7), ("access_type", "tape"), ("volume_context", ["a"])]
)
def test_an_intent_of_another_shape_is_not_guessed(key: str, value: object) -> None:
    with pytest.raises(UnexpectedAnswer):
        wishes.of_intent(WISH.volume_id, WISH.as_json() | {key: value})  # type: ignore[arg-type]


def test_a_request_with_another_volumes_nqn_is_refused() -> None:
    other = names.subnqn(names.slot(names.KIND_VOLUME, "cluster", "pvc-2"), "a" * 16)
    capability = VolumeCapability(AccessType.MOUNT, AccessMode.SINGLE_NODE_WRITER)
    for subnqn in (other, "nqn.2014-08.org.nvmexpress:x"):
        request = StageRequest(WISH.volume_id, "/x", capability, PublishContext(subnqn, WISH.portals, "", False))
        with pytest.raises(InvalidRequest, match=r"publish_context\[subnqn\]"):
            wishes.of_request(request, "/staging", SLOT)


@given(
    mode=st.sampled_from(AccessMode),
    access_type=st.sampled_from(AccessType),
    readonly=st.booleans(),
    permit=st.text("abc", max_size=3),
    flags=st.lists(st.sampled_from(["noatime", "discard", "ro", "rw", "noexec,nodev"]), max_size=3),
)
def test_a_request_becomes_the_same_wish_by_way_of_intent_and_record(
    mode: AccessMode, access_type: AccessType, readonly: bool, permit: str, flags: list[str]
) -> None:
    capability = VolumeCapability(access_type, mode, "", tuple(flags))
    context = PublishContext(SUBNQN, WISH.portals, permit, readonly)
    wish = wishes.of_request(StageRequest(WISH.volume_id, "/x", capability, context), "/staging", SLOT)
    assert wishes.of_intent(wish.volume_id, json.loads(json.dumps(wish.as_json()))) == wish
    record = wish.record(None, state="staged", now=1.0)
    assert wishes.of_record(record) == wish
    assert wish.readonly == ("ro" in json.loads(record.mount_flags))
    wishes.refuse_other(record, wish)
