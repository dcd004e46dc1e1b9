"""What stands between grpclib and every method: refusal while draining, the size limit, framing, explicit trailers.

All of it asyncio-flavoured. The codes for what is wrong with a message's frame are those of gRPC's own table
(doc/statuscodes.md in grpc/grpc); such a call never reached a method, so that even a final code is true.
"""

from collections.abc import Collection
from typing import Any

from grpclib.const import Handler, Status
from grpclib.exceptions import GRPCError
from grpclib.server import Stream
from grpclib.stream import StreamIterator

from rdscsi.csi.connections import raw
from rdscsi.csi.drain import InFlight
from rdscsi.csi.status import verdict
from rdscsi.observe import logs

_PREFIX_BYTES = 5
"""Before each message: one byte that says "compressed", four with its size (gRPC over HTTP/2)."""
_OURS = "/csi."

_log = logs.get_log()


class Guard:
    """Wraps the handlers of all services of one server. `limit` is in bytes a message."""

    def __init__(self, in_flight: InFlight, limit: int) -> None:
        self._in_flight = in_flight
        self._limit = limit

    def handlers(self, services: Collection[Any]) -> dict[str, Handler]:  # Any: whatever has grpclib's __mapping__
        """Return the handlers by path, each wrapped."""
        found = [one for service in services for one in service.__mapping__().items()]
        return {path: handler._replace(func=_Guarded(self, path, handler)) for path, handler in found}

    def admit(self, path: str) -> None:
        """Raise GRPCError (UNAVAILABLE) for a CSI call while the process drains. Health goes on, and tells."""
        if self._in_flight.draining and path.startswith(_OURS):
            raise GRPCError(Status.UNAVAILABLE, "the process is ending; the next one takes the call")

    @property
    def limit(self) -> int:
        return self._limit


class _Guarded:
    """One method."""

    def __init__(self, guard: Guard, path: str, handler: Handler) -> None:
        self._guard = guard
        self._path = path
        self._handler = handler

    async def __call__(self, stream: Stream[Any, Any]) -> None:
        """Answer one call."""
        try:
            self._guard.admit(self._path)
            await self._handler.func(_Incoming(stream, self._path, self._handler, self._guard.limit))
        except GRPCError as error:
            await _refuse(stream, error, self._path)
        except Exception as error:  # noqa: BLE001 - grpclib would say UNKNOWN, which is final, and that after a change
            _log.error("edge.fault", path=self._path, exc_info=error)
            found = verdict(error, changes=True)
            await _refuse(stream, GRPCError(found.code, found.message), self._path)
        else:
            await stream.send_trailing_metadata()


class _Incoming(StreamIterator[Any]):
    """The side of a stream that generated code uses."""

    def __init__(self, stream: Stream[Any, Any], path: str, handler: Handler, limit: int) -> None:
        self._stream = stream
        self._raw = raw(stream)
        self._path = path
        self._many = handler.cardinality.client_streaming
        self._limit = limit

    async def send_message(self, message: Any) -> None:
        await self._stream.send_message(message)

    async def recv_message(self) -> Any:
        """Return the next message; None at the end of a stream of many. Raises GRPCError."""
        try:
            return await self._next()
        except GRPCError as error:
            _log.warning("rpc.unreadable", path=self._path, code=error.status.name, outcome=error.message)
            raise

    async def _next(self) -> Any:
        prefix = await self._read(_PREFIX_BYTES)
        if not prefix:
            if self._many:
                return None
            raise GRPCError(Status.UNIMPLEMENTED, "the call ended without a message; this method takes one")
        if prefix[0]:
            raise GRPCError(Status.UNIMPLEMENTED, "the message is compressed, which is not served here")
        size = int.from_bytes(prefix[1:], "big")
        if size > self._limit:
            raise GRPCError(Status.RESOURCE_EXHAUSTED, f"the message has {size} bytes, and {self._limit} are read")
        data = await self._read(size)
        if len(data) != size:
            raise _cut_off()
        return self._raw.decode(data)

    async def _read(self, size: int) -> bytes:
        try:
            return await self._raw.read(size)
        except AssertionError:
            raise _cut_off() from None


async def _refuse(stream: Stream[Any, Any], error: GRPCError, path: str) -> None:
    await stream.send_trailing_metadata(
        status=error.status,
        status_message=error.message or f"{path} is not served",  # the generated base class says nothing
        status_details=error.details,
    )


def _cut_off() -> GRPCError:
    return GRPCError(Status.INVALID_ARGUMENT, "the message is cut off in its middle")
