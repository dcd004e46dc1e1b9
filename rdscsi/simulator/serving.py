"""The simulator inside another program: `running`, `open_simulator` and `serve_simulator` serve SSH in a thread.

The server has an asyncio loop in a thread of its own: nothing of the caller's Trio run, its clock included, is shared
with it, so it works under virtual time and without trio-asyncio.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import trio

from rdscsi.simulator import loops
from rdscsi.simulator.appliance import Appliance
from rdscsi.simulator.faults import Faults
from rdscsi.simulator.server import ServerOptions, SshServer
from rdscsi.simulator.sessions import Sessions

_START_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class RunningSimulator:
    """What a client needs to get in, and the strings to pull."""

    host: str
    port: int
    user: str
    host_key: str  # one line, OpenSSH's form
    fingerprint: str
    appliance: Appliance
    sessions: Sessions
    _thread: _ServerThread

    @property
    def faults(self) -> Faults:
        return self.sessions.faults

    def disconnect_all(self) -> None:
        """Cut every connection now."""
        self._thread.disconnect_all()


class _ServerThread(threading.Thread):
    """Runs the server's loop; `started` is set when it listens or has failed."""

    def __init__(self, sessions: Sessions, options: ServerOptions) -> None:
        super().__init__(name="simulator", daemon=True)
        self.started = threading.Event()
        self.failure: Exception | None = None
        self.server: SshServer | None = None
        self.port = 0
        self._sessions = sessions
        self._options = options
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None

    def run(self) -> None:
        try:
            loops.run(self._serve())
        except Exception as error:  # noqa: BLE001 - handed to the Trio side, which raises it
            self.failure = error
        finally:
            self.started.set()

    async def _serve(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        async with SshServer(self._sessions, self._options) as self.server:
            self.port = self.server.port
            self.started.set()
            await self._stopping.wait()

    def wait_ready(self) -> RunningSimulator:
        """Wait until it listens. Raises what listening raised, TimeoutError when it takes too long."""
        self.started.wait(_START_SECONDS)
        if self.failure is not None:
            raise self.failure
        if self.server is None or not self.port:
            raise TimeoutError("the simulator did not start listening")
        return RunningSimulator(
            host=self._options.host,
            port=self.port,
            user=next(iter(self._options.users), "admin"),
            host_key=self.server.host_key_line,
            fingerprint=self.server.fingerprint,
            appliance=self._sessions.appliance,
            sessions=self._sessions,
            _thread=self,
        )

    def disconnect_all(self) -> None:
        if self._loop is not None and self.server is not None:
            self._loop.call_soon_threadsafe(self.server.disconnect_all)

    def stop(self) -> None:
        if self._loop is not None and self._stopping is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stopping.set)


@contextmanager
def running(
    appliance: Appliance, options: ServerOptions, *, faults: Faults | None = None
) -> Iterator[RunningSimulator]:
    """Serve the appliance over SSH while the block runs, for programs without a loop of their own.

    Raises what listening raises. The appliance stays open; its owner closes it.
    """
    thread = _ServerThread(Sessions(appliance, faults), options)
    thread.start()
    try:
        yield thread.wait_ready()
    finally:
        thread.stop()
        thread.join(_START_SECONDS)


@asynccontextmanager
async def open_simulator(
    appliance: Appliance, options: ServerOptions, *, faults: Faults | None = None
) -> AsyncIterator[RunningSimulator]:
    """The same for Trio programs; nothing of it blocks the caller's loop."""
    thread = _ServerThread(Sessions(appliance, faults), options)
    thread.start()
    try:
        yield await trio.to_thread.run_sync(thread.wait_ready)
    finally:
        thread.stop()
        with trio.CancelScope(shield=True):  # a thread that is left behind would hold the port and the state
            await trio.to_thread.run_sync(thread.join, _START_SECONDS)


async def serve_simulator(
    appliance: Appliance,
    options: ServerOptions,
    *,
    faults: Faults | None = None,
    task_status: trio.TaskStatus[RunningSimulator] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled, for `await nursery.start(serve_simulator, appliance, options)`."""
    async with open_simulator(appliance, options, faults=faults) as simulator:
        task_status.started(simulator)
        await trio.sleep_forever()
