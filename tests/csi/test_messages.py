"""Messages on their way in and out: strict decoding, answers, and how a request is shown in the log."""

import dataclasses
import datetime
from collections.abc import Iterator
from typing import Any

import pytest
from csi_edge import BASES
from csi_messages import NODE_ID, VOLUME_ID, create, mount, publish
from google.protobuf.message import DecodeError
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from grpclib.health.v1 import health_pb2
from hypothesis import given
from hypothesis import strategies as st

from rdscsi.csi import replies
from rdscsi.csi.codec import StrictCodec
from rdscsi.csi.pb.csi import v1 as pb
from rdscsi.csi.schema import name_of, schema
from rdscsi.csi.shown import shown
from rdscsi.model import Capacity, Expansion, Usage, Volume, VolumePage, VolumeStats
from rdscsi.observe.secrets import REMOVED

CODEC = StrictCodec(schema())
TYPES: list[Any] = [handler.request_type for base in BASES for handler in base().__mapping__().values()]
RICH: list[Any] = [pb.CreateVolumeRequest, pb.NodePublishVolumeRequest, pb.ValidateVolumeCapabilitiesRequest]


def decoded(data: bytes, kind: Any) -> Any:
    """Decode, or None for a refusal with the one code that malformed bytes have."""
    try:
        return CODEC.decode(data, kind)
    except GRPCError as error:
        if error.status is not Status.INVALID_ARGUMENT:
            raise
        return None


def strictly(data: bytes, kind: Any) -> Any:
    """What google.protobuf makes of the bytes, without unknown fields; None for malformed ones."""
    reader = schema().message_class(kind)
    assert reader is not None
    try:
        message = reader.FromString(data)
    except DecodeError:
        return None
    message.DiscardUnknownFields()
    return message


# --- decoding


@given(st.binary(max_size=200), st.sampled_from(TYPES))
def test_any_bytes_are_read_as_a_whole_or_refused(data: bytes, kind: Any) -> None:
    message, reference = decoded(data, kind), strictly(data, kind)
    assert (message is None) == (reference is None)
    if message is not None:
        assert strictly(bytes(message), kind) == reference


@given(st.sampled_from([create(), publish()]), st.integers(0, 400), st.binary(max_size=6), st.integers(0, 6))
def test_a_message_that_was_damaged_is_read_as_a_whole_or_refused(
    message: Any, place: int, patch: bytes, removed: int
) -> None:
    whole = bytes(message)
    data = whole[:place] + patch + whole[place + removed :]
    read, reference = decoded(data, type(message)), strictly(data, type(message))
    assert (read is None) == (reference is None)
    if read is not None:
        assert strictly(bytes(read), type(message)) == reference


@pytest.mark.parametrize(
    "data",
    [
        b"\x0a\x05ab",  # a string that is cut off
        b"\xff\xff\xff",  # a tag that does not end
        b"\x0a",  # a tag alone
        b"\x0a\x02\xc3\x28",  # a string that is not UTF-8
        b"\x00\x00",  # field number 0
    ],
)
def test_bytes_that_betterproto2_would_half_read_are_refused(data: bytes) -> None:
    assert decoded(data, pb.CreateVolumeRequest) is None


def test_fields_that_this_contract_does_not_know_are_left_out() -> None:
    data = bytes(pb.DeleteVolumeRequest(volume_id="v")) + b"\xf8\x07\x01"
    assert decoded(data, pb.DeleteVolumeRequest) == pb.DeleteVolumeRequest(volume_id="v")


def test_of_two_members_of_one_choice_the_last_counts() -> None:
    data = bytes(pb.VolumeCapability(block=pb.VolumeCapabilityBlockVolume())) + bytes(mount())
    read = decoded(bytes(pb.ControllerPublishVolumeRequest()) + _field(3, data), pb.ControllerPublishVolumeRequest)
    assert read.volume_capability.block is None
    assert read.volume_capability.mount is not None


def test_the_parts_of_a_message_that_comes_in_two_are_merged() -> None:
    one, two = pb.CapacityRange(required_bytes=1), pb.CapacityRange(limit_bytes=2)
    data = _field(2, bytes(one)) + _field(2, bytes(two))
    assert decoded(data, pb.CreateVolumeRequest).capacity_range == pb.CapacityRange(required_bytes=1, limit_bytes=2)


def _field(number: int, body: bytes) -> bytes:
    return bytes([number << 3 | 2, len(body)]) + body


def test_messages_of_google_protobuf_go_both_ways_too() -> None:
    message = health_pb2.HealthCheckRequest(service="x")
    data = CODEC.encode(message, health_pb2.HealthCheckRequest)
    assert CODEC.decode(data, health_pb2.HealthCheckRequest) == message
    assert decoded(b"\x0a\x05ab", health_pb2.HealthCheckRequest) is None


def test_bytes_are_encoded_already() -> None:
    assert CODEC.encode(b"abc", pb.ProbeResponse) == b"abc"
    assert CODEC.encode(pb.ProbeResponse(ready=False), pb.ProbeResponse) == b"\x0a\x00"


# --- answers


def test_an_unready_process_says_so_where_silence_would_mean_ready() -> None:
    read = strictly(bytes(pb.ProbeResponse(ready=False)), pb.ProbeResponse)
    assert read.HasField("ready")
    assert not read.ready.value


def test_figures_of_capacity_that_are_0_are_told_as_0() -> None:
    read = strictly(bytes(replies.get_capacity(Capacity(0, 0, 0))), pb.GetCapacityResponse)
    assert read.HasField("maximum_volume_size")
    assert read.HasField("minimum_volume_size")
    assert read.available_capacity == read.maximum_volume_size.value == 0


def test_an_answer_carries_all_that_the_model_says() -> None:
    volume = Volume(VOLUME_ID, 5, (NODE_ID, "other"), {"k": "v"}, abnormal="look at it")
    listed = replies.list_volumes(VolumePage((volume, volume), "t"))
    assert [entry.volume for entry in listed.entries] == [replies.create_volume(volume).volume] * 2
    assert listed.next_token == "t"
    status = replies.get_volume(volume).status
    assert status is not None
    assert status.published_node_ids == [NODE_ID, "other"]
    assert replies.expand_volume(Expansion(7, False)) == pb.ControllerExpandVolumeResponse(capacity_bytes=7)
    stats = replies.volume_stats(VolumeStats((Usage("inodes", 9),)))
    assert stats.usage == [pb.VolumeUsage(unit=pb.VolumeUsageUnit.INODES, total=9)]


def test_a_confirmation_repeats_what_it_confirms_word_for_word() -> None:
    asked = pb.ValidateVolumeCapabilitiesRequest(
        volume_id=VOLUME_ID,
        volume_capabilities=[mount()],
        volume_context={"a": "b"},
        parameters={"csi.storage.k8s.io/x": "y"},
    )
    confirmed = replies.confirmed(asked).confirmed
    assert confirmed is not None
    assert (confirmed.volume_capabilities, confirmed.volume_context, confirmed.parameters) == (
        asked.volume_capabilities,
        asked.volume_context,
        asked.parameters,
    )


# --- what is logged of a request


def test_a_request_is_shown_by_the_fields_that_are_set() -> None:
    assert shown(create(), schema()) == {
        "name": "pvc-1",
        "capacity_range": {"required_bytes": 1 << 30, "limit_bytes": 2 << 30},
        "volume_capabilities": [{"mount": {"fs_type": "ext4"}, "access_mode": {"mode": "SINGLE_NODE_WRITER"}}],
        "parameters": dict(sorted(create().parameters.items())),
        "secrets": REMOVED,
    }
    assert shown(pb.ProbeRequest(), schema()) == {}


def test_what_is_sensitive_by_word_alone_is_not_shown() -> None:
    capability = mount(flags=("password=x",), group="1000")
    context = {"csi.storage.k8s.io/serviceAccount.tokens": "abc", "key": "value"}
    message = pb.NodeStageVolumeRequest(volume_capability=capability, volume_context=context)
    assert shown(message, schema()) == {
        "volume_capability": {
            "mount": {"fs_type": "ext4", "mount_flags": REMOVED, "volume_mount_group": REMOVED},
            "access_mode": {"mode": "SINGLE_NODE_WRITER"},
        },
        "volume_context": {"csi.storage.k8s.io/serviceAccount.tokens": REMOVED, "key": "value"},
    }


def secret_fields() -> Iterator[tuple[Any, str]]:
    for kind in vars(pb).values():
        if dataclasses.is_dataclass(kind) and isinstance(kind, type):
            for field in schema().secret_fields(name_of(kind)):
                yield kind, field


def test_no_field_that_the_contract_marks_secret_is_shown() -> None:
    found = list(secret_fields())
    assert len(found) == 22
    for kind, field in found:
        assert shown(kind(**{field: {"key": "hunter2"}}), schema()) == {field: REMOVED}


@given(st.binary(max_size=300), st.sampled_from(RICH))
def test_whatever_a_request_holds_can_be_shown_in_few_words(data: bytes, kind: Any) -> None:
    message = decoded(data, kind)
    if message is not None:
        assert len(str(shown(message, schema()))) < 20_000


def test_giants_are_shown_by_their_beginnings() -> None:
    message = pb.CreateVolumeRequest(
        name="x" * 10_000,
        parameters={f"{number:05}" + "k" * 1000: "v" * 1000 for number in range(1000)},
        volume_capabilities=[mount()] * 1000,
    )
    assert len(str(shown(message, schema()))) < 20_000


def test_times_and_numbers_are_shown_as_they_are() -> None:
    moment = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    shown_snapshot = shown(pb.Snapshot(size_bytes=5, creation_time=moment, ready_to_use=True), schema())
    assert shown_snapshot == {"size_bytes": 5, "creation_time": str(moment), "ready_to_use": True}


# --- the contract as data


def test_a_type_that_is_not_of_the_contract_has_no_name_and_no_strict_reader() -> None:
    assert name_of(int) == ""
    assert schema().message_class(health_pb2.HealthCheckRequest) is None
