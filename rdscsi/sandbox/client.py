"""A CSI client for sandbox, demo and tests: the generated stubs over grpclib, with a Trio face.

It behaves as the orchestrator's sidecars do: a code that says "maybe" is asked again. Needs an open trio-asyncio loop.
"""

import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable
from typing import Protocol, TypeVar
from urllib.parse import urlsplit

import trio
import trio_asyncio
from grpclib import GRPCError
from grpclib.client import Channel
from grpclib.exceptions import ProtocolError, StreamTerminatedError

from rdscsi.csi.pb.csi.v1 import ControllerStub, IdentityStub, NodeStub
from rdscsi.errors import DriverError

Request = TypeVar("Request", contravariant=True)
Response = TypeVar("Response", covariant=True)

MAYBE = frozenset({"CANCELLED", "DEADLINE_EXCEEDED", "UNAVAILABLE", "ABORTED"})
"""The codes after which external-provisioner goes on calling (`checkError` in its controller.go); others are final."""

RPC_SECONDS = 60.0
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 2.0


class CallFailed(DriverError):
    """A call got an error, or no answer at all (UNAVAILABLE); `code` is the name of the gRPC status."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message

    @property
    def final(self) -> bool:
        """Whether the orchestrator would give up and take the call as not done."""
        return self.code not in MAYBE


class Method(Protocol[Request, Response]):
    """A unary method of a generated stub."""

    def __call__(self, message: Request, *, timeout: float | None = None) -> Awaitable[Response]: ...


class Client:
    """One channel to an endpoint. It connects at the first call and again after the server went away."""

    def __init__(self, channel: Channel) -> None:
        self.identity = IdentityStub(channel)
        self.controller = ControllerStub(channel)
        self.node = NodeStub(channel)

    async def call(
        self, method: Method[Request, Response], request: Request, *, timeout: float = RPC_SECONDS
    ) -> Response:
        """Call once. Raises CallFailed."""
        try:
            response: Response = await trio_asyncio.aio_as_trio(functools.partial(method, request, timeout=timeout))()
            return response
        except GRPCError as error:
            raise CallFailed(error.status.name, error.message or "") from error
        except TimeoutError as error:
            raise CallFailed("DEADLINE_EXCEEDED", f"no answer within {timeout:g} s") from error
        except (OSError, StreamTerminatedError, ProtocolError) as error:
            raise CallFailed("UNAVAILABLE", f"{type(error).__name__}: {error}") from error

    async def settle(
        self, method: Method[Request, Response], request: Request, *, timeout: float = RPC_SECONDS
    ) -> Response:
        """Call again while the answer is a maybe, with growing pauses. Raises CallFailed with a final code.

        Endless by itself, as the orchestrator is: callers bound it.
        """
        pause = FIRST_PAUSE
        while True:
            try:
                return await self.call(method, request, timeout=timeout)
            except CallFailed as error:
                if error.final:
                    raise
            await trio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)


@contextlib.asynccontextmanager
async def open_client(endpoint: str) -> AsyncIterator[Client]:
    """Make a client for `unix:///path` or `tcp://host:port`. Nothing is sent yet."""
    url = urlsplit(endpoint)
    channel = Channel(path=url.path) if url.scheme == "unix" else Channel(url.hostname, url.port)
    try:
        yield Client(channel)
    finally:
        channel.close()
