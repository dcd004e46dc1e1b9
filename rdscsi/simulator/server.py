"""The SSH face of the simulated appliance, on asyncio: exec only, no PTY, an exit status that tells nothing.

Everything that a command means is in `sessions`; this module knows connections, keys, channels and latency. It must run
in an asyncio loop of its own (`serving` gives a Trio program one in a thread).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import asyncssh

from rdscsi.simulator.latency import PROFILES, Latency, LatencyProfile
from rdscsi.simulator.sessions import Attempt, Sessions

_WORKERS = 64


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Where to listen and whom to let in. Port 0 takes a free one; without `users` any name may use the keys."""

    host: str = "127.0.0.1"
    port: int = 0
    authorized_keys: Sequence[Path | str] = ()
    users: Collection[str] = ("admin",)
    host_key_type: str = "ssh-rsa"
    latency: LatencyProfile = field(default_factory=lambda: PROFILES["none"])
    seed: int = 0


def load_host_key(state_dir: Path, kind: str) -> asyncssh.SSHKey:
    """The host key of the state directory, made at the first start (RSA-2048 as the device's default, §5)."""
    private = state_dir / "host_key"
    if private.exists():
        key = asyncssh.read_private_key(private)
    else:
        key = asyncssh.generate_private_key("ssh-rsa", key_size=2048) if kind == "ssh-rsa" else _other_key(kind)
        fresh = state_dir / "host_key.new"
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(key.export_private_key())
        fresh.replace(private)
    (state_dir / "host_key.pub").write_bytes(key.export_public_key())
    return key


def _other_key(kind: str) -> asyncssh.SSHKey:
    return asyncssh.generate_private_key(kind)


def _authorized(sources: Sequence[Path | str]) -> set[bytes]:
    """Public keys from files, or given as text."""
    found: set[bytes] = set()
    for source in sources:
        text = source.read_text(encoding="utf-8") if isinstance(source, Path) else source
        for line in text.splitlines():
            if line.strip() and not line.lstrip().startswith("#"):
                found.add(asyncssh.import_public_key(line).public_data)
    return found


class SshServer:
    """The listening server; an async context manager."""

    def __init__(self, sessions: Sessions, options: ServerOptions) -> None:
        self.sessions = sessions
        self.options = options
        self.host_key = load_host_key(sessions.appliance.state_dir, options.host_key_type)
        self._keys = _authorized(options.authorized_keys)
        self._latency = Latency(options.latency, seed=options.seed)
        self._connections: set[asyncssh.SSHServerConnection] = set()
        self._threads = ThreadPoolExecutor(_WORKERS, thread_name_prefix="console")
        self._acceptor: asyncssh.SSHAcceptor | None = None
        self._timers: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """The port that is listened on."""
        if self._acceptor is None:
            raise RuntimeError("the server does not listen")
        return self._acceptor.get_port()

    @property
    def host_key_line(self) -> str:
        """The host's public key in OpenSSH's form."""
        return self.host_key.export_public_key().decode("ascii").strip()

    @property
    def fingerprint(self) -> str:
        return self.host_key.get_fingerprint()

    async def __aenter__(self) -> SshServer:
        self._acceptor = await asyncssh.listen(
            self.options.host,
            self.options.port,
            server_factory=lambda: _Connection(self),
            server_host_keys=[self.host_key],
            process_factory=self._process,
            encoding=None,
            allow_pty=False,
            line_editor=False,
            agent_forwarding=False,
            x11_forwarding=False,
            config=[],
            reuse_address=True,
            login_timeout=30,
        )
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._acceptor is not None:
            self._acceptor.close()
        for task in self._timers:
            task.cancel()
        self.disconnect_all()
        if self._acceptor is not None:
            await self._acceptor.wait_closed()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def disconnect_all(self) -> None:
        """Cut every connection without a word."""
        for connection in tuple(self._connections):
            connection.abort()

    def allows(self, user: str, key: asyncssh.SSHKey) -> bool:
        return (not self.options.users or user in self.options.users) and key.public_data in self._keys

    def welcome(self, connection: asyncssh.SSHServerConnection) -> bool:
        """Count a connection in, or turn it away."""
        limit = self.sessions.appliance.options.behaviour.max_sessions
        if self.sessions.faults.refuse_connections or len(self._connections) >= limit:
            return False
        self._connections.add(connection)
        return True

    def farewell(self, connection: asyncssh.SSHServerConnection) -> None:
        self._connections.discard(connection)

    async def _process(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        line = process.command
        connection = process.get_extra_info("connection")
        if line is None:
            process.stdout.write(b"only exec is simulated\r\n")
            process.exit(0)
            return
        user = str(process.get_extra_info("username"))
        delay = self._latency.sample()
        await asyncio.sleep(delay / 2)
        loop = asyncio.get_running_loop()
        attempt = await loop.run_in_executor(self._threads, lambda: self.sessions.attempt(line, user=user))
        self._schedule_due()
        await asyncio.sleep(delay / 2)
        await self._answer(process, connection, attempt)

    async def _answer(
        self, process: asyncssh.SSHServerProcess[bytes], connection: asyncssh.SSHServerConnection, attempt: Attempt
    ) -> None:
        if attempt.reply is not None:
            process.stdout.write(attempt.reply.encode())
            process.exit(self.sessions.appliance.options.behaviour.exit_status)
            return
        if attempt.fragment:
            process.stdout.write(attempt.fragment.encode())
            await process.stdout.drain()
        if attempt.stalled:
            await process.channel.wait_closed()
        elif attempt.rebooted:
            self.disconnect_all()
        else:
            connection.abort()

    def _schedule_due(self) -> None:
        """Wake up when a line whose session died has to run."""
        due = self.sessions.next_due()
        if due is not None:
            task = asyncio.get_running_loop().create_task(self._run_due(due))
            self._timers.add(task)
            task.add_done_callback(self._timers.discard)

    async def _run_due(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await asyncio.get_running_loop().run_in_executor(self._threads, self.sessions.run_due)


class _Connection(asyncssh.SSHServer):
    """One client's connection: who may come in."""

    def __init__(self, server: SshServer) -> None:
        self._server = server
        self._connection: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        if not self._server.welcome(conn):
            conn.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._connection is not None:
            self._server.farewell(self._connection)

    def begin_auth(self, username: str) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return self._server.allows(username, key)
