"""Door 2 to asyncio: console lines over SSH. The driver's only user of asyncssh; needs a trio-asyncio loop around it.

One exec channel at a time per connection; queueing, connecting again and pings are in `pool`, host key files in
`hostkeys`, what an answer proves in `framing`. Nothing is read from a home directory or an agent.
"""

import asyncio
import getpass
import logging
import os
import random as chance
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncssh
import structlog
import trio
import trio_asyncio

from rdscsi.errors import DeviceUnavailable, SettingsInvalid
from rdscsi.routeros.hostkeys import parse_pins
from rdscsi.routeros.link import Exchange, LinkLost
from rdscsi.routeros.pool import Pool, PoolSettings, open_pool
from rdscsi.routeros.transport import ConnectRefused

_log = structlog.get_logger()

# The peer's kernel answers these without bothering its SSH server, which may not answer keepalive@openssh.com:
# a dead idle connection shows after 30 s instead of never.
_TCP_KEEPALIVE = ((socket.TCP_KEEPIDLE, 15), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 3))


class HostKeyRefused(ConnectRefused):
    """Whoever answers does not hold the pinned host key. Nothing was sent, not even the login."""


class LoginRefused(ConnectRefused):
    """The appliance does not let the user in with this key, or the key file cannot be used. Nothing was sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SshSettings:
    """How to reach one appliance. The files are read again at each connect, so that keys can be rotated.

    `host_key_file` may only be None when `insecure` says that any host key will do. `output_limit` is in bytes.
    """

    host: str
    port: int = 22
    username: str
    key_file: Path
    host_key_file: Path | None
    insecure: bool = False
    output_limit: int = 8 << 20
    pool: PoolSettings = field(default_factory=PoolSettings)


@asynccontextmanager
async def open_ssh(settings: SshSettings, *, random: Callable[[], float] = chance.random) -> AsyncIterator[Pool]:
    """Keep a Transport to the appliance while the body runs. It connects when the first line is sent.

    Raises SettingsInvalid without a pinned host key (unless `insecure`) and for key files that hold no usable key.
    An appliance that is away, or that changed its key, shows in the lines' own errors only.
    """
    if mistakes := await trio.to_thread.run_sync(_mistakes, settings):
        raise SettingsInvalid(mistakes)
    # It writes every command into its log, at INFO; secrets have no place there.
    asyncssh.set_log_level(logging.WARNING)
    _ensure_user_name()
    door = _Door(settings)
    async with open_pool(connect=door.connect, settings=settings.pool, random=random) as pool:
        yield pool


def _ensure_user_name() -> None:
    """Asyncssh asks for the name of the local user and fails without; a container's user may have none."""
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["LOGNAME"] = "rdscsi"


def _mistakes(settings: SshSettings) -> list[str]:
    mistakes = []
    try:
        _read_key(settings.key_file)
    except ConnectRefused as error:
        mistakes.append(str(error))
    if settings.host_key_file is None and not settings.insecure:
        mistakes.append("no host key of the appliance is pinned; name its file, or say that any host key will do")
    try:
        _read_trust(settings)
    except ConnectRefused as error:
        mistakes.append(str(error))
    return mistakes


def _read_key(path: Path) -> asyncssh.SSHKey:
    try:
        return asyncssh.import_private_key(path.read_bytes())
    except (OSError, asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
        raise LoginRefused(f"the private key {path} cannot be used: {error}") from error


@dataclass(frozen=True, slots=True)
class _Trust:
    """The host keys to accept; called by asyncssh with the host, its address, and the port unless it is 22."""

    keys: tuple[asyncssh.SSHKey, ...]
    known_hosts: asyncssh.SSHKnownHosts

    def __call__(self, host: str, addr: str, port: int | None) -> Sequence[Sequence[Any]]:
        found = self.known_hosts.match(host, addr, port)
        return [[*self.keys, *found[0]], *found[1:]]


def _read_trust(settings: SshSettings) -> _Trust | None:
    path = settings.host_key_file
    if settings.insecure or path is None:
        return None
    try:
        pins = parse_pins(path.read_text(encoding="ascii", errors="replace"))
        keys = tuple(asyncssh.import_public_key(text) for text in pins.keys)
        return _Trust(keys, asyncssh.import_known_hosts("\n".join(pins.known_hosts)))
    except (OSError, ValueError, asyncssh.KeyImportError) as error:
        raise HostKeyRefused(f"the host key file {path} cannot be used: {error}") from error


class _Door:
    """Makes connections. Its methods are Trio-flavoured; what it hands to asyncssh is asyncio's."""

    def __init__(self, settings: SshSettings) -> None:
        self._settings = settings

    async def connect(self) -> "SshLink":
        """Connect and log in. Raises DeviceUnavailable, and ConnectRefused when trying again is of no use."""
        settings = self._settings
        key = await trio.to_thread.run_sync(_read_key, settings.key_file)
        trust = await trio.to_thread.run_sync(_read_trust, settings)
        client = _Client()
        try:
            connection = await _cross(self._connect, client, key, trust)
        except (asyncssh.Error, OSError, TimeoutError, ValueError) as error:
            raise self._why(error, client) from error
        self._announce(connection)
        return SshLink(connection, client, settings.output_limit)

    async def _connect(
        self, client: "_Client", key: asyncssh.SSHKey, trust: _Trust | None
    ) -> asyncssh.SSHClientConnection:
        """Asyncio-flavoured."""
        connection, _ = await asyncssh.create_connection(
            lambda: client,
            self._settings.host,
            self._settings.port,
            username=self._settings.username,
            client_keys=[key],
            known_hosts=trust,
            config=None,
            agent_path=None,
            x509_trusted_certs=None,
            x509_trusted_cert_paths=[],
            preferred_auth="publickey",
            gss_kex=False,
            login_timeout=self._settings.pool.connect_deadline,
        )
        return connection

    def _announce(self, connection: asyncssh.SSHClientConnection) -> None:
        where = f"{self._settings.host}:{self._settings.port}"
        if self._settings.insecure:
            key = connection.get_server_host_key()
            fingerprint = key.get_fingerprint() if key else "none"
            _log.warning("connected to whoever answered: the host key is not checked", to=where, host_key=fingerprint)
        else:
            _log.info("connected", to=where, user=self._settings.username)

    def _why(self, error: Exception, client: "_Client") -> DeviceUnavailable:
        settings = self._settings
        where = f"{settings.host}:{settings.port}"
        if isinstance(error, asyncssh.HostKeyNotVerifiable):
            return HostKeyRefused(
                f"{where} shows the host key {client.offered or 'of a kind'} that {settings.host_key_file} does not "
                f"hold for it ({error.reason}). If the appliance was reset or replaced, compare the key on its own "
                "console and put it into that file; otherwise somebody else answers"
            )
        if isinstance(error, asyncssh.PermissionDenied):
            return LoginRefused(
                f"{where} does not let user {settings.username!r} in with the key {settings.key_file}: look at "
                f"/user/ssh-keys and /user on the appliance ({error.reason})"
            )
        return DeviceUnavailable(f"cannot connect to {where}: {_text(error)}")


class _Client(asyncssh.SSHClient):
    """Asyncssh's view of the connection's owner: remembers the refused host key and the connection's end."""

    def __init__(self) -> None:
        self.offered = ""
        self.lost = False
        self.reason = ""

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        """The TCP connection stands; SO_KEEPALIVE is asyncssh's default, the times are ours."""
        for option, value in _TCP_KEEPALIVE:
            conn.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, option, value)

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        """Called for a key that is not pinned."""
        self.offered = key.get_fingerprint()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Called once, after every channel was told."""
        self.lost = True
        self.reason = _text(exc) if exc else "the connection was closed"


class _Session(asyncssh.SSHClientSession[bytes]):
    """One exec channel, as callbacks from asyncio; `ended` is Trio's, and both loops share this thread."""

    def __init__(self, exchange: Exchange, *, limit: int, too_much: Callable[[], None]) -> None:
        self._exchange = exchange
        self._limit = limit
        self._too_much = too_much
        self.ended = trio.Event()
        self.problem: Exception | None = None
        self.status: int | None = None
        self.finished = False

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        """The channel is open; asyncssh sends the line next, without giving way in between."""
        self._exchange.sent = True

    def data_received(self, data: bytes, datatype: int | None) -> None:
        """RouterOS prints all on stdout; what stands on stderr belongs to the answer as well."""
        if len(self._exchange.output) + len(data) > self._limit:
            self.problem = self.problem or OSError(f"the answer is longer than {self._limit} bytes")
            self._too_much()
            return
        self._exchange.output += data

    def eof_received(self) -> bool:
        """All of the output is here."""
        self.finished = True
        return False

    def exit_status_received(self, status: int) -> None:
        """Its value tells nothing on RouterOS (7.20, 7.23, 7.24); that there is one, that the command ended."""
        self.status = status

    def connection_lost(self, exc: Exception | None) -> None:
        """The channel is closed, properly or with its connection. What is whole by then stays whole."""
        if not (self.finished and self.status is not None):
            self.problem = self.problem or exc
        self.ended.set()


class SshLink:
    """One SSH connection as a `Link`."""

    def __init__(self, connection: asyncssh.SSHClientConnection, client: _Client, output_limit: int) -> None:
        self._connection = connection
        self._client = client
        self._output_limit = output_limit
        self._over = False

    @property
    def usable(self) -> bool:
        """See `Link`."""
        return not self._over and not self._client.lost

    async def run(self, exchange: Exchange) -> None:
        """Open a channel, send the line, wait until the appliance has closed the channel with an exit status.

        A channel or connection that ends without one means a session that was cut off: asyncssh itself does not tell.
        """
        session = _Session(exchange, limit=self._output_limit, too_much=self.abort)
        complete = False
        try:
            await _cross(self._connection.create_session, lambda: session, exchange.line, encoding=None)
            await session.ended.wait()
            complete = self._complete(session)
        except (asyncssh.Error, OSError) as error:
            raise LinkLost(_text(error)) from error
        finally:
            # A channel that is abandoned half-open stays on both sides until its connection ends.
            if not complete:
                self.abort()
        if not complete:
            raise LinkLost(self._cut_off(session))

    def _complete(self, session: _Session) -> bool:
        # OpenSSH sends the status before the last output: only the end of output, or of the channel alone, is an end.
        ended_alone = session.finished or not self._client.lost
        return session.status is not None and session.problem is None and ended_alone

    def _cut_off(self, session: _Session) -> str:
        if session.problem is not None:
            return _text(session.problem)
        return self._client.reason or "the session ended without an exit status"

    def abort(self) -> None:
        """See `Link`."""
        self._over = True
        self._connection.abort()

    async def close(self) -> None:
        """See `Link`."""
        self._over = True
        self._connection.close()
        await _cross(self._connection.wait_closed)


async def _cross(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call an asyncio-flavoured function. Somebody else's cancellation on that side becomes an OSError on this one."""
    try:
        return await trio_asyncio.aio_as_trio(function)(*args, **kwargs)
    except asyncio.CancelledError as error:
        raise OSError("cancelled on the asyncio side") from error


def _text(error: Exception) -> str:
    """Asyncssh's own words are in `reason`; a bare timeout has none."""
    return getattr(error, "reason", "") or str(error) or type(error).__name__
