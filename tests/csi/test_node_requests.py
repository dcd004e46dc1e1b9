"""The specification's field rules for the calls of the node half: one table for each call."""

from dataclasses import replace
from typing import Any

import pytest
from csi_messages import (
    NQN,
    POD_INFO,
    PROVISIONER_IDENTITY,
    PUBLISH_CONTEXT,
    STAGE,
    TARGET,
    VOLUME_ID,
    Mode,
    expand,
    mount,
    publish,
    stage,
)

from rdscsi.csi import node_requests
from rdscsi.csi.pb.csi import v1 as pb
from rdscsi.errors import CapacityOutOfRange, DriverError, InvalidRequest, NotFound, NotPermittedNow
from rdscsi.model import (
    GIB,
    AccessMode,
    AccessType,
    CapacityRange,
    NodeExpandRequest,
    NodePublishRequest,
    Portal,
    PublishContext,
    StageRequest,
    Tuning,
    VolumeCapability,
)

EXT4 = VolumeCapability(AccessType.MOUNT, AccessMode.SINGLE_NODE_WRITER, "ext4")
DEEP = "/" + "d" * 5000
Changes = dict[str, object]


def spoilt(message: Any, **changes: object) -> Any:  # Any: a generated message of whatever type
    return replace(message, **changes)


def refused(parse: Any, message: object) -> DriverError:
    """Parse a request that is wrong; the error."""
    with pytest.raises(DriverError) as caught:
        parse(message)
    return caught.value


def paths(field: str) -> list[tuple[Changes, str]]:
    """What is wrong with a path in any call."""
    return [
        ({field: ""}, f"{field}='': required"),
        ({field: "relative/path"}, f"{field}='relative/path': an absolute path"),
        ({field: "/a/../b"}, f"{field}='/a/../b'"),
        ({field: "/a/.."}, f"{field}='/a/..'"),
        ({field: "/a\nb"}, f"{field}="),
        ({field: "/a\x00b"}, f"{field}="),
        ({field: DEEP}, "at most 4095 bytes"),
    ]


IDS: list[tuple[Changes, str]] = [
    ({"volume_id": ""}, "volume_id='': required"),
    ({"volume_id": "x" * 129}, "at most 128 bytes"),
    ({"volume_id": "a\x01"}, "control"),
]

CAPABILITIES: list[tuple[Changes, str]] = [
    ({"volume_capability": None}, "volume_capability='': required"),
    ({"volume_capability": pb.VolumeCapability()}, "volume_capability.access_mode='': required"),
    ({"volume_capability": mount(Mode.MULTI_NODE_MULTI_WRITER)}, "needs access type block"),
]

CONTEXTS: list[tuple[Changes, str]] = [
    ({"volume_context": {"k": "v" * 4096}}, "volume_context='1 entries': at most 4096 bytes"),
    ({"publish_context": {"k": "v" * 4096}}, "publish_context='1 entries': at most 4096 bytes"),
]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        *IDS,
        *paths("staging_target_path"),
        *CAPABILITIES,
        *CONTEXTS,
        ({"volume_context": {"ctrlLossTmo": "-1"}}, "volume_context[ctrlLossTmo]='-1': whole seconds from 1 to 86400"),
        (
            {"volume_context": {"ctrlLosTmo": "60"}},
            "volume_context[ctrlLosTmo]='60': no such parameter; there are: ctrl",
        ),
        (
            {"volume_context": {"mkfsOptions": "-m reflink=0"}},
            "volume_context[mkfsOptions]='-m reflink=0': options that mkfs",
        ),
        ({"publish_context": {}}, "publish_context='': subnqn=''"),
        ({"publish_context": {**PUBLISH_CONTEXT, "subnqn": "nqn.2014-08.org:x"}}, "subnqn='nqn.2014-08.org:x'"),
        ({"publish_context": {"subnqn": NQN}}, "portals=''"),
        ({"publish_context": {"subnqn": NQN, "portals": "host:4420"}}, "portals='host:4420'"),
        ({"publish_context": {**PUBLISH_CONTEXT, "readonly": "yes"}}, "readonly='yes'"),
    ],
)
def test_stage_refuses_what_is_wrong_and_names_it(changes: Changes, words: str) -> None:
    error = refused(node_requests.stage, spoilt(stage(), **changes))
    assert type(error) is InvalidRequest
    assert words in str(error)


def test_stage_reads_every_field() -> None:
    portals = (Portal("192.0.2.1", 4420), Portal("2001:db8::1", 4421))
    assert node_requests.stage(stage()) == StageRequest(VOLUME_ID, STAGE, EXT4, PublishContext(NQN, portals))
    context = {**PUBLISH_CONTEXT, "formatPermit": "permit", "readonly": "true", "csi.storage.k8s.io/x": "y"}
    asked = node_requests.stage(spoilt(stage(), publish_context=context))
    assert asked.publish_context == PublishContext(NQN, portals, "permit", readonly=True)
    context = {**PROVISIONER_IDENTITY, "ctrlLossTmo": "60", "reconnectDelay": "2", "mkfsOptions": "-i 65536"}
    asked = node_requests.stage(spoilt(stage(), volume_context=context))
    assert asked.tuning == Tuning(ctrl_loss_tmo=60, reconnect_delay=2, mkfs_options="-i 65536")


@pytest.mark.parametrize(
    ("parse", "message"),
    [(node_requests.stage, stage()), (node_requests.publish, publish()), (node_requests.expand, expand())],
)
@pytest.mark.parametrize("volume_id", ["other", "rds/other", "/", "rds/", "RDS/" + VOLUME_ID.partition("/")[2]])
def test_an_id_that_is_not_ours_is_not_found(parse: Any, message: object, volume_id: str) -> None:
    error = refused(parse, spoilt(message, volume_id=volume_id))
    assert type(error) is NotFound
    assert f"volume_id={volume_id!r}" in str(error)


def test_what_is_missing_is_said_before_what_is_not_found() -> None:
    assert type(refused(node_requests.stage, spoilt(stage(), volume_id="x", staging_target_path=""))) is InvalidRequest
    assert type(refused(node_requests.publish, spoilt(publish(), volume_id="x", target_path=""))) is InvalidRequest
    assert type(refused(node_requests.stage, spoilt(stage(), volume_id="x", publish_context={}))) is NotFound


@pytest.mark.parametrize(("changes", "words"), [*IDS, *paths("staging_target_path")])
def test_unstage_refuses_what_is_wrong_and_names_it(changes: Changes, words: str) -> None:
    message = pb.NodeUnstageVolumeRequest(volume_id=VOLUME_ID, staging_target_path=STAGE)
    error = refused(node_requests.unstage, spoilt(message, **changes))
    assert type(error) is InvalidRequest
    assert words in str(error)


def test_unstage_takes_any_id_for_nothing_there_is_a_success() -> None:
    message = pb.NodeUnstageVolumeRequest(volume_id="other", staging_target_path=STAGE)
    assert node_requests.unstage(message) == ("other", STAGE)


@pytest.mark.parametrize(
    ("changes", "words"),
    [*IDS, *paths("target_path"), *paths("staging_target_path")[1:], *CAPABILITIES, *CONTEXTS],
)
def test_publish_refuses_what_is_wrong_and_names_it(changes: Changes, words: str) -> None:
    error = refused(node_requests.publish, spoilt(publish(), **changes))
    assert type(error) is InvalidRequest
    assert words in str(error)


def test_publish_without_a_staging_path_has_the_specifications_own_code() -> None:
    error = refused(node_requests.publish, spoilt(publish(), staging_target_path=""))
    assert type(error) is NotPermittedNow
    assert "STAGE_UNSTAGE_VOLUME" in str(error)


def test_publish_reads_every_field_and_leaves_the_publish_context_to_stage() -> None:
    assert node_requests.publish(publish()) == NodePublishRequest(VOLUME_ID, STAGE, TARGET, EXT4)
    asked = spoilt(publish(), readonly=True, publish_context={"anything": "goes"})
    assert node_requests.publish(asked).readonly


def test_a_kubelets_pod_information_is_accepted_whatever_its_size() -> None:
    tokens = {"csi.storage.k8s.io/serviceAccount.tokens": "t" * 6000}
    node_requests.publish(spoilt(publish(), volume_context={**PROVISIONER_IDENTITY, **POD_INFO, **tokens}))


@pytest.mark.parametrize(("changes", "words"), [*IDS, *paths("target_path")])
def test_unpublish_refuses_what_is_wrong_and_names_it(changes: Changes, words: str) -> None:
    message = pb.NodeUnpublishVolumeRequest(volume_id=VOLUME_ID, target_path=TARGET)
    error = refused(node_requests.unpublish, spoilt(message, **changes))
    assert type(error) is InvalidRequest
    assert words in str(error)


def test_unpublish_takes_any_id_for_nothing_there_is_a_success() -> None:
    message = pb.NodeUnpublishVolumeRequest(volume_id="other", target_path=TARGET)
    assert node_requests.unpublish(message) == ("other", TARGET)


def stats(**changes: object) -> pb.NodeGetVolumeStatsRequest:
    message = pb.NodeGetVolumeStatsRequest(volume_id=VOLUME_ID, volume_path=TARGET, staging_target_path=STAGE)
    return spoilt(message, **changes)  # type: ignore[no-any-return]


LOOKED_UP: list[tuple[Changes, str]] = [
    *IDS,
    ({"volume_path": ""}, "volume_path='': required"),
    *paths("staging_target_path")[1:],
]


@pytest.mark.parametrize(("changes", "words"), LOOKED_UP)
def test_stats_refuses_what_is_wrong_and_names_it(changes: Changes, words: str) -> None:
    error = refused(node_requests.stats, stats(**changes))
    assert type(error) is InvalidRequest
    assert words in str(error)


def health(**changes: object) -> pb.NodeGetVolumeHealthRequest:
    message = pb.NodeGetVolumeHealthRequest(volume_id=VOLUME_ID, volume_publish_path=TARGET, staging_target_path=STAGE)
    return spoilt(message, **changes)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("changes", "words"), [*IDS, *paths("volume_publish_path")[1:], *paths("staging_target_path")[1:]]
)
def test_health_refuses_what_is_wrong_and_names_it(changes: Changes, words: str) -> None:
    error = refused(node_requests.volume_health, health(**changes))
    assert type(error) is InvalidRequest
    assert words in str(error)


def test_health_is_asked_for_also_without_paths_and_never_of_strangers() -> None:
    assert node_requests.volume_health(health(volume_publish_path="", staging_target_path="")) == VOLUME_ID
    assert type(refused(node_requests.volume_health, health(volume_id="other"))) is NotFound


@pytest.mark.parametrize("path", ["some/path", "/a/../b", "/a\nb", DEEP])
def test_at_an_impossible_path_no_volume_is_found(path: str) -> None:
    for error in (
        refused(node_requests.stats, stats(volume_path=path)),
        refused(node_requests.expand, spoilt(expand(), volume_path=path)),
    ):
        assert type(error) is NotFound
        assert "volume_path=" in str(error)
        assert len(str(error)) < 500


def test_stats_reads_every_field() -> None:
    assert node_requests.stats(stats()) == (VOLUME_ID, TARGET, STAGE)
    assert node_requests.stats(stats(staging_target_path="")) == (VOLUME_ID, TARGET, "")
    assert type(refused(node_requests.stats, stats(volume_id="other"))) is NotFound


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        *LOOKED_UP,
        ({"capacity_range": pb.CapacityRange()}, "above 0"),
        ({"capacity_range": pb.CapacityRange(required_bytes=-1)}, "capacity_range.required_bytes=-1"),
        ({"volume_capability": pb.VolumeCapability()}, "volume_capability.access_mode"),
    ],
)
def test_expand_refuses_what_is_wrong_and_names_it(changes: Changes, words: str) -> None:
    error = refused(node_requests.expand, spoilt(expand(), **changes))
    assert type(error) is InvalidRequest
    assert words in str(error)


def test_expand_reads_every_field_and_does_without_most() -> None:
    assert node_requests.expand(expand()) == NodeExpandRequest(
        VOLUME_ID, TARGET, CapacityRange(2 * GIB, 0), STAGE, EXT4
    )
    bare = pb.NodeExpandVolumeRequest(volume_id=VOLUME_ID, volume_path="/dev/nvme0n1")
    assert node_requests.expand(bare) == NodeExpandRequest(VOLUME_ID, "/dev/nvme0n1", CapacityRange())
    contradiction = spoilt(expand(), capacity_range=pb.CapacityRange(required_bytes=2, limit_bytes=1))
    assert type(refused(node_requests.expand, contradiction)) is CapacityOutOfRange
