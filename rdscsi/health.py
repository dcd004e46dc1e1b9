"""Health over HTTP, for kubelet's probes: /healthz (this process turns) and /readyz (its halves have started).

Small and safe: GET and HEAD only, one request a connection, every connection with a deadline, a bound on how many there
are and on what is read. Answers come from memory; neither the appliance nor the API server is asked (law 9).
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import h11
import trio

from rdscsi.config import Endpoint
from rdscsi.errors import SettingsInvalid

CONNECTION_SECONDS = 5.0
MOST_CONNECTIONS = 32
MOST_BYTES = 8192
_MOST_READ = 4096


@dataclass(frozen=True, slots=True)
class Checks:
    """What is asked. `alive` returns while the process turns, in a connection's deadline; `ready` is from memory."""

    alive: Callable[[], Awaitable[None]]
    ready: Callable[[], bool]


@asynccontextmanager
async def open_health(endpoint: Endpoint, checks: Checks) -> AsyncIterator[Endpoint]:
    """Answer while the body runs, at the endpoint as it came out (port 0: a free one).

    Raises SettingsInvalid when it cannot listen there.
    """
    try:
        listeners = await trio.open_tcp_listeners(endpoint.port, host=endpoint.host, backlog=MOST_CONNECTIONS)
    except OSError as error:
        raise SettingsInvalid(
            [f"health-endpoint={endpoint}: cannot listen there: {error.strerror or error}"]
        ) from error
    limiter = trio.CapacityLimiter(MOST_CONNECTIONS)

    async def handle(stream: trio.SocketStream) -> None:
        with trio.move_on_after(CONNECTION_SECONDS):
            async with limiter:
                await _answer(stream, checks)
        await trio.aclose_forcefully(stream)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, handle, listeners)
        yield Endpoint(host=endpoint.host, port=listeners[0].socket.getsockname()[1])
        nursery.cancel_scope.cancel()


async def _answer(stream: trio.SocketStream, checks: Checks) -> None:
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MOST_BYTES)
    try:
        request = await _request(stream, connection)
        if request is None:
            return
        status, body = await _decide(request, checks)
        await _send(stream, connection, status, body, head=request.method == b"HEAD")
        await stream.send_eof()
    except h11.RemoteProtocolError as error:
        if connection.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            await _send(stream, connection, error.error_status_hint, b"bad request\n", head=False)
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        return  # the asker went away


async def _request(stream: trio.SocketStream, connection: h11.Connection) -> h11.Request | None:
    """Read up to the end of the head; None when the peer closed before. A body is not read."""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await stream.receive_some(_MOST_READ))
        elif isinstance(event, h11.Request):
            return event
        else:
            return None


async def _decide(request: h11.Request, checks: Checks) -> tuple[int, bytes]:
    if request.method not in (b"GET", b"HEAD"):
        return 405, b"GET or HEAD\n"
    match request.target.partition(b"?")[0]:
        case b"/healthz":
            await checks.alive()
            return 200, b"ok\n"
        case b"/readyz":
            return (200, b"ok\n") if checks.ready() else (503, b"not ready\n")
    return 404, b"/healthz or /readyz\n"


async def _send(stream: trio.SocketStream, connection: h11.Connection, status: int, body: bytes, *, head: bool) -> None:
    headers = [("content-type", "text/plain"), ("content-length", str(len(body))), ("connection", "close")]
    events: list[h11.Event] = [h11.Response(status_code=status, headers=headers)]
    events += [] if head else [h11.Data(data=body)]
    data = b"".join(connection.send(event) or b"" for event in (*events, h11.EndOfMessage()))
    await stream.send_all(data)
