"""The SSH face of the simulated appliance, on asyncio: exec only, no PTY, an exit status that tells nothing.

Everything that a command means is in `sessions`, single connections are in `connection`; this module knows who is
connected, the host key and latency. It must run in an asyncio loop of its own (`serving` gives a Trio program one).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

import asyncssh

from rdscsi.simulator import host_key
from rdscsi.simulator.connection import Connection
from rdscsi.simulator.latency import PROFILES, Latency, LatencyProfile
from rdscsi.simulator.sessions import Attempt, Sessions

_WORKERS = 64
_LOGIN_SECONDS = 30
_CIPHERS = ("aes256-gcm@openssh.com", "aes128-gcm@openssh.com", "aes256-ctr", "aes192-ctr", "aes128-ctr")
"""What `/ip/ssh ciphers=auto` offers of what clients still want; RouterOS has no ChaCha20 (§5)."""
_REFUSED_KEYS = ("ecdsa-", "sk-")


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Where to listen and whom to let in. Port 0 takes a free one.

    `authorized_keys` open the door to `users`, or to any name without `users`; users of the appliance may also come in
    by the keys and passwords that the appliance itself knows.
    """

    host: str = "127.0.0.1"
    port: int = 0
    authorized_keys: Sequence[Path | str] = ()
    users: Collection[str] = ("admin",)
    host_key_type: str = "ssh-rsa"
    latency: LatencyProfile = field(default_factory=lambda: PROFILES["none"])
    seed: int = 0


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
        self._appliance = sessions.appliance
        self.host_key = host_key.load(self._appliance.state_dir, options.host_key_type)
        self._keys = _authorized(options.authorized_keys)
        self.latency = Latency(options.latency, seed=options.seed)
        self._connections: dict[asyncssh.SSHServerConnection, int] = {}
        self._numbers = 0
        self._threads = ThreadPoolExecutor(_WORKERS, thread_name_prefix="console")
        self._acceptor: asyncssh.SSHAcceptor | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        behaviour = self._appliance.options.behaviour
        self.max_channels = behaviour.max_channels
        self.answers_keepalive = behaviour.answer_keepalive

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

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._connections)

    async def __aenter__(self) -> SshServer:
        await self._listen(self.options.port, self.host_key)
        loop = asyncio.get_running_loop()
        self.sessions.on_reboot = lambda: _from_a_thread(loop, self.disconnect_all)
        self._appliance.on_new_host_key = lambda kind: _from_a_thread(loop, lambda: self._change_key_soon(kind))
        return self

    async def _listen(self, port: int, key: asyncssh.SSHKey) -> None:
        self._acceptor = await asyncssh.listen(
            self.options.host,
            port,
            server_factory=lambda: Connection(self),
            server_host_keys=[key],
            encryption_algs=_CIPHERS,
            encoding=None,
            allow_pty=False,
            line_editor=False,
            agent_forwarding=False,
            x11_forwarding=False,
            config=[],
            reuse_address=True,
            login_timeout=_LOGIN_SECONDS,
        )

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.sessions.on_reboot = _nothing
        self.sessions.close()
        for task in self._tasks:
            task.cancel()
        if self._acceptor is not None:
            self._acceptor.close()
        self.disconnect_all()
        if self._acceptor is not None:
            await self._acceptor.wait_closed()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def change_host_key(self, kind: str = "") -> None:
        """Show another host key from the next connection on, as after `/ip/ssh/regenerate-host-key`."""
        port = self.port
        fresh = host_key.regenerate(self._appliance.state_dir, kind or self.options.host_key_type)
        if self._acceptor is not None:
            self._acceptor.close()
            await self._acceptor.wait_closed()
        await self._listen(port, fresh)
        self.host_key = fresh

    def _change_key_soon(self, kind: str) -> None:
        self._keep(asyncio.get_running_loop().create_task(self.change_host_key(kind)))

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- connection.Gate -------------------------------------------------------------------------------------------

    def disconnect_all(self) -> None:
        """Cut every connection without a word."""
        for connection in tuple(self._connections):
            connection.abort()

    def welcome(self, connection: asyncssh.SSHServerConnection) -> bool:
        """Count a connection in, or turn it away."""
        full = len(self._connections) >= self._appliance.max_sessions()
        if self.sessions.faults.refuse_connections or full or self._appliance.is_booting():
            return False
        self._numbers += 1
        self._connections[connection] = self._numbers
        return True

    def farewell(self, connection: asyncssh.SSHServerConnection) -> None:
        number = self._connections.pop(connection, 0)
        login = self._appliance.logins.pop(number, None)
        if login is not None:
            self._appliance.log.note("system,info,account", f"user {login['name']} logged out via ssh")

    def greeting(self) -> bytes | None:
        faults = self.sessions.faults
        return None if faults.mute_connections else faults.banner

    def allows_key(self, user: str, key: asyncssh.SSHKey) -> bool:
        """A key of the server's own list for its users, or one that the appliance knows of this user."""
        if key.get_algorithm().startswith(_REFUSED_KEYS) or "ssh" not in self._appliance.accounts.policies(user):
            return False
        if key.public_data in self._keys and (not self.options.users or user in self.options.users):
            return True
        known = (asyncssh.import_public_key(text).public_data for text in self._appliance.accounts.keys(user))
        return key.public_data in set(known)

    def allows_password(self, user: str, password: str) -> bool:
        accounts = self._appliance.accounts
        if not accounts.knows(user) or "ssh" not in accounts.policies(user) or not self._appliance.passwords_allowed():
            return False
        return accounts.password_opens(user, password, beside_keys=self._appliance.passwords_beside_keys())

    def logged_in(self, connection: asyncssh.SSHServerConnection, user: str) -> None:
        number = self._connections.get(connection)
        if number is not None:
            address = str((connection.get_extra_info("peername") or ("?",))[0])
            when = datetime.fromtimestamp(self._appliance.clock.now(), UTC).strftime("%Y-%m-%d %H:%M:%S")
            self._appliance.logins[number] = {"when": when, "name": user, "address": address, "via": "ssh"}
            self._appliance.log.note("system,info,account", f"user {user} logged in from {address} via ssh")

    # -- commands --------------------------------------------------------------------------------------------------

    async def process(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        """Answer one exec request."""
        line = process.command
        if line is None:
            process.stdout.write(b"only exec is simulated\r\n")
            process.exit(0)
            return
        user = str(process.get_extra_info("username"))
        delay = self.latency.sample()
        if delay:
            await asyncio.sleep(delay / 2)
        loop = asyncio.get_running_loop()
        attempt = await loop.run_in_executor(self._threads, lambda: self.sessions.attempt(line, user=user))
        self._schedule_due()
        if delay:
            await asyncio.sleep(delay / 2)
        await self._answer(process, attempt)

    async def _answer(self, process: asyncssh.SSHServerProcess[bytes], attempt: Attempt) -> None:
        if attempt.reply is not None:
            process.stdout.write(attempt.reply.encode(errors="surrogateescape"))
            process.exit(self._appliance.options.behaviour.exit_status)
            return
        if attempt.fragment:
            process.stdout.write(attempt.fragment.encode(errors="surrogateescape"))
            await process.stdout.drain()
        if attempt.stalled:
            await process.channel.wait_closed()
        elif attempt.rebooted:
            self.disconnect_all()
        else:
            process.get_extra_info("connection").abort()

    def _schedule_due(self) -> None:
        """Wake up when a line whose session died has to run."""
        due = self.sessions.next_due()
        if due is not None:
            self._keep(asyncio.get_running_loop().create_task(self._run_due(due)))

    async def _run_due(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await asyncio.get_running_loop().run_in_executor(self._threads, self.sessions.run_due)


def _from_a_thread(loop: asyncio.AbstractEventLoop, act: Callable[[], None]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(act)


def _nothing() -> None:
    """The server is gone."""
