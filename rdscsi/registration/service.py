"""The two RPCs of kubelet's plugin registration (pluginregistration/v1), on a socket of their own."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import trio
from grpclib.const import Status
from grpclib.encoding.base import CodecBase
from grpclib.exceptions import GRPCError

from rdscsi.csi.connections import Connections
from rdscsi.csi.drain import InFlight
from rdscsi.csi.loop import crossed
from rdscsi.csi.pb import pluginregistration as pb
from rdscsi.csi.unix_socket import open_unix_socket

PLUGIN_TYPE = "CSIPlugin"
CSI_VERSIONS = ("1.0.0",)
"""What kubelet compares: the highest of the 1.x line that it asks for is 1.0.0, whatever the specification's minor."""

SOCKET_MODE = 0o600
"""kubelet is root on the host, and so is the node half."""


class Answers(pb.RegistrationBase):
    """Answers kubelet; `told` hears what came of a registration: empty, or why it failed."""

    def __init__(self, info: pb.PluginInfo, told: Callable[[str], None]) -> None:
        self._info = info
        self._told = told

    async def get_info(self, message: pb.InfoRequest) -> pb.PluginInfo:
        """Say who this is."""
        return self._info

    async def notify_registration_status(self, message: pb.RegistrationStatus) -> pb.RegistrationStatusResponse:
        """Take in what came of it."""
        self._told("" if message.plugin_registered else message.error or "kubelet gave no reason")
        return pb.RegistrationStatusResponse()


class PlainCodec(CodecBase):
    """grpclib's codec for betterproto2 messages."""

    __content_subtype__ = "proto"

    def encode(self, message: object, message_type: Any) -> bytes:  # Any: grpclib's own signature
        """Return the wire form."""
        return bytes(cast("Any", message))

    def decode(self, data: bytes, message_type: Any) -> object:
        """Return the message. Raises GRPCError (INVALID_ARGUMENT) for bytes that are not one."""
        try:
            return message_type.parse(data)
        except (ValueError, EOFError) as error:
            raise GRPCError(Status.INVALID_ARGUMENT, "malformed request") from error


@asynccontextmanager
async def open_service(path: Path, info: pb.PluginInfo, told: Callable[[str], None]) -> AsyncIterator[None]:
    """Answer at the path while the body runs; afterwards the socket is gone, by which kubelet deregisters the driver.

    A stale socket is replaced. Raises SettingsInvalid when somebody else's is there or the directory cannot be used.
    """
    connections = Connections(Answers(info, told).__mapping__(), PlainCodec(), InFlight())
    async with open_unix_socket(path, mode=SOCKET_MODE, group="") as listener:
        try:
            await crossed(connections.listen, (listener,))
            yield
        finally:
            with trio.CancelScope(shield=True):  # else kubelet's connection would outlive the loop's use of it
                await crossed(connections.close)
