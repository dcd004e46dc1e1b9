"""The health service of gRPC (grpc.health.v1): serving means that the half has started and the process does not drain.

Asyncio-flavoured throughout: it asks nobody that could wait.
"""

import asyncio
from collections.abc import Callable, Mapping

from grpclib.const import Status
from grpclib.exceptions import GRPCError
from grpclib.health.v1.health_grpc import HealthBase
from grpclib.health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpclib.server import Stream

_WATCH_SECONDS = 1.0
"""How often a watcher's service is looked at. Ready is asked for, it does not announce itself."""

_Asked = Stream[HealthCheckRequest, HealthCheckResponse]


class Health(HealthBase):
    """Tells of services by name; the empty name is the process as a whole."""

    def __init__(self, serving: Mapping[str, Callable[[], bool]]) -> None:
        self._serving = serving

    async def Check(self, stream: _Asked) -> None:  # noqa: N802 - grpclib's name
        """Answer once. NOT_FOUND for a service that is not here."""
        request = await stream.recv_message()
        assert request is not None  # the guard's word
        status = self._status(request.service)
        if status == HealthCheckResponse.SERVICE_UNKNOWN:
            raise GRPCError(Status.NOT_FOUND, f"service {request.service!r} is not served here")
        await stream.send_message(HealthCheckResponse(status=status))

    async def Watch(self, stream: _Asked) -> None:  # noqa: N802 - grpclib's name
        """Answer at once and after each change, until the caller goes."""
        request = await stream.recv_message()
        assert request is not None
        told = None
        while True:
            status = self._status(request.service)
            if status != told:
                await stream.send_message(HealthCheckResponse(status=status))
                told = status
            await asyncio.sleep(_WATCH_SECONDS)

    def _status(self, service: str) -> "HealthCheckResponse.ServingStatus.ValueType":
        serving = self._serving.get(service)
        if serving is None:
            return HealthCheckResponse.SERVICE_UNKNOWN
        return HealthCheckResponse.SERVING if serving() else HealthCheckResponse.NOT_SERVING
