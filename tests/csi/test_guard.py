"""What stands before every method, with a service of our own behind it instead of CSI's."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from csi_edge import Client, open_client
from csi_logs import captured
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from grpclib.const import Cardinality, Handler, Status
from grpclib.exceptions import GRPCError

from rdscsi.csi.codec import StrictCodec
from rdscsi.csi.connections import Connections
from rdscsi.csi.drain import InFlight
from rdscsi.csi.guard import Guard
from rdscsi.csi.loop import crossed, open_loop
from rdscsi.csi.pb.csi import v1 as pb
from rdscsi.csi.schema import schema
from rdscsi.csi.unix_socket import open_unix_socket

PATH = "/test.v1.Service/Method"


class Service:
    """One method, `answer`, which gets the stream."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def __mapping__(self) -> dict[str, Handler]:
        return {PATH: Handler(self._answer, Cardinality.UNARY_UNARY, pb.ProbeRequest, pb.ProbeResponse)}


@asynccontextmanager
async def open_service(path: Path, answer: Any) -> AsyncIterator[Client]:
    """Serve the method behind a guard, and open a client."""
    in_flight = InFlight()
    handlers = Guard(in_flight, 1 << 16).handlers([Service(answer)])
    async with open_loop() as errors, open_unix_socket(path, mode=0o600, group="") as listener:
        connections = Connections(handlers, StrictCodec(schema()), in_flight)
        await crossed(connections.listen, [listener])
        async with open_client(f"unix://{path}") as client:
            yield client
        await crossed(connections.close)
    assert errors.count == 0


async def test_the_details_of_an_error_reach_the_client(tmp_path: Path) -> None:
    detail = error_details_pb2.ErrorInfo(reason="NO_ROOM", domain="csi.rdscsi.io")

    async def answer(stream: Any) -> None:
        raise GRPCError(Status.ABORTED, "words ü %", [detail])

    async with open_service(tmp_path / "s.sock", answer) as client:
        error = await trio.to_thread.run_sync(client.begin(pb.ProbeRequest(), path=PATH).exception)
    assert error.details() == "words ü %"
    (packed,) = rpc_status.from_call(error).details
    found = error_details_pb2.ErrorInfo()
    assert packed.Unpack(found)
    assert found == detail


async def test_an_error_without_words_gets_some(tmp_path: Path) -> None:
    async def answer(stream: Any) -> None:
        raise GRPCError(Status.UNIMPLEMENTED)

    async with open_service(tmp_path / "s.sock", answer) as client:
        refusal = await client.refusal(pb.ProbeRequest(), path=PATH)
    assert (refusal.code, refusal.details) == ("UNIMPLEMENTED", f"{PATH} is not served")


async def test_a_fault_of_the_edge_itself_is_not_final_for_the_call_may_have_changed_something(tmp_path: Path) -> None:
    async def answer(stream: Any) -> None:
        await stream.recv_message()
        raise ZeroDivisionError

    with captured() as logged:
        async with open_service(tmp_path / "s.sock", answer) as client:
            for _ in range(2):
                assert (await client.refusal(pb.ProbeRequest(), path=PATH)).code == "ABORTED"
    assert len(logged.records("edge.fault", path=PATH)) == 2


@pytest.mark.parametrize("metadata", [[], [("x-text", "value"), ("x-bytes-bin", b"\xff")]])
async def test_an_answer_is_an_answer_whatever_metadata_came_with_the_call(
    metadata: list[tuple[str, str | bytes]], tmp_path: Path
) -> None:
    async def answer(stream: Any) -> None:
        await stream.recv_message()
        await stream.send_message(pb.ProbeResponse(ready=True))

    async with open_service(tmp_path / "s.sock", answer) as client:
        method = client.channel.unary_unary(
            PATH, request_serializer=bytes, response_deserializer=pb.ProbeResponse.parse
        )
        future = method.future(pb.ProbeRequest(), metadata=metadata, timeout=20)
        assert await trio.to_thread.run_sync(future.result) == pb.ProbeResponse(ready=True)
