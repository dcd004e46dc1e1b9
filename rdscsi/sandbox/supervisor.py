"""The sandbox: a simulated RDS and the driver, each in a process of its own, kept running until a signal.

Order is by nesting: simulated RDS, controller, node, then whoever uses them. Teardown is the reverse, and what is left
in the kernel goes before the simulated RDS does. Processes are in `children`, that removal in `remains`.
"""

import contextlib
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import trio

from rdscsi.config import Endpoint
from rdscsi.errors import DriverError
from rdscsi.host.process import Processes
from rdscsi.host.select import try_loop_devices
from rdscsi.sandbox import keys, readiness, remains, settings
from rdscsi.sandbox.children import Child, Process, leashed, running
from rdscsi.sandbox.layout import Layout, open_layout
from rdscsi.sandbox.record import Record, Ssh
from rdscsi.sandbox.settings import Options

START_SECONDS = 60.0
CLEAR_SECONDS = 60.0
DRIVER_GRACE = 15.0
SIMULATOR_GRACE = 5.0
LOCALHOST = "127.0.0.1"

SIMULATOR, CONTROLLER, NODE, DRIVER = "simulator", "controller", "node", "driver"

Tell = Callable[[str], None]


class SandboxFailed(DriverError):
    """The sandbox did not become ready, or could not be removed wholly."""


@dataclass(slots=True)
class Sandbox:
    """A running sandbox."""

    layout: Layout
    record: Record
    processes: dict[str, Process]
    ready: trio.Event = field(default_factory=trio.Event)

    def kill(self, name: str) -> None:
        """Kill a process of the sandbox (SIGKILL). It is started again."""
        self.processes[name].send(signal.SIGKILL)

    async def wait_usable(self) -> None:
        """Wait until both halves can be used. Bounded by the caller."""
        await readiness.wait_controller(self.record.endpoints[CONTROLLER])
        await readiness.wait_node(self.record.endpoints[NODE])

    def note(self, names: tuple[str, ...], process: Process) -> None:
        """Take in a newly started process; once the sandbox is ready its file follows."""
        for name in names:
            self.processes[name] = process
            self.record.processes[name] = process.pid
        if self.ready.is_set():
            self.record.write()


@contextlib.asynccontextmanager
async def open_sandbox(
    options: Options, *, tell: Tell, processes: dict[str, Process] | None = None
) -> AsyncIterator[Sandbox]:
    """Start a sandbox: ready inside the block, gone after it but for its state directory.

    `tell` hears of restarts, in words; `processes` is filled from the first one on. Needs an open trio-asyncio loop.
    Raises SettingsInvalid, ChildFailed or SandboxFailed, in exception groups.
    """
    options = await _with_host_backend(options, tell)
    with open_layout(options.state_dir) as layout:
        keys.ensure_key_pair(layout.client_key, layout.client_public_key)
        sandbox = Sandbox(layout, _record(options, layout), {} if processes is None else processes)
        try:
            async with contextlib.AsyncExitStack() as stack:
                await _start(options, sandbox, stack, tell)
                yield sandbox
        finally:
            layout.record.unlink(missing_ok=True)
            for endpoint in (options.endpoint, options.controller_endpoint):
                if endpoint and endpoint.path:
                    endpoint.path.unlink(missing_ok=True)


async def _with_host_backend(options: Options, tell: Tell) -> Options:
    """Find out now whether loop devices work, so that the sandbox can tell which backend its node has."""
    if options.host_backend != "auto":
        return options
    refused = await try_loop_devices(Processes())
    if refused:
        tell(f"loop devices do not work here, the kernel is simulated: {refused}")
    return replace(options, host_backend="simulated" if refused else "loop")


async def _start(options: Options, sandbox: Sandbox, stack: contextlib.AsyncExitStack, tell: Tell) -> None:
    async def keep(child: Child, names: tuple[str, ...]) -> None:
        def started(process: Process) -> None:
            sandbox.note(names, process)

        await stack.enter_async_context(running(child, started=started, died=tell, settled=sandbox.ready))

    assert sandbox.record.ssh is not None
    await keep(_simulator(options, sandbox), (SIMULATOR,))
    stack.push_async_callback(_clear, options.state_dir)
    await _ready(sandbox, partial(readiness.wait_appliance, sandbox.record.ssh))
    for child, names in _driver(options, sandbox):
        await keep(child, names)
    await _ready(sandbox, sandbox.wait_usable)
    sandbox.ready.set()
    sandbox.record.write()


async def _ready(sandbox: Sandbox, wait: Callable[[], Awaitable[None]]) -> None:
    with trio.move_on_after(START_SECONDS):
        await wait()
        return
    raise SandboxFailed(f"not ready within {START_SECONDS:g} s; see {', '.join(sandbox.record.logs.values())}")


async def _clear(state_dir: Path) -> None:
    """Remove what the driver left in the kernel; it is not running any more."""
    # Shielded: without it an error in a child would leave mounts and loop devices behind.
    with trio.move_on_after(CLEAR_SECONDS, shield=True):
        if left := await remains.clear(state_dir):
            raise SandboxFailed(f"could not be removed: {', '.join(left)}")


def _record(options: Options, layout: Layout) -> Record:
    controller_endpoint = options.controller_endpoint or options.endpoint
    names = (CONTROLLER, NODE) if options.controller_endpoint else (DRIVER, DRIVER)
    ssh = Ssh(LOCALHOST, _free_port(), settings.USER, str(layout.client_key), str(layout.host_key))
    return Record(
        path=layout.record,
        endpoints={CONTROLLER: str(controller_endpoint), NODE: str(options.endpoint)},
        journals=dict(zip((CONTROLLER, NODE), map(str, layout.journals(*names)), strict=True)),
        logs={name: str(layout.log(file)) for name, file in zip((CONTROLLER, NODE), names, strict=True)}
        | {SIMULATOR: str(layout.log(SIMULATOR))},
        host_backend=options.host_backend,
        ssh=ssh,
    )


def _simulator(options: Options, sandbox: Sandbox) -> Child:
    assert sandbox.record.ssh is not None
    arguments = settings.simulator_arguments(options, sandbox.layout, sandbox.record.ssh)
    return Child(SIMULATOR, leashed(*arguments), sandbox.layout.log(SIMULATOR), SIMULATOR_GRACE)


def _driver(options: Options, sandbox: Sandbox) -> list[tuple[Child, tuple[str, ...]]]:
    """The processes of the driver, and the halves that each serves."""
    layout, ssh = sandbox.layout, sandbox.record.ssh
    assert ssh is not None
    controller, node = settings.controller(layout, ssh), settings.node(layout, options.host_backend)
    if options.controller_endpoint is None:
        return [(_child(options, layout, DRIVER, options.endpoint, controller | node), (CONTROLLER, NODE))]
    return [
        (_child(options, layout, CONTROLLER, options.controller_endpoint, controller), (CONTROLLER,)),
        (_child(options, layout, NODE, options.endpoint, node), (NODE,)),
    ]


def _child(options: Options, layout: Layout, name: str, endpoint: Endpoint, own: dict[str, object]) -> Child:
    path = layout.settings(name)
    settings.write(path, settings.process(layout, name, endpoint) | own | dict(options.overrides))
    return Child(name, leashed(name, "--config", str(path)), layout.log(name), DRIVER_GRACE)


def _free_port() -> int:
    """A TCP port that nobody uses now; the simulated RDS keeps it over its restarts."""
    with socket.socket() as listener:
        listener.bind((LOCALHOST, 0))
        port: int = listener.getsockname()[1]
        return port
