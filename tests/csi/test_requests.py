"""The specification's field rules for the calls of the controller half: one table for each call."""

from dataclasses import replace
from typing import Any

import pytest
from csi_messages import (
    EXTRA_CREATE_METADATA,
    NODE_ID,
    PROVISIONER_IDENTITY,
    SECRET_TEMPLATES,
    VOLUME_ID,
    Mode,
    block,
    controller_expand,
    controller_publish,
    controller_unpublish,
    create,
    create_snapshot,
    mount,
    validate,
)

from rdscsi.csi import requests
from rdscsi.csi.pb.csi import v1 as pb
from rdscsi.errors import CapacityOutOfRange, DriverError, InvalidRequest, InvalidToken
from rdscsi.model import (
    GIB,
    AccessMode,
    AccessType,
    CapacityRange,
    ContentSource,
    PublishRequest,
    SnapshotQuery,
    SnapshotRequest,
    VolumeCapability,
    VolumeRequest,
)

EXT4 = VolumeCapability(AccessType.MOUNT, AccessMode.SINGLE_NODE_WRITER, "ext4")
LONG = "x" * 129
WIDE = "ü" * 65  # 130 bytes in 65 characters
LARGE_MAP = {"k" * 2000: "v" * 3000}


def spoilt(message: Any, **changes: object) -> Any:  # Any: a generated message of whatever type
    """Return the message with some fields changed."""
    return replace(message, **changes)


def refused(parse: Any, message: object) -> DriverError:
    """Parse a request that is wrong; the error."""
    with pytest.raises(DriverError) as caught:
        parse(message)
    return caught.value


def range_of(required: int = 0, limit: int = 0) -> pb.CapacityRange:
    return pb.CapacityRange(required_bytes=required, limit_bytes=limit)


def of_snapshot(snapshot_id: str) -> pb.VolumeContentSource:
    return pb.VolumeContentSource(snapshot=pb.VolumeContentSourceSnapshotSource(snapshot_id=snapshot_id))


def of_volume(volume_id: str) -> pb.VolumeContentSource:
    return pb.VolumeContentSource(volume=pb.VolumeContentSourceVolumeSource(volume_id=volume_id))


VOLUME_ID_RULES: list[tuple[dict[str, object], str]] = [
    ({"volume_id": ""}, "volume_id=''"),
    ({"volume_id": LONG}, "volume_id="),
    ({"volume_id": WIDE}, "130"),
    ({"volume_id": "rds/\x00"}, "control"),
]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": ""}, "name=''"),
        ({"name": LONG}, "at most 128 bytes, these are 129"),
        ({"name": WIDE}, "at most 128 bytes, these are 130"),
        ({"name": "a\x00b"}, "control characters"),
        ({"name": "a\x0bb"}, "control characters"),
        ({"name": "a\x7fb"}, "control characters"),
        ({"name": "a\x9fb"}, "control characters"),
        ({"volume_capabilities": []}, "volume_capabilities='': required"),
        ({"volume_capabilities": [mount(), pb.VolumeCapability()]}, "volume_capabilities[1].access_mode"),
        ({"volume_capabilities": [mount(Mode.MULTI_NODE_MULTI_WRITER)]}, "volume_capabilities[0].access_mode"),
        ({"capacity_range": range_of()}, "required_bytes or limit_bytes above 0"),
        ({"capacity_range": range_of(-1)}, "capacity_range.required_bytes=-1"),
        ({"capacity_range": range_of(1, -1)}, "capacity_range.limit_bytes=-1"),
        ({"parameters": {"bakend": "rds"}}, "parameters[bakend]='rds': no such parameter; there are: backend"),
        ({"parameters": {"backend": ""}}, "parameters[backend]=''"),
        ({"parameters": {"backend": "No Backend"}}, "parameters[backend]='No Backend'"),
        ({"parameters": LARGE_MAP}, "parameters='1 entries': at most 4096 bytes in all, these are 5000"),
        ({"parameters": {"ctrlLossTmo": "off"}}, "parameters[ctrlLossTmo]='off': whole seconds from 1 to 86400"),
        ({"parameters": {"reconnectDelay": "700"}}, "parameters[reconnectDelay]='700': reconnectDelay (700) at most"),
        ({"parameters": {"ctrlLossTmo": "4"}}, "parameters[ctrlLossTmo]='4': reconnectDelay (5) at most ctrlLossTmo"),
        ({"parameters": {"mkfsOptions": "-F"}}, "parameters[mkfsOptions]='-F': options of mkfs.ext4"),
        ({"volume_content_source": pb.VolumeContentSource()}, "volume_content_source='': a snapshot or a volume"),
        ({"volume_content_source": of_snapshot("")}, "volume_content_source.snapshot_id='': required"),
        ({"volume_content_source": of_volume("")}, "volume_content_source.volume_id='': required"),
        ({"mutable_parameters": {"iops": "1"}}, "mutable_parameters='iops'"),
    ],
)
def test_create_refuses_what_is_wrong_and_names_it(changes: dict[str, object], words: str) -> None:
    error = refused(requests.create_volume, spoilt(create(), **changes))
    assert type(error) is InvalidRequest
    assert words in str(error)


def test_create_refuses_bounds_that_no_size_can_meet_with_a_code_of_its_own() -> None:
    error = refused(requests.create_volume, spoilt(create(), capacity_range=range_of(2 * GIB, GIB)))
    assert type(error) is CapacityOutOfRange
    assert f"capacity_range.required_bytes={2 * GIB}: at most limit_bytes, {GIB}" in str(error)


def test_create_says_a_missing_name_before_anything_else() -> None:
    everything_wrong = pb.CreateVolumeRequest(parameters={"x": "y"}, capacity_range=range_of(-1))
    assert str(refused(requests.create_volume, everything_wrong)).startswith("name=")


@pytest.mark.parametrize(
    ("source", "read"),
    [
        (of_snapshot("rds/s"), ContentSource(snapshot_id="rds/s")),
        (of_volume("rds/v"), ContentSource(volume_id="rds/v")),
        (None, None),
    ],
)
def test_create_reads_what_the_volume_is_filled_with(
    source: pb.VolumeContentSource | None, read: ContentSource | None
) -> None:
    assert requests.create_volume(spoilt(create(), volume_content_source=source)).source == read


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"name": ""}, "name='': required"),
        ({"name": LONG}, "at most 128 bytes, these are 129"),
        ({"source_volume_id": ""}, "source_volume_id='': required"),
        ({"source_volume_id": LONG}, "at most 128 bytes"),
        ({"parameters": {"freeze": "yes"}}, "parameters[freeze]='yes': no such parameter; there are: backend"),
        ({"parameters": LARGE_MAP}, "parameters='1 entries'"),
    ],
)
def test_create_snapshot_refuses_what_is_wrong_and_names_it(changes: dict[str, object], words: str) -> None:
    error = refused(requests.create_snapshot, spoilt(create_snapshot(), **changes))
    assert type(error) is InvalidRequest
    assert words in str(error)


def test_create_snapshot_takes_the_orchestrators_own_parameters_for_none() -> None:
    assert requests.create_snapshot(create_snapshot()) == SnapshotRequest("snap-1", VOLUME_ID, {"backend": "rds"})


def test_list_snapshots_reads_every_field() -> None:
    message = pb.ListSnapshotsRequest(max_entries=3, starting_token="t", source_volume_id="v", snapshot_id="s")
    assert requests.list_snapshots(message) == SnapshotQuery(3, "t", "v", "s")
    assert requests.list_snapshots(pb.ListSnapshotsRequest()) == SnapshotQuery()
    assert type(refused(requests.list_snapshots, spoilt(message, starting_token=LONG))) is InvalidToken
    assert "max_entries=-1" in str(refused(requests.list_snapshots, spoilt(message, max_entries=-1)))


def test_create_reads_every_field() -> None:
    assert requests.create_volume(create()) == VolumeRequest(
        "pvc-1", CapacityRange(GIB, 2 * GIB), (EXT4,), {"backend": "rds"}
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"capacity_range": None}, {"capacity_range": CapacityRange()}),
        ({"capacity_range": range_of(limit=GIB)}, {"capacity_range": CapacityRange(0, GIB)}),
        ({"capacity_range": range_of(GIB, GIB)}, {"capacity_range": CapacityRange(GIB, GIB)}),
        ({"name": "x" * 128}, {"name": "x" * 128}),
        ({"name": "tab\tnew\nline\r und ü"}, {"name": "tab\tnew\nline\r und ü"}),
        ({"parameters": {}}, {"parameters": {}}),
        ({"accessibility_requirements": pb.TopologyRequirement()}, {}),
        ({"secrets": {}}, {}),
    ],
)
def test_create_takes_what_is_right(changes: dict[str, object], expected: dict[str, Any]) -> None:
    wanted = replace(requests.create_volume(create()), **expected)
    assert requests.create_volume(spoilt(create(), **changes)) == wanted


@pytest.mark.parametrize(
    "extra",
    [
        EXTRA_CREATE_METADATA,
        SECRET_TEMPLATES,
        {**EXTRA_CREATE_METADATA, **SECRET_TEMPLATES},
        {"csi.storage.k8s.io/annotation": "a" * 5000},
    ],
)
def test_the_sidecars_keys_are_accepted_and_make_no_difference(extra: dict[str, str]) -> None:
    plain = requests.create_volume(spoilt(create(), parameters={"backend": "rds"}))
    assert requests.create_volume(spoilt(create(), parameters={"backend": "rds", **extra})) == plain


@pytest.mark.parametrize(("changes", "words"), VOLUME_ID_RULES)
def test_a_volume_id_alone_is_checked_for_presence_and_size(changes: dict[str, str], words: str) -> None:
    error = refused(requests.volume_id, changes["volume_id"])
    assert type(error) is InvalidRequest
    assert words in str(error)


@pytest.mark.parametrize("text", ["x", VOLUME_ID, "somebody else's id", "x" * 128])
def test_a_volume_id_of_any_form_passes_for_it_may_be_proven_absent(text: str) -> None:
    assert requests.volume_id(text) == text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        *VOLUME_ID_RULES,
        ({"node_id": ""}, "node_id=''"),
        ({"node_id": "x" * 257}, "at most 256 bytes, these are 257"),
        ({"volume_capability": None}, "volume_capability='': required"),
        ({"volume_capability": pb.VolumeCapability()}, "volume_capability.access_mode"),
        ({"volume_capability": mount(Mode.MULTI_NODE_READER_ONLY)}, "needs access type block"),
        ({"volume_context": {"k": "v" * 4096}}, "volume_context='1 entries'"),
    ],
)
def test_publish_refuses_what_is_wrong_and_names_it(changes: dict[str, object], words: str) -> None:
    error = refused(requests.publish_volume, spoilt(controller_publish(), **changes))
    assert type(error) is InvalidRequest
    assert words in str(error)


def test_publish_reads_every_field() -> None:
    assert requests.publish_volume(controller_publish()) == PublishRequest(VOLUME_ID, NODE_ID, EXT4)
    assert requests.publish_volume(spoilt(controller_publish(), readonly=True)).readonly
    assert requests.publish_volume(spoilt(controller_publish(), node_id="x" * 256)).node_id == "x" * 256


@pytest.mark.parametrize(
    ("changes", "words"), [*VOLUME_ID_RULES, ({"node_id": "x" * 257}, "node_id="), ({"node_id": "\x01"}, "control")]
)
def test_unpublish_refuses_what_is_wrong_and_names_it(changes: dict[str, object], words: str) -> None:
    error = refused(requests.unpublish_volume, spoilt(controller_unpublish(), **changes))
    assert type(error) is InvalidRequest
    assert words in str(error)


def test_unpublish_takes_no_node_for_all_nodes() -> None:
    assert requests.unpublish_volume(controller_unpublish()) == (VOLUME_ID, NODE_ID)
    assert requests.unpublish_volume(spoilt(controller_unpublish(), node_id="")) == (VOLUME_ID, "")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        *VOLUME_ID_RULES,
        ({"volume_capabilities": []}, "volume_capabilities='': required"),
        ({"volume_capabilities": [pb.VolumeCapability()]}, "volume_capabilities[0].access_mode"),
        ({"mutable_parameters": {"iops": "1"}}, "mutable_parameters"),
        ({"parameters": {"other": "x"}}, "parameters[other]"),
        ({"volume_context": {"k": "v" * 4096}}, "volume_context"),
    ],
)
def test_validate_refuses_what_is_wrong_and_names_it(changes: dict[str, object], words: str) -> None:
    error = refused(requests.validate_capabilities, spoilt(validate(), **changes))
    assert type(error) is InvalidRequest
    assert words in str(error)


def test_validate_reads_every_field() -> None:
    asked = requests.validate_capabilities(validate())
    assert asked.volume_id == VOLUME_ID
    assert [one.access_type for one in asked.capabilities] == [AccessType.MOUNT, AccessType.BLOCK]
    assert asked.parameters == {"backend": "rds"}
    assert asked.unserved == ""


def test_validate_answers_a_capability_that_is_not_served_instead_of_refusing_it() -> None:
    wanted = [mount(), mount(Mode.MULTI_NODE_SINGLE_WRITER), mount(Mode.MULTI_NODE_READER_ONLY)]
    asked = requests.validate_capabilities(spoilt(validate(), volume_capabilities=wanted))
    assert asked.unserved.startswith("MULTI_NODE_SINGLE_WRITER")


def test_list_refuses_a_negative_number() -> None:
    error = refused(requests.list_volumes, pb.ListVolumesRequest(max_entries=-1))
    assert type(error) is InvalidRequest
    assert str(error) == "max_entries=-1: 0 or more"


def test_list_calls_a_giant_token_no_token_of_ours() -> None:
    error = refused(requests.list_volumes, pb.ListVolumesRequest(starting_token="x" * 100_000))
    assert type(error) is InvalidToken
    assert len(str(error)) < 500


@pytest.mark.parametrize("entries", [0, 1, 2**31 - 1])
def test_list_reads_both_fields(entries: int) -> None:
    assert requests.list_volumes(pb.ListVolumesRequest(max_entries=entries, starting_token="t")) == (entries, "t")


def test_capacity_takes_nothing_at_all_for_the_whole_backend() -> None:
    assert requests.get_capacity(pb.GetCapacityRequest()) == ({}, ())


def test_capacity_reads_what_is_given() -> None:
    parameters = {"backend": "rds", **SECRET_TEMPLATES}
    asked = pb.GetCapacityRequest(volume_capabilities=[mount()], parameters=parameters)
    assert requests.get_capacity(asked) == ({"backend": "rds"}, (EXT4,))


@pytest.mark.parametrize(
    "message",
    [
        pb.GetCapacityRequest(parameters={"other": "x"}),
        pb.GetCapacityRequest(volume_capabilities=[pb.VolumeCapability()]),
        pb.GetCapacityRequest(volume_capabilities=[mount(Mode.MULTI_NODE_MULTI_WRITER)]),
    ],
)
def test_capacity_refuses_what_no_volume_could_be_made_with(message: pb.GetCapacityRequest) -> None:
    assert type(refused(requests.get_capacity, message)) is InvalidRequest


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        *VOLUME_ID_RULES,
        ({"capacity_range": None}, "capacity_range='': required"),
        ({"capacity_range": range_of()}, "above 0"),
        ({"capacity_range": range_of(-5)}, "capacity_range.required_bytes=-5"),
        ({"volume_capability": pb.VolumeCapability()}, "volume_capability.access_mode"),
        ({"volume_capability": mount(Mode.MULTI_NODE_MULTI_WRITER)}, "needs access type block"),
    ],
)
def test_expand_refuses_what_is_wrong_and_names_it(changes: dict[str, object], words: str) -> None:
    error = refused(requests.expand_volume, spoilt(controller_expand(), **changes))
    assert type(error) is InvalidRequest
    assert words in str(error)


def test_expand_reads_every_field_and_does_without_a_capability() -> None:
    assert requests.expand_volume(controller_expand()) == (VOLUME_ID, CapacityRange(2 * GIB, 0), EXT4)
    without = spoilt(controller_expand(), volume_capability=None)
    assert requests.expand_volume(without) == (VOLUME_ID, CapacityRange(2 * GIB, 0), None)
    contradiction = spoilt(controller_expand(), capacity_range=range_of(2, 1))
    assert type(refused(requests.expand_volume, contradiction)) is CapacityOutOfRange


def test_a_volume_context_of_ours_and_theirs_is_no_reason_to_refuse() -> None:
    context = {**PROVISIONER_IDENTITY, "ctrlLossTmo": "60"}
    requests.publish_volume(spoilt(controller_publish(), volume_context=context))
    asked = spoilt(validate(), volume_context=context, volume_capabilities=[block()], parameters={})
    assert requests.validate_capabilities(asked).unserved == ""


@pytest.mark.parametrize(
    ("context", "words"),
    [
        ({"key": "value"}, "volume_context[key]='value': no such parameter; there are: ctrlLossTmo"),
        ({"backend": "rds"}, "volume_context[backend]='rds': no such parameter"),
        ({"ctrlLossTmo": "-1"}, "volume_context[ctrlLossTmo]='-1': whole seconds from 1 to 86400"),
    ],
)
def test_a_volume_context_that_nobody_answered_is_said_before_anything_is_exported(
    context: dict[str, str], words: str
) -> None:
    given = {**PROVISIONER_IDENTITY, **context}
    assert words in str(refused(requests.publish_volume, spoilt(controller_publish(), volume_context=given)))
    assert words in str(refused(requests.validate_capabilities, spoilt(validate(), volume_context=given)))


def test_a_volume_context_and_parameters_that_do_not_go_together_are_not_confirmed() -> None:
    parameters = {"backend": "rds", "ctrlLossTmo": "60"}
    for context, confirmed in (({"ctrlLossTmo": "60"}, True), ({"ctrlLossTmo": "61"}, False), ({}, True)):
        asked = spoilt(validate(), parameters=parameters, volume_context=context, volume_capabilities=[block()])
        assert (requests.validate_capabilities(asked).unserved == "") is confirmed


def test_a_volume_snapshot_class_tunes_nothing() -> None:
    error = refused(requests.create_snapshot, spoilt(create_snapshot(), parameters={"ctrlLossTmo": "60"}))
    assert str(error) == "parameters[ctrlLossTmo]='60': no such parameter; there are: backend"


@pytest.mark.parametrize(
    ("capabilities", "accepted"),
    [([mount()], True), ([mount(fs_type="xfs")], False), ([mount(), mount(fs_type="xfs")], False), ([block()], True)],
)
def test_options_for_mkfs_fit_each_filesystem_that_is_asked_for(
    capabilities: list[pb.VolumeCapability], accepted: bool
) -> None:
    asked = spoilt(create(), parameters={"mkfsOptions": "-m 1"}, volume_capabilities=capabilities)
    if accepted:
        assert requests.create_volume(asked).parameters == {"mkfsOptions": "-m 1"}
    else:
        assert "parameters[mkfsOptions]='-m 1': options that mkfs.xfs may be" in str(
            refused(requests.create_volume, asked)
        )
