"""The composition root: puts the halves together from settings, serves them, and brings them to an end in order.

The order is by nesting: the asyncio loop around everything, then journal, way to the appliance and operations of each
half, the server innermost. A signal drains from the inside out; whatever is cut short then leaves an open intent, which
the next start takes up. Modules of a half are imported only where it is served: a node never loads the SSH client.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import trio

from rdscsi.config import Backends, NodeSettings, ProcessSettings
from rdscsi.csi.identity import ready
from rdscsi.csi.loop import crossed, open_loop
from rdscsi.csi.ports import ControllerPort, NodePort
from rdscsi.csi.server import Server, open_server
from rdscsi.errors import DriverError, SettingsInvalid
from rdscsi.journal import open_journal
from rdscsi.observe import logs
from rdscsi.operations import Operations

_log = logs.get_log()

_EXIT_AT_ONCE = 1


@dataclass(slots=True)
class _Serving:
    """The halves that this process serves, and the operations behind them."""

    controller: ControllerPort | None = None
    node: NodePort | None = None
    operations: list[Operations] = field(default_factory=list)


def run_controller(process: ProcessSettings, backends: Backends) -> int:
    """Serve the controller half until a signal; the exit status. Raises SettingsInvalid and other DriverErrors."""
    return _run(process, backends, None)


def run_node(process: ProcessSettings, node: NodeSettings) -> int:
    """Serve the node half until a signal; the exit status. Raises SettingsInvalid and other DriverErrors."""
    return _run(process, (), node)


def run_driver(process: ProcessSettings, backends: Backends, node: NodeSettings) -> int:
    """Serve both halves in one process until a signal; the exit status. Raises as `run_controller`."""
    return _run(process, backends, node)


def _run(process: ProcessSettings, backends: Backends, node: NodeSettings | None) -> int:
    logs.configure(process.log_level, "json" if process.log_format == "json" else "text")
    try:
        trio.run(_serve, process, backends, node)
    except BaseExceptionGroup as group:
        told = _told(group)
        if told is None:
            raise
        raise told from None
    return 0


def _told(group: BaseException) -> BaseException | None:
    """Pick the error that the process ends with: wrong settings before all, then what was raised on purpose."""
    leaves = list(_leaves(group))
    raised = [leaf for kind in (SettingsInvalid, DriverError) for leaf in leaves if isinstance(leaf, kind)]
    return next(iter(raised), None)


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _leaves(one)
    else:
        yield error


async def _serve(process: ProcessSettings, backends: Backends, node: NodeSettings | None) -> None:
    serving = _Serving()
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with open_loop(), AsyncExitStack() as stack:
            if backends:
                await stack.enter_async_context(_open_controller(process, backends, serving))
            if node is not None:
                await stack.enter_async_context(_open_node(process, node, serving, shared=bool(backends)))
            server = await stack.enter_async_context(
                open_server(process, controller=serving.controller, node=serving.node)
            )
            # Known to the outside last, and gone from there first: kubelet must not find a driver that drains.
            async with _open_faces(process, node, serving, server):
                name = await _wait_signal(signals)
            await _drained(name, signals, server, serving, process.drain_seconds)


@asynccontextmanager
async def _open_faces(
    process: ProcessSettings, node: NodeSettings | None, serving: _Serving, server: Server
) -> AsyncIterator[None]:
    """Answer health checks and keep the node half registered with kubelet, where the settings ask for it."""
    async with AsyncExitStack() as stack:
        if process.health_endpoint is not None:
            from rdscsi.health import Checks, open_health

            checks = Checks(alive=_turns, ready=lambda: ready((serving.controller, serving.node)))
            await stack.enter_async_context(open_health(process.health_endpoint, checks))
        nursery = await stack.enter_async_context(trio.open_nursery())
        if node is not None and node.registration_dir is not None and node.kubelet_endpoint is not None:
            from rdscsi.registration import Registration, keep_registered

            registration = Registration(node.registration_dir, node.kubelet_endpoint)
            nursery.start_soon(keep_registered, registration, server.endpoint)
        yield
        nursery.cancel_scope.cancel()


async def _turns() -> None:
    """Go round the asyncio loop once; Trio's is the one that runs this."""
    await crossed(asyncio.sleep, 0)


@asynccontextmanager
async def _open_controller(process: ProcessSettings, backends: Backends, serving: _Serving) -> AsyncIterator[None]:
    """Open each backend with a journal, a way to its appliance and operations of its own."""
    from rdscsi.controller.fleet import Fleet
    from rdscsi.controller.opening import contents_of, open_controller, open_leading

    async with AsyncExitStack() as stack:
        paths = [process.journal, *(process.backend_journal(one.backend) for one in backends[1:])]
        journals = [await stack.enter_async_context(open_journal(path)) for path in paths]
        # Given back last, when nothing is sent any more.
        lease = await stack.enter_async_context(open_leading(process.lease, journals[0]))
        nursery = await stack.enter_async_context(trio.open_nursery())
        controllers = []
        for settings, journal in zip(backends, journals, strict=True):
            operations = Operations(nursery, deadline=settings.operation_deadline)
            opened = open_controller(
                settings, cluster_id=process.cluster_id, journal=journal, operations=operations, lease=lease
            )
            controllers.append(await stack.enter_async_context(opened))
            serving.operations.append(operations)
        fleet = Fleet(controllers)
        for settings, controller in zip(backends, controllers, strict=True):
            if (contents := contents_of(settings, controller)) is not None:
                nursery.start_soon(contents.keep)
        nursery.start_soon(fleet.keep)
        serving.controller = fleet
        yield
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def _open_node(
    process: ProcessSettings, settings: NodeSettings, serving: _Serving, *, shared: bool
) -> AsyncIterator[None]:
    from rdscsi.node.node import open_node

    path = process.node_journal if shared else process.journal
    async with open_journal(path) as journal, trio.open_nursery() as nursery:
        operations = Operations(nursery, deadline=settings.node_operation_deadline)
        opened = open_node(settings, cluster_id=process.cluster_id, journal=journal, operations=operations)
        async with opened as node:
            nursery.start_soon(node.recover)
            serving.node = node
            serving.operations.append(operations)
            yield
            nursery.cancel_scope.cancel()


async def _wait_signal(signals: AsyncIterator[int]) -> str:
    async for number in signals:
        return signal.Signals(number).name
    raise AssertionError("a signal receiver never ends by itself")


async def _drained(
    name: str, signals: AsyncIterator[int], server: Server, serving: _Serving, grace_seconds: float
) -> None:
    """Let calls finish, then operations, within one grace period; a second signal ends the process at once."""
    _log.info("draining", signal=name, grace_seconds=grace_seconds)
    deadline = trio.current_time() + grace_seconds
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_end_at_once, signals)
        await server.drain(grace_seconds)
        for operations in serving.operations:
            await operations.drain(max(0.0, deadline - trio.current_time()))
        nursery.cancel_scope.cancel()
    _log.info("drained")


async def _end_at_once(signals: AsyncIterator[int]) -> None:
    """Nothing is tidied up: that is what the journal is for."""
    name = await _wait_signal(signals)
    _log.warning("ending at once", signal=name)
    os._exit(_EXIT_AT_ONCE)
