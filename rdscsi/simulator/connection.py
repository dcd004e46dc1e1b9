"""One client's SSH connection: who may come in, how many channels it may open, what it never gets an answer to.

What a command does is `server`'s business. asyncssh's private names are used where it has no door for what RouterOS
does: silence on keepalives, words before the version, no version at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

import asyncssh


class Gate(Protocol):
    """What a connection asks of its server."""

    max_channels: int
    answers_keepalive: bool

    def welcome(self, connection: asyncssh.SSHServerConnection) -> bool: ...

    def farewell(self, connection: asyncssh.SSHServerConnection) -> None: ...

    def greeting(self) -> bytes | None:
        """Words before the version; None: never say anything."""

    def allows_key(self, user: str, key: asyncssh.SSHKey) -> bool: ...

    def allows_password(self, user: str, password: str) -> bool: ...

    def logged_in(self, connection: asyncssh.SSHServerConnection, user: str) -> None: ...

    async def process(self, process: asyncssh.SSHServerProcess[bytes]) -> None: ...


class Connection(asyncssh.SSHServer):
    """asyncssh's callbacks for one connection."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._connection: asyncssh.SSHServerConnection | None = None
        self._user = ""
        self._channels = 0

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        if not self._gate.welcome(conn):
            conn.abort()
            return
        if not self._gate.answers_keepalive:
            name = "_process_keepalive_at_openssh_dot_com_global_request"
            setattr(conn, name, _ignore_request)
        greeting = self._gate.greeting()
        if greeting is None:
            setattr(conn, "_send_version", _say_nothing)  # noqa: B010 - a method of one connection alone
        elif greeting and conn._transport is not None:
            conn._transport.write(greeting)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._connection is not None:
            self._gate.farewell(self._connection)

    # -- logging in ------------------------------------------------------------------------------------------------

    def begin_auth(self, username: str) -> bool:
        self._user = username
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return self._gate.allows_key(username, key)

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return self._gate.allows_password(username, password)

    def auth_completed(self) -> None:
        if self._connection is not None:
            self._gate.logged_in(self._connection, self._user)

    # -- channels --------------------------------------------------------------------------------------------------

    def session_requested(self) -> asyncssh.SSHServerProcess[bytes] | Awaitable[asyncssh.SSHServerProcess[bytes]]:
        """A new channel; above the limit it is neither confirmed nor refused (§5)."""
        limit = self._gate.max_channels
        self._channels += 1
        if limit and self._channels > limit:
            return _never()
        return _Channel(self._gate, self._closed)

    def _closed(self) -> None:
        self._channels -= 1


class _Channel(asyncssh.SSHServerProcess[bytes]):
    """A channel that says when it closes."""

    def __init__(self, gate: Gate, closed: Callable[[], None]) -> None:
        super().__init__(gate.process, None, 3, False)
        self._tell_closed = closed

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._tell_closed()


async def _never() -> asyncssh.SSHServerProcess[bytes]:
    await asyncio.get_running_loop().create_future()
    raise AssertionError("nobody ends this wait but the connection's end")


def _ignore_request(_packet: object) -> None:
    """No answer; requests behind it wait for ever too."""


def _say_nothing() -> None:
    """No version, so that clients run into their time-out."""
