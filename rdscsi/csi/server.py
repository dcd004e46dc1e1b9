"""Door 1 to asyncio: serves CSI, health and reflection on one endpoint. Needs `rdscsi.csi.loop.open_loop` around it.

How it is put together: `listening` makes the sockets, `connections` speaks HTTP/2, `guard` stands before every method,
`rpc` carries a call over to Trio, `identity`, `controller` and `node` ask the ports. `drain` brings it to an end.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import trio
from grpclib.health.v1 import health_pb2
from grpclib.reflection.service import ServerReflection

from rdscsi.config import Endpoint, ProcessSettings
from rdscsi.csi.codec import StrictCodec
from rdscsi.csi.connections import Connections
from rdscsi.csi.controller import Controller
from rdscsi.csi.drain import InFlight
from rdscsi.csi.guard import Guard
from rdscsi.csi.health import Health
from rdscsi.csi.identity import Identity, ready
from rdscsi.csi.listening import open_listening
from rdscsi.csi.loop import crossed
from rdscsi.csi.node import Node
from rdscsi.csi.ports import ControllerPort, NodePort
from rdscsi.csi.rpc import Calls
from rdscsi.csi.schema import Schema, schema
from rdscsi.csi.topology import Topology
from rdscsi.observe import logs

_log = logs.get_log()


@dataclass(frozen=True, slots=True)
class ServerStatistics:
    """The state of a moment."""

    connections: int
    calls: int
    draining: bool


class Server:
    """A server that runs. Made by `open_server`."""

    def __init__(self, endpoint: Endpoint, connections: Connections, in_flight: InFlight) -> None:
        self.endpoint = endpoint
        """Where it serves; a TCP port that was given as 0 is here the one that the system chose."""
        self._connections = connections
        self._in_flight = in_flight

    def statistics(self) -> ServerStatistics:
        """Return the state of this moment."""
        return ServerStatistics(self._connections.count, self._in_flight.calls, self._in_flight.draining)

    async def drain(self, grace_seconds: float) -> None:
        """Refuse new calls at once (UNAVAILABLE), let those that run finish, cut the rest short, close.

        A call that is cut short is answered UNAVAILABLE; the operation behind it is not touched (law 1). Every peer
        gets a GOAWAY. Returns when all connections are closed, some seconds after the grace period at the latest.
        """
        began, running = trio.current_time(), self._in_flight.calls
        cut_short = await self._in_flight.drain(grace_seconds)
        await crossed(self._connections.close)
        _log.info("edge.drained", seconds=trio.current_time() - began, calls=running, cut_short=cut_short)


@asynccontextmanager
async def open_server(
    settings: ProcessSettings, *, controller: ControllerPort | None = None, node: NodePort | None = None
) -> AsyncIterator[Server]:
    """Serve the halves that are given while the body runs, and Identity in any case.

    Leaving the body without `Server.drain` ends it at once: calls are cut short, connections closed. The socket file
    goes too, unless somebody else's is there by now. Raises SettingsInvalid when the endpoint cannot be used.
    """
    in_flight, contract = InFlight(), schema()
    calls = Calls(in_flight=in_flight, schema=contract)
    services = _services(calls, in_flight, Topology(settings.topology), controller, node)
    services = ServerReflection.extend(services, pool=_reflected(contract).pool)
    handlers = Guard(in_flight, settings.max_receive_bytes).handlers(services)
    connections = Connections(handlers, StrictCodec(contract), in_flight)
    async with open_listening(settings.endpoint, mode=settings.socket_mode, group=settings.socket_group) as listening:
        server = Server(listening.endpoint, connections, in_flight)
        try:
            await crossed(connections.listen, listening.sockets)
            _log.info("edge.serving", endpoint=str(listening.endpoint))
            yield server
        finally:
            # Without the shield, a cancelled body would leave calls behind that use what is being closed around us.
            with trio.CancelScope(shield=True):
                await server.drain(0)


def _services(
    calls: Calls, in_flight: InFlight, topology: Topology, controller: ControllerPort | None, node: NodePort | None
) -> list[Any]:  # Any: what grpclib asks of a service is its __mapping__
    services: list[Any] = [Identity(calls, topology, controller=controller, node=node)]
    serving = {"": (controller, node), "csi.v1.Identity": (controller, node)}
    if controller is not None:
        services.append(Controller(calls, controller, topology))
        serving["csi.v1.Controller"] = (controller, None)
    if node is not None:
        services.append(Node(calls, node, topology))
        serving["csi.v1.Node"] = (None, node)
    services.append(Health(_checks(serving, in_flight)))
    return services


def _checks(
    serving: Mapping[str, tuple[ControllerPort | None, NodePort | None]], in_flight: InFlight
) -> dict[str, Callable[[], bool]]:
    def check(halves: tuple[ControllerPort | None, NodePort | None]) -> Callable[[], bool]:
        return lambda: not in_flight.draining and ready(halves)

    return {service: check(halves) for service, halves in serving.items()}


def _reflected(contract: Schema) -> Schema:
    """Make the services beside CSI's known, so that reflection can describe them too."""
    contract.add(health_pb2.DESCRIPTOR.serialized_pb)
    return contract
