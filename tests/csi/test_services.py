"""Every method of the three services, over real sockets, from an independent client to the halves and back."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
import trio
from csi_edge import PATHS, open_client, open_edge, settings
from csi_fakes import FakeController, FakeNode
from csi_messages import NODE_ID, SNAPSHOT_ID, VOLUME_ID

import rdscsi
from rdscsi.config import Endpoint
from rdscsi.csi.loop import open_loop
from rdscsi.csi.pb.csi import v1 as pb
from rdscsi.csi.server import open_server
from rdscsi.model import (
    GIB,
    AccessMode,
    AccessType,
    CapacityRange,
    NodeExpandRequest,
    NodePublishRequest,
    Portal,
    PublishContext,
    PublishRequest,
    SnapshotQuery,
    SnapshotRequest,
    StageRequest,
    VolumeCapability,
    VolumeRequest,
)
from rdscsi.names import subnqn

ACCESS_MODE = pb.VolumeCapabilityAccessMode(mode=pb.VolumeCapabilityAccessModeMode.SINGLE_NODE_WRITER)
MOUNT = pb.VolumeCapability(mount=pb.VolumeCapabilityMountVolume(fs_type="xfs"), access_mode=ACCESS_MODE)
MANY = pb.VolumeCapabilityAccessMode(mode=pb.VolumeCapabilityAccessModeMode.MULTI_NODE_MULTI_WRITER)
MANY_MOUNTS = pb.VolumeCapability(mount=pb.VolumeCapabilityMountVolume(), access_mode=MANY)
XFS = VolumeCapability(AccessType.MOUNT, AccessMode.SINGLE_NODE_WRITER, "xfs")
NQN = subnqn(VOLUME_ID.partition("/")[2], "a" * 16)
CONTEXT = {"subnqn": NQN, "portals": "192.0.2.1:4420"}

SNAPSHOT = pb.Snapshot(
    snapshot_id=SNAPSHOT_ID,
    source_volume_id=VOLUME_ID,
    size_bytes=GIB,
    creation_time=datetime.fromtimestamp(1_800_000_000, UTC),
    ready_to_use=True,
)

HEALTH = pb.VolumeHealth(
    volume_id=VOLUME_ID,
    health_statuses=[
        pb.VolumeHealthVolumeHealthEntry(
            status=pb.VolumeHealthErrorType.DATA_LOSS, reason="FileMissing", message="it is gone"
        )
    ],
)

CONTROLLER_CALLS = [
    (
        pb.CreateVolumeRequest(
            name="pvc-1", capacity_range=pb.CapacityRange(required_bytes=GIB), volume_capabilities=[MOUNT]
        ),
        ("create", VolumeRequest("pvc-1", CapacityRange(GIB, 0), (XFS,), {})),
        pb.CreateVolumeResponse(
            volume=pb.Volume(volume_id=VOLUME_ID, capacity_bytes=GIB, volume_context={"key": "value"})
        ),
    ),
    (
        pb.CreateSnapshotRequest(source_volume_id=VOLUME_ID, name="snap-1"),
        ("create snapshot", SnapshotRequest("snap-1", VOLUME_ID, {})),
        pb.CreateSnapshotResponse(snapshot=SNAPSHOT),
    ),
    (pb.DeleteSnapshotRequest(snapshot_id="gone"), ("delete snapshot", "gone"), pb.DeleteSnapshotResponse()),
    (
        pb.ListSnapshotsRequest(max_entries=3, starting_token="here", source_volume_id="v", snapshot_id="s"),
        ("list snapshots", SnapshotQuery(3, "here", "v", "s")),
        pb.ListSnapshotsResponse(entries=[pb.ListSnapshotsResponseEntry(snapshot=SNAPSHOT)], next_token="next"),
    ),
    (
        pb.GetSnapshotRequest(snapshot_id=SNAPSHOT_ID),
        ("get snapshot", SNAPSHOT_ID),
        pb.GetSnapshotResponse(snapshot=SNAPSHOT),
    ),
    (pb.DeleteVolumeRequest(volume_id="gone"), ("delete", "gone"), pb.DeleteVolumeResponse()),
    (
        pb.ControllerPublishVolumeRequest(volume_id=VOLUME_ID, node_id=NODE_ID, volume_capability=MOUNT, readonly=True),
        ("publish", PublishRequest(VOLUME_ID, NODE_ID, XFS, readonly=True)),
        pb.ControllerPublishVolumeResponse(publish_context={"subnqn": "nqn", "portals": "192.0.2.1:4420"}),
    ),
    (
        pb.ControllerUnpublishVolumeRequest(volume_id=VOLUME_ID, node_id=NODE_ID),
        ("unpublish", VOLUME_ID, NODE_ID),
        pb.ControllerUnpublishVolumeResponse(),
    ),
    (
        pb.ControllerUnpublishVolumeRequest(volume_id=VOLUME_ID),
        ("unpublish", VOLUME_ID, ""),
        pb.ControllerUnpublishVolumeResponse(),
    ),
    (
        pb.ValidateVolumeCapabilitiesRequest(volume_id=VOLUME_ID, volume_capabilities=[MOUNT]),
        ("validate", VOLUME_ID, (XFS,), {}),
        pb.ValidateVolumeCapabilitiesResponse(
            confirmed=pb.ValidateVolumeCapabilitiesResponseConfirmed(volume_capabilities=[MOUNT])
        ),
    ),
    (
        pb.ListVolumesRequest(max_entries=3, starting_token="here"),
        ("list", 3, "here"),
        pb.ListVolumesResponse(
            entries=[
                pb.ListVolumesResponseEntry(
                    volume=pb.Volume(volume_id=VOLUME_ID, capacity_bytes=GIB, volume_context={"key": "value"}),
                    status=pb.ListVolumesResponseVolumeStatus(published_node_ids=[NODE_ID]),
                )
            ],
            next_token="next",
        ),
    ),
    (
        pb.ControllerGetVolumeRequest(volume_id=VOLUME_ID),
        ("get", VOLUME_ID),
        pb.ControllerGetVolumeResponse(
            volume=pb.Volume(volume_id=VOLUME_ID, capacity_bytes=GIB, volume_context={"key": "value"}),
            status=pb.ControllerGetVolumeResponseVolumeStatus(published_node_ids=[NODE_ID]),
        ),
    ),
    (
        pb.ControllerGetVolumeHealthRequest(volume_id=VOLUME_ID),
        ("health", VOLUME_ID),
        pb.ControllerGetVolumeHealthResponse(volume_health=HEALTH),
    ),
    (
        pb.ControllerListVolumeHealthRequest(max_entries=3, starting_token="here"),
        ("list health", 3, "here"),
        pb.ControllerListVolumeHealthResponse(entries=[HEALTH], next_token="next"),
    ),
    (
        pb.GetCapacityRequest(volume_capabilities=[MOUNT], parameters={"backend": "rds"}),
        ("capacity", {"backend": "rds"}, (XFS,)),
        pb.GetCapacityResponse(available_capacity=300, maximum_volume_size=200, minimum_volume_size=100),
    ),
    (
        pb.ControllerExpandVolumeRequest(
            volume_id=VOLUME_ID, capacity_range=pb.CapacityRange(limit_bytes=2 * GIB), volume_capability=MOUNT
        ),
        ("expand", VOLUME_ID, CapacityRange(0, 2 * GIB), XFS),
        pb.ControllerExpandVolumeResponse(capacity_bytes=2 * GIB, node_expansion_required=True),
    ),
]

NODE_CALLS = [
    (
        pb.NodeStageVolumeRequest(
            volume_id=VOLUME_ID, staging_target_path="/stage", volume_capability=MOUNT, publish_context=CONTEXT
        ),
        ("stage", StageRequest(VOLUME_ID, "/stage", XFS, PublishContext(NQN, (Portal("192.0.2.1", 4420),)))),
        pb.NodeStageVolumeResponse(),
    ),
    (
        pb.NodeUnstageVolumeRequest(volume_id=VOLUME_ID, staging_target_path="/stage"),
        ("unstage", VOLUME_ID, "/stage"),
        pb.NodeUnstageVolumeResponse(),
    ),
    (
        pb.NodePublishVolumeRequest(
            volume_id=VOLUME_ID,
            staging_target_path="/stage",
            target_path="/target",
            volume_capability=MOUNT,
            readonly=True,
        ),
        ("publish", NodePublishRequest(VOLUME_ID, "/stage", "/target", XFS, readonly=True)),
        pb.NodePublishVolumeResponse(),
    ),
    (
        pb.NodeUnpublishVolumeRequest(volume_id=VOLUME_ID, target_path="/target"),
        ("unpublish", VOLUME_ID, "/target"),
        pb.NodeUnpublishVolumeResponse(),
    ),
    (
        pb.NodeGetVolumeStatsRequest(volume_id=VOLUME_ID, volume_path="/target", staging_target_path="/stage"),
        ("stats", VOLUME_ID, "/target", "/stage"),
        pb.NodeGetVolumeStatsResponse(
            usage=[
                pb.VolumeUsage(unit=pb.VolumeUsageUnit.BYTES, total=100, available=60, used=40),
                pb.VolumeUsage(unit=pb.VolumeUsageUnit.INODES, total=10, available=6, used=4),
            ]
        ),
    ),
    (
        pb.NodeGetVolumeHealthRequest(volume_id=VOLUME_ID, volume_publish_path="/target", staging_target_path="/stage"),
        ("health", VOLUME_ID),
        pb.NodeGetVolumeHealthResponse(
            volume_health=pb.VolumeHealth(
                volume_id=VOLUME_ID,
                health_statuses=[
                    pb.VolumeHealthVolumeHealthEntry(
                        status=pb.VolumeHealthErrorType.INACCESSIBLE, reason="PathsDown", message="no path"
                    )
                ],
            )
        ),
    ),
    (
        pb.NodeGetStorageHealthRequest(),
        ("storage health",),
        pb.NodeGetStorageHealthResponse(
            backend_health=[
                pb.NodeGetStorageHealthResponseStorageBackendHealth(
                    status=pb.StorageHealthErrorType.STORAGE_UNREACHABLE,
                    reason="PortalsUnreachable",
                    message="none answers",
                )
            ]
        ),
    ),
    (
        pb.NodeExpandVolumeRequest(
            volume_id=VOLUME_ID, volume_path="/target", capacity_range=pb.CapacityRange(required_bytes=2 * GIB)
        ),
        ("expand", NodeExpandRequest(VOLUME_ID, "/target", CapacityRange(2 * GIB, 0))),
        pb.NodeExpandVolumeResponse(capacity_bytes=2 * GIB),
    ),
]


@pytest.mark.parametrize(
    ("request_message", "asked", "answer"), CONTROLLER_CALLS, ids=lambda value: type(value).__name__
)
async def test_a_call_reaches_the_controller_half_and_its_answer_comes_back(
    request_message: object, asked: tuple[object, ...], answer: object, tmp_path: Path
) -> None:
    async with open_edge(tmp_path / "csi.sock") as edge, open_client(edge.server.endpoint) as client:
        assert await client.call(request_message, type(answer)) == answer
        assert edge.controller.asked == [asked]
        assert edge.node.asked == []


@pytest.mark.parametrize(("request_message", "asked", "answer"), NODE_CALLS, ids=lambda value: type(value).__name__)
async def test_a_call_reaches_the_node_half_and_its_answer_comes_back(
    request_message: object, asked: tuple[object, ...], answer: object, tmp_path: Path
) -> None:
    async with open_edge(tmp_path / "csi.sock") as edge, open_client(edge.server.endpoint) as client:
        assert await client.call(request_message, type(answer)) == answer
        assert edge.node.asked == [asked]
        assert edge.controller.asked == []


async def test_what_is_told_from_memory_asks_nobody(tmp_path: Path) -> None:
    async with open_edge(tmp_path / "csi.sock") as edge, open_client(edge.server.endpoint) as client:
        info = await client.call(pb.GetPluginInfoRequest(), pb.GetPluginInfoResponse)
        controller = await client.call(pb.ControllerGetCapabilitiesRequest(), pb.ControllerGetCapabilitiesResponse)
        node = await client.call(pb.NodeGetCapabilitiesRequest(), pb.NodeGetCapabilitiesResponse)
        place = await client.call(pb.NodeGetInfoRequest(), pb.NodeGetInfoResponse)
        assert edge.controller.asked == edge.node.asked == []
    assert (info.name, info.vendor_version) == ("csi.rdscsi.io", rdscsi.__version__)
    assert info.manifest == {"specification": "1.13.0", "halves": "controller,node"}
    assert {one.rpc.type.name for one in controller.capabilities if one.rpc} == {
        "CREATE_DELETE_VOLUME",
        "PUBLISH_UNPUBLISH_VOLUME",
        "LIST_VOLUMES",
        "LIST_VOLUMES_PUBLISHED_NODES",
        "GET_VOLUME",
        "GET_CAPACITY",
        "EXPAND_VOLUME",
        "CREATE_DELETE_SNAPSHOT",
        "LIST_SNAPSHOTS",
        "GET_SNAPSHOT",
        "CLONE_VOLUME",
        "SINGLE_NODE_MULTI_WRITER",
        "GET_VOLUME_HEALTH",
        "LIST_VOLUME_HEALTH",
    }
    assert {one.rpc.type.name for one in node.capabilities if one.rpc} == {
        "STAGE_UNSTAGE_VOLUME",
        "GET_VOLUME_STATS",
        "GET_VOLUME_HEALTH",
        "GET_STORAGE_HEALTH",
        "EXPAND_VOLUME",
        "SINGLE_NODE_MULTI_WRITER",
    }
    assert place == pb.NodeGetInfoResponse(node_id=NODE_ID, max_volumes_per_node=17)


UNSERVED = sorted(
    (
        request
        for request, path in PATHS.items()
        if not path.startswith("/csi.v1.Identity/")
        and request not in {type(call[0]) for call in CONTROLLER_CALLS + NODE_CALLS}
        and request not in {pb.ControllerGetCapabilitiesRequest, pb.NodeGetCapabilitiesRequest, pb.NodeGetInfoRequest}
    ),
    key=lambda request: request.__name__,
)


def test_what_is_not_served_is_what_the_issue_leaves_out() -> None:
    assert {request.__name__.removesuffix("Request") for request in UNSERVED} == {
        "ControllerModifyVolume",
        "CreateVolumeGroupSnapshot",
        "DeleteVolumeGroupSnapshot",
        "GetVolumeGroupSnapshot",
        "GroupControllerGetCapabilities",
    }


async def test_what_is_not_served_answers_unimplemented(tmp_path: Path) -> None:
    async with open_edge(tmp_path / "csi.sock") as edge, open_client(edge.server.endpoint) as client:
        for request in UNSERVED:
            refusal = await client.refusal(request())
            assert refusal.code == "UNIMPLEMENTED", request
            assert refusal.details
        assert edge.controller.asked == edge.node.asked == []


async def test_a_capability_that_no_volume_serves_is_declined_after_the_volume_was_looked_for(tmp_path: Path) -> None:
    asked = pb.ValidateVolumeCapabilitiesRequest(volume_id=VOLUME_ID, volume_capabilities=[MANY_MOUNTS])
    async with open_edge(tmp_path / "csi.sock") as edge, open_client(edge.server.endpoint) as client:
        answer = await client.call(asked, pb.ValidateVolumeCapabilitiesResponse)
        assert [one[0] for one in edge.controller.asked] == ["validate"]
    assert answer.confirmed is None
    assert "block" in answer.message


async def test_the_controllers_own_reason_declines_a_capability_too(tmp_path: Path) -> None:
    asked = pb.ValidateVolumeCapabilitiesRequest(volume_id=VOLUME_ID, volume_capabilities=[MOUNT])
    async with open_edge(tmp_path / "csi.sock") as edge, open_client(edge.server.endpoint) as client:
        edge.controller.why_not = "made with other parameters"
        answer = await client.call(asked, pb.ValidateVolumeCapabilitiesResponse)
    assert answer == pb.ValidateVolumeCapabilitiesResponse(message="made with other parameters")


@pytest.mark.parametrize(
    ("controller_up", "node_up", "ready"),
    [(True, True, True), (False, True, False), (True, False, False), (False, False, False)],
)
async def test_probe_is_ready_when_every_half_is(
    controller_up: bool, node_up: bool, ready: bool, tmp_path: Path
) -> None:
    async with open_edge(tmp_path / "csi.sock") as edge, open_client(edge.server.endpoint) as client:
        edge.controller.up, edge.node.up = controller_up, node_up
        answer = await client.call(pb.ProbeRequest(), pb.ProbeResponse)
        assert edge.controller.asked == edge.node.asked == []
    assert answer.ready is ready


@pytest.mark.parametrize("half", ["controller", "node"])
async def test_a_process_with_one_half_does_not_serve_the_other(half: str, tmp_path: Path) -> None:
    controller = FakeController() if half == "controller" else None
    node = FakeNode() if half == "node" else None
    async with (
        open_loop(),
        open_server(settings(tmp_path / "csi.sock"), controller=controller, node=node) as server,
        open_client(server.endpoint) as client,
    ):
        info = await client.call(pb.GetPluginInfoRequest(), pb.GetPluginInfoResponse)
        told = await client.call(pb.GetPluginCapabilitiesRequest(), pb.GetPluginCapabilitiesResponse)
        assert await client.well()
        other = pb.NodeGetInfoRequest() if half == "controller" else pb.ControllerGetCapabilitiesRequest()
        assert (await client.refusal(other)).code == "UNIMPLEMENTED"
    assert info.manifest["halves"] == half
    services = [one.service.type.name for one in told.capabilities if one.service]
    expansion = [one.volume_expansion.type.name for one in told.capabilities if one.volume_expansion]
    assert services == (["CONTROLLER_SERVICE"] if half == "controller" else [])
    assert expansion == ["ONLINE"]


async def test_the_same_is_served_over_tcp() -> None:
    endpoint = Endpoint(host="127.0.0.1", port=0)
    async with open_edge(endpoint) as edge, open_client(edge.server.endpoint) as client:
        assert edge.server.endpoint.port != 0
        assert await client.well()
        created = await client.call(CONTROLLER_CALLS[0][0], pb.CreateVolumeResponse)
        assert created == CONTROLLER_CALLS[0][2]


async def test_fifty_calls_on_one_connection_run_side_by_side(tmp_path: Path) -> None:
    gate = trio.Event()
    together = 50
    async with open_edge(tmp_path / "csi.sock") as edge, open_client(edge.server.endpoint) as client:

        async def work() -> None:
            if len(edge.controller.asked) == together:
                gate.set()
            await gate.wait()

        edge.controller.work = work
        futures = [client.begin(pb.DeleteVolumeRequest(volume_id=f"v{n}")) for n in range(together)]
        for future in futures:
            assert await trio.to_thread.run_sync(future.exception) is None
        assert edge.server.statistics().connections == 1
