"""One SSH connection for a probe, on asyncio: exec, with everything that comes back, its status included.

The driver's own transport hides status and standard error, since they tell nothing; here they are what is asked for.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncssh

from rdscsi.probe.steps import Step
from rdscsi.probe.transcript import Exchange
from rdscsi.routeros.hostkeys import parse_pins

_CONNECT_SECONDS = 30.0


class CannotConnect(Exception):
    """The appliance cannot be reached or does not let us in. Nothing was sent."""


@dataclass(frozen=True, slots=True)
class Target:
    """Whom to probe. Without `host_key_file` whoever answers is believed."""

    host: str
    port: int
    user: str
    key_file: Path
    host_key_file: Path | None


class Channel:
    """Runs steps over a connection; one that breaks is made anew for the next step."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._connection: asyncssh.SSHClientConnection | None = None

    async def _connected(self) -> asyncssh.SSHClientConnection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await _connect(self._target)
        return self._connection

    async def run(self, step: Step) -> Exchange:
        """Send one line and take down what comes. Never raises for what the appliance does; raises CannotConnect."""
        connection = await self._connected()
        if step.times > 1:
            return await self._at_once(connection, step)
        began = time.perf_counter()
        output, stderr, status, trouble = "", "", None, ""
        try:
            async with asyncio.timeout(step.deadline):
                result = await connection.run(step.line, encoding=None)
            output, stderr, status = _text(result.stdout), _text(result.stderr), result.exit_status
        except TimeoutError:
            trouble = f"no answer in {step.deadline:.0f} s"
            self.drop()
        except (asyncssh.Error, OSError) as error:
            trouble = f"{type(error).__name__}: {error}"
            self.drop()
        if status is None and not trouble:
            trouble = "the session ended without an exit status"
        seconds = round(time.perf_counter() - began, 3)
        return Exchange(step.name, step.line, output, stderr, status, seconds, step.settles, trouble)

    async def _at_once(self, connection: asyncssh.SSHClientConnection, step: Step) -> Exchange:
        began = time.perf_counter()
        tasks = [asyncio.create_task(connection.run(step.line)) for _ in range(step.times)]
        done, waiting = await asyncio.wait(tasks, timeout=step.deadline)
        answered = sum(1 for task in done if task.exception() is None and task.result().exit_status is not None)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.drop()
        output = f"asked {step.times}, answered {answered}, failed {len(done) - answered}, hanging {len(waiting)}\n"
        seconds = round(time.perf_counter() - began, 3)
        return Exchange(step.name, step.line, output, "", 0, seconds, step.settles)

    def drop(self) -> None:
        """Let the connection go."""
        if self._connection is not None:
            self._connection.abort()
            self._connection = None


@asynccontextmanager
async def open_channel(target: Target) -> AsyncIterator[Channel]:
    """Connect at the first step. Raises CannotConnect when that fails."""
    channel = Channel(target)
    try:
        yield channel
    finally:
        channel.drop()


async def _connect(target: Target) -> asyncssh.SSHClientConnection:
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            return await asyncssh.connect(
                target.host,
                target.port,
                username=target.user,
                client_keys=[str(target.key_file)],
                known_hosts=_trusted(target.host_key_file),
                config=None,
                agent_path=None,
            )
    except (asyncssh.Error, OSError, TimeoutError, ValueError) as error:
        raise CannotConnect(f"cannot connect to {target.host}:{target.port}: {error}") from error


def _trusted(path: Path | None) -> asyncssh.SSHKnownHosts | tuple[list[asyncssh.SSHKey], list[str], list[str]] | None:
    if path is None:
        return None
    pins = parse_pins(path.read_text(encoding="ascii", errors="replace"))
    if pins.known_hosts:
        return asyncssh.import_known_hosts("\n".join(pins.known_hosts))
    return [asyncssh.import_public_key(text) for text in pins.keys], [], []


def _text(data: object) -> str:
    if not isinstance(data, bytes):
        return ""
    return data.decode("utf-8", errors="backslashreplace").replace("\r\n", "\n")
