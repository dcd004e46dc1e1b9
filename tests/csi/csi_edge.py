"""A server of the edge over fake halves, and grpcio's C core as an independent client in threads beside it."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import grpc
import trio
from csi_fakes import FakeController, FakeNode

from rdscsi.config import Endpoint, ProcessSettings
from rdscsi.csi.loop import LoopErrors, open_loop
from rdscsi.csi.pb.csi import v1 as pb
from rdscsi.csi.server import Server, open_server

Response = TypeVar("Response")

PATIENCE = 30.0
"""Seconds after which a call that nothing answers fails its test."""

BASES = (pb.IdentityBase, pb.ControllerBase, pb.NodeBase, pb.GroupControllerBase)
PATHS: Mapping[type, str] = {
    handler.request_type: path for base in BASES for path, handler in base().__mapping__().items()
}
"""The path of each unary method, by the type of its request."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A call's end by an error."""

    code: str
    details: str


class Client:
    """One channel. Calls run in threads, so that the server, which is in ours, goes on."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.channel = channel

    def begin(self, request: object, *, timeout: float = PATIENCE, path: str = "", reply: Any = bytes) -> Any:
        """Start a call and return grpcio's future of it. Bytes are sent as they are, messages encoded."""
        method = path or PATHS[type(request)]
        return self.channel.unary_unary(method, request_serializer=bytes, response_deserializer=reply).future(
            request, timeout=timeout
        )

    async def call(self, request: object, reply: type[Response], **how: Any) -> Response:
        """Call and return the answer. Raises grpc.RpcError."""
        future = self.begin(request, reply=reply.parse, **how)  # type: ignore[attr-defined]
        answer: Response = await trio.to_thread.run_sync(future.result)
        return answer

    async def refusal(self, request: object, **how: Any) -> Refusal:
        """Call and return the error that it ends with."""
        return await ended(self.begin(request, **how))

    async def well(self) -> bool:
        """Tell whether a normal call works."""
        return bool((await self.call(pb.ProbeRequest(), pb.ProbeResponse)).ready)


async def ended(future: Any) -> Refusal:
    """Wait for a call that ends by an error."""
    error = await trio.to_thread.run_sync(future.exception)
    assert error is not None, "the call was answered"
    return Refusal(error.code().name, error.details())


@asynccontextmanager
async def open_client(endpoint: Endpoint | str) -> AsyncIterator[Client]:
    """Open a channel of its own to the endpoint: channels of one process would share connections."""
    target = str(endpoint).replace("unix://", "unix:").removeprefix("tcp://")
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)]
    channel = grpc.insecure_channel(target, options)
    try:
        yield Client(channel)
    finally:
        await trio.to_thread.run_sync(channel.close)


@dataclass(frozen=True, slots=True)
class Edge:
    """A server that runs, its halves, and what its asyncio loop had to complain about."""

    server: Server
    controller: FakeController
    node: FakeNode
    errors: LoopErrors

    @property
    def path(self) -> Path:
        assert self.server.endpoint.path is not None
        return self.server.endpoint.path


def settings(endpoint: Path | Endpoint, **others: Any) -> ProcessSettings:
    """Settings of a process that serves at a path, or at another endpoint."""
    where = Endpoint(path=endpoint) if isinstance(endpoint, Path) else endpoint
    return ProcessSettings(cluster_id="test", endpoint=where, **others)


@asynccontextmanager
async def open_edge(endpoint: Path | Endpoint, **others: Any) -> AsyncIterator[Edge]:
    """Serve both fake halves. Errors on the asyncio side that nobody took fail the test."""
    controller, node = FakeController(), FakeNode()
    async with open_loop() as errors:
        async with open_server(settings(endpoint, **others), controller=controller, node=node) as server:
            yield Edge(server, controller, node, errors)
        assert errors.count == 0
