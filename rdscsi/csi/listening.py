"""Where the edge listens: `unix://` (see `unix_socket`) and `tcp://`, as sockets that are bound and ready."""

import errno
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, replace

import trio

from rdscsi.config import Endpoint
from rdscsi.csi.unix_socket import BACKLOG, open_unix_socket
from rdscsi.errors import SettingsInvalid

_NOT_HERE = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})
"""An address of a name that this machine does not have, such as `::1` where IPv6 is switched off."""


@dataclass(frozen=True, slots=True)
class Listening:
    """Listening sockets, and the endpoint as it came out: with the port that the system chose in place of 0."""

    sockets: tuple[socket.socket, ...]
    endpoint: Endpoint


@asynccontextmanager
async def open_listening(endpoint: Endpoint, *, mode: int, group: str) -> AsyncIterator[Listening]:
    """Listen at the endpoint while the body runs; mode and group are for a Unix socket. Raises SettingsInvalid."""
    if endpoint.path is not None:
        async with open_unix_socket(endpoint.path, mode=mode, group=group) as listener:
            yield Listening((listener,), endpoint)
        return
    with ExitStack() as stack:
        try:
            sockets = await _bound(endpoint, stack)
        except OSError as error:
            raise SettingsInvalid([f"endpoint={endpoint}: cannot listen there: {error.strerror or error}"]) from error
        yield Listening(sockets, replace(endpoint, port=sockets[0].getsockname()[1]))


async def _bound(endpoint: Endpoint, stack: ExitStack) -> tuple[socket.socket, ...]:
    """Bind every address that the host name stands for and this machine has, all to one port."""
    found = await trio.socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
    sockets: list[socket.socket] = []
    refusal = OSError(errno.EADDRNOTAVAIL, "the host has no address")
    for family, _, _, _, address in dict.fromkeys(found):
        port = sockets[0].getsockname()[1] if sockets else endpoint.port
        try:
            sockets.append(stack.enter_context(_listener(family, (address[0], port, *address[2:]))))
        except OSError as error:
            if error.errno not in _NOT_HERE:
                raise
            refusal = error
    if not sockets:
        raise refusal
    return tuple(sockets)


def _listener(family: int, address: tuple[str | int, ...]) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of a former process linger
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # 0.0.0.0 is asked for by its own name
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener
