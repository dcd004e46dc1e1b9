"""The services beside CSI's: health follows the halves and the drain, reflection tells our descriptors."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from csi_edge import Client, open_client, open_edge, settings
from csi_fakes import FakeController
from google.protobuf import descriptor_pb2, descriptor_pool
from grpclib.health.v1 import health_pb2
from grpclib.reflection.v1 import reflection_pb2

from rdscsi.csi import health
from rdscsi.csi.loop import crossed, open_loop
from rdscsi.csi.schema import schema
from rdscsi.csi.server import open_server

CHECK, WATCH = "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"
REFLECTION = ("grpc.reflection.v1", "grpc.reflection.v1alpha")


async def check(client: Client, service: str = "") -> str:
    """Ask for the health of a service; a refusal by its code."""
    request = health_pb2.HealthCheckRequest(service=service).SerializeToString()
    future = client.begin(request, path=CHECK, reply=health_pb2.HealthCheckResponse.FromString)
    error = await trio.to_thread.run_sync(future.exception)
    return str(error.code().name) if error else word(future.result())


def word(answer: health_pb2.HealthCheckResponse) -> str:
    return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)


async def test_health_follows_each_half_and_the_whole_both(tmp_path: Path) -> None:
    async with open_edge(tmp_path / "csi.sock") as edge, open_client(edge.server.endpoint) as client:
        services = ["", "csi.v1.Identity", "csi.v1.Controller", "csi.v1.Node"]
        assert [await check(client, one) for one in services] == ["SERVING"] * 4
        edge.controller.up = False
        assert [await check(client, one) for one in services] == ["NOT_SERVING"] * 3 + ["SERVING"]
        edge.controller.up, edge.node.up = True, False
        assert [await check(client, one) for one in services] == ["NOT_SERVING"] * 2 + ["SERVING", "NOT_SERVING"]
        assert await check(client, "csi.v1.Nothing") == "NOT_FOUND"


async def test_a_half_that_is_not_served_has_no_health(tmp_path: Path) -> None:
    async with (
        open_loop(),
        open_server(settings(tmp_path / "csi.sock"), controller=FakeController()) as server,
        open_client(server.endpoint) as client,
    ):
        assert await check(client, "csi.v1.Controller") == "SERVING"
        assert await check(client, "csi.v1.Node") == "NOT_FOUND"


async def test_while_draining_nothing_is_serving_and_says_so(tmp_path: Path) -> None:
    async with open_edge(tmp_path / "csi.sock") as edge, open_client(edge.server.endpoint) as client:
        edge.server._in_flight.refuse()
        assert await check(client) == "NOT_SERVING"


async def test_a_watcher_does_not_hold_up_the_drain(tmp_path: Path) -> None:
    with trio.fail_after(20):
        async with open_edge(tmp_path / "csi.sock") as edge, open_client(edge.server.endpoint) as client:
            answers = watch(client)
            assert word(await trio.to_thread.run_sync(next, answers)) == "SERVING"
            await edge.server.drain(1000)


def watch(client: Client, service: str = "") -> Iterator[health_pb2.HealthCheckResponse]:
    method = client.channel.unary_stream(
        WATCH,
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    found: Iterator[health_pb2.HealthCheckResponse] = method(health_pb2.HealthCheckRequest(service=service))
    return found


class Watcher:
    """Stands in for a stream; ends the watch after enough answers."""

    def __init__(self, service: str, enough: int) -> None:
        self.told: list[tuple[float, str]] = []
        self._service = service
        self._enough = enough

    async def recv_message(self) -> health_pb2.HealthCheckRequest:
        return health_pb2.HealthCheckRequest(service=self._service)

    async def send_message(self, answer: health_pb2.HealthCheckResponse) -> None:
        self.told.append((trio.current_time(), word(answer)))
        if len(self.told) == self._enough:
            raise EOFError


async def test_a_watcher_is_told_at_once_and_of_changes_only(autojump_clock: trio.testing.MockClock) -> None:
    watcher: Any = Watcher("", enough=3)  # Any: it stands in for grpclib's stream

    def serving() -> bool:
        return not 5 < trio.current_time() < 10

    async with open_loop():
        with pytest.raises(EOFError):
            await crossed(health.Health({"": serving}).Watch, watcher)
    assert [state for _, state in watcher.told] == ["SERVING", "NOT_SERVING", "SERVING"]
    assert [round(when) for when, _ in watcher.told] == [0, 6, 10]


async def test_a_watcher_of_an_unknown_service_is_told_that_and_waits(autojump_clock: trio.testing.MockClock) -> None:
    watcher: Any = Watcher("nothing", enough=2)
    async with open_loop():
        with trio.move_on_after(100) as waiting:
            await crossed(health.Health({}).Watch, watcher)
    assert waiting.cancelled_caught
    assert [state for _, state in watcher.told] == ["SERVICE_UNKNOWN"]


async def reflect(client: Client, package: str, **question: Any) -> reflection_pb2.ServerReflectionResponse:
    """Ask one question; both versions of the service have the same messages."""
    method = client.channel.stream_stream(
        f"/{package}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )

    def ask() -> reflection_pb2.ServerReflectionResponse:
        (answer,) = method(iter([reflection_pb2.ServerReflectionRequest(**question)]), timeout=20)
        assert isinstance(answer, reflection_pb2.ServerReflectionResponse)
        return answer

    return await trio.to_thread.run_sync(ask)


@pytest.mark.parametrize("package", REFLECTION)
async def test_reflection_lists_the_services_that_are_here(package: str, tmp_path: Path) -> None:
    async with open_edge(tmp_path / "csi.sock") as edge, open_client(edge.server.endpoint) as client:
        answer = await reflect(client, package, list_services="")
    assert {one.name for one in answer.list_services_response.service} == {
        "csi.v1.Identity",
        "csi.v1.Controller",
        "csi.v1.Node",
        "grpc.health.v1.Health",
    }


@pytest.mark.parametrize("package", REFLECTION)
async def test_a_client_that_knows_nothing_learns_the_whole_contract(package: str, tmp_path: Path) -> None:
    """As grpcurl does: the file of a service, and then the files that it imports, until all are there."""
    pool = descriptor_pool.DescriptorPool()
    async with open_edge(tmp_path / "csi.sock") as edge, open_client(edge.server.endpoint) as client:

        async def learn(**question: str) -> None:
            answer = await reflect(client, package, **question)
            (content,) = answer.file_descriptor_response.file_descriptor_proto
            file = descriptor_pb2.FileDescriptorProto.FromString(content)
            for name in file.dependency:
                await learn(file_by_filename=name)
            pool.Add(file)

        await learn(file_containing_symbol="csi.v1.Controller")
        await learn(file_containing_symbol="grpc.health.v1.Health")
    ours = schema().pool
    for service in ("csi.v1.Identity", "csi.v1.Controller", "csi.v1.Node"):
        learnt, own = descriptor_pb2.ServiceDescriptorProto(), descriptor_pb2.ServiceDescriptorProto()
        pool.FindServiceByName(service).CopyToProto(learnt)
        ours.FindServiceByName(service).CopyToProto(own)
        assert learnt == own
    assert pool.FindMessageTypeByName("csi.v1.CreateVolumeRequest").fields_by_name["secrets"].number == 5


async def test_reflection_answers_for_what_it_does_not_know(tmp_path: Path) -> None:
    async with open_edge(tmp_path / "csi.sock") as edge, open_client(edge.server.endpoint) as client:
        answer = await reflect(client, REFLECTION[0], file_containing_symbol="csi.v1.Nothing")
    assert answer.error_response.error_code == 5


async def test_reflection_has_the_size_limit_too(tmp_path: Path) -> None:
    async with (
        open_edge(tmp_path / "csi.sock", max_receive_bytes=1 << 16) as edge,
        open_client(edge.server.endpoint) as client,
    ):
        with pytest.raises(Exception, match="RESOURCE_EXHAUSTED"):
            await reflect(client, REFLECTION[0], file_containing_symbol="x" * (1 << 17))
        assert await client.well()
