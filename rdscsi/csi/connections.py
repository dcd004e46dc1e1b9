"""The HTTP/2 connections of the edge. The only module that touches private names of grpclib 0.4.9 (and of h2 none).

grpclib alone has no drain, lets a stray frame or header end the process, and forgets streams that were reset before
their task had run; what is here mends that. `tests/csi/test_grpclib_contract.py` pins the names. What a call may send
and gets back is in `guard`.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import grpclib.utils
from grpclib.config import Configuration
from grpclib.const import Cardinality, Handler
from grpclib.encoding.base import CodecBase
from grpclib.encoding.proto import ProtoStatusDetailsCodec
from grpclib.events import _DispatchServerEvents
from grpclib.metadata import decode_timeout
from grpclib.protocol import H2Protocol
from grpclib.protocol import Stream as HttpStream
from grpclib.server import Handler as Acceptor
from grpclib.server import Stream
from h2.config import H2Configuration
from h2.errors import ErrorCodes
from h2.events import UnknownFrameReceived

from rdscsi.csi.drain import InFlight
from rdscsi.csi.unix_socket import BACKLOG
from rdscsi.observe import logs

grpclib.utils._current_task = asyncio.current_task  # see `rdscsi.csi`; somebody may have imported grpclib before

Headers = list[tuple[str, str]]

_WINDOWS = Configuration(http2_connection_window_size=1 << 20, http2_stream_window_size=1 << 18)
"""Bytes that a peer may send ahead of what is read; they are held in memory."""

_H2 = H2Configuration(
    client_side=False,
    header_encoding="ascii",
    # grpc-go and C-core send an :authority that is no host for Unix sockets, and h2 would refuse it
    validate_inbound_headers=False,
    validate_outbound_headers=False,
    normalize_inbound_headers=False,
    normalize_outbound_headers=False,
)

_SHORTEST_TIMEOUT = "20m"
_CLOSE_SECONDS = 2.0

_log = logs.get_log()


@dataclass(frozen=True, slots=True)
class RawStream:
    """What lies under a grpclib stream: its bytes, and how to read a message from them."""

    read: Callable[[int], Awaitable[bytes]]
    decode: Callable[[bytes], Any]


def raw(stream: Stream[Any, Any]) -> RawStream:
    """Look under a stream. `read` raises AssertionError when the peer ended the stream in the middle."""
    return RawStream(stream._stream.recv_data, lambda data: stream._codec.decode(data, stream._recv_type))


class Connections:
    """All connections of one server. Asyncio-flavoured."""

    def __init__(self, handlers: Mapping[str, Handler], codec: CodecBase, in_flight: InFlight) -> None:
        self._handlers = dict(handlers)
        self._codec = codec
        self._in_flight = in_flight
        self._servers: list[asyncio.Server] = []
        self._open: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False
        self._quiet = asyncio.Event()

    @property
    def count(self) -> int:
        """How many connections are open."""
        return len(self._open)

    async def listen(self, sockets: Sequence[socket.socket]) -> None:
        """Accept connections. The sockets stay the caller's: what is closed here are duplicates."""
        loop = asyncio.get_running_loop()
        for one in sockets:
            self._servers.append(await loop.create_server(self._connection, sock=one.dup(), backlog=BACKLOG))

    async def close(self) -> None:
        """Accept no more, say GOAWAY to every peer, cancel what still runs, see the connections end.

        A peer that does not read is cut off after some seconds. Never `wait_closed`: since Python 3.12 it hangs while
        a client stays connected.
        """
        self._closing = True
        for server in self._servers:
            server.close()
        self._servers.clear()
        for connection in list(self._open):
            connection.say_goodbye()
        await self._wait_quiet()
        for connection in list(self._open):
            connection.abort()
        await self._wait_quiet()

    async def _wait_quiet(self) -> None:
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                while self._open or self._tasks:
                    self._quiet.clear()
                    await self._quiet.wait()
        except TimeoutError:
            _log.warning("edge.connections_stay", connections=len(self._open), calls=len(self._tasks))

    def _connection(self) -> "_Connection":
        acceptor = _Acceptor(self._handlers, self._codec, ProtoStatusDetailsCodec(), _DispatchServerEvents())
        acceptor.accepted = self._accepted
        return _Connection(acceptor, opened=self._opened, closed=self._closed)

    def _opened(self, connection: "_Connection") -> None:
        self._open.add(connection)
        if self._closing:  # it was on its way in when the door was shut
            connection.say_goodbye()

    def _closed(self, connection: "_Connection") -> None:
        self._open.discard(connection)
        self._quiet.set()

    def _accepted(self, path: str, task: "asyncio.Task[None]") -> None:
        """Count a call until its task ends, answer written. Streaming ones (health, reflection) may last for ever."""
        self._tasks.add(task)
        handler = self._handlers.get(path)
        counts = handler is not None and handler.cardinality is Cardinality.UNARY_UNARY
        if counts:
            self._in_flight.began()

        def ended(task: "asyncio.Task[None]") -> None:
            self._tasks.discard(task)
            self._quiet.set()
            if counts:
                self._in_flight.ended()

        task.add_done_callback(ended)


class _Acceptor(Acceptor):
    """Starts a task for each request of one connection."""

    accepted: Callable[[str, "asyncio.Task[None]"], None]

    def accept(self, stream: HttpStream, headers: Headers, release_stream: Callable[[], Any]) -> None:
        """Called for each request. One without method or path is malformed (RFC 9113, 8.1.1)."""
        fields = dict(headers)
        release = _once(release_stream)
        if ":method" not in fields or ":path" not in fields:
            if stream.closable:
                stream.reset_nowait(ErrorCodes.PROTOCOL_ERROR)
            release()
            return
        super().accept(stream, _sensible(headers), release)
        task = self._tasks[stream]
        task.add_done_callback(lambda _: release())  # a task that is cancelled before its first step does not
        self.accepted(fields[":path"], task)


class _Connection(H2Protocol):
    """One connection, as asyncio sees it."""

    def __init__(
        self,
        acceptor: _Acceptor,
        *,
        opened: Callable[["_Connection"], None],
        closed: Callable[["_Connection"], None],
    ) -> None:
        super().__init__(acceptor, _WINDOWS.__for_server__(), _H2)
        self._opened = opened
        self._closed = closed
        self._transport = asyncio.Transport()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called once."""
        super().connection_made(transport)
        # RFC 9113, 5.5: frames of unknown types are ignored. grpclib raises.
        self.processor.processors[UnknownFrameReceived] = lambda event: None
        self._transport = cast("asyncio.Transport", transport)
        self._opened(self)

    def data_received(self, data: bytes) -> None:
        """Take bytes in. Whatever they are, they end this connection at most."""
        try:
            super().data_received(data)
        except (ValueError, LookupError) as error:  # UnicodeDecodeError: a header that is not ASCII
            _log.warning("edge.connection_dropped", reason=f"{type(error).__name__}: {error}")
            self.processor.close("malformed")

    def pause_writing(self) -> None:
        """Read no more from a peer that does not read: the answers to its pings would fill the memory."""
        super().pause_writing()
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """The peer has read what was waiting."""
        super().resume_writing()
        self._transport.resume_reading()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Called once, at the end."""
        super().connection_lost(exc)
        self._closed(self)

    def say_goodbye(self) -> None:
        """Send GOAWAY, which tells the peer which calls were taken, and close once all that is written has gone."""
        if not self.connection.is_closing():
            self.connection._connection.close_connection()
            self.connection.flush()
        self.processor.close("the server is ending")

    def abort(self) -> None:
        """Close without waiting for the peer."""
        self._transport.abort()


def _sensible(headers: Headers) -> Headers:
    """Leave out binary metadata, which nothing here reads and of which grpclib leaves a malformed one unanswered."""
    return [
        (name, _timeout(value) if name == "grpc-timeout" else value) for name, value in headers if name[-4:] != "-bin"
    ]


def _timeout(value: str) -> str:
    """Lengthen a deadline that is as good as passed: grpclib answers those UNKNOWN, which would be final (law 2)."""
    try:
        return value if decode_timeout(value) >= decode_timeout(_SHORTEST_TIMEOUT) else _SHORTEST_TIMEOUT
    except ValueError:
        return value


def _once(release: Callable[[], Any]) -> Callable[[], None]:
    done = False

    def released() -> None:
        nonlocal done
        if not done:
            done = True
            release()

    return released
