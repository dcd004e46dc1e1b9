"""Keeps the node half registered with kubelet, for as long as it serves.

The order is what kubelet needs: its socket appears only once the CSI socket answers NodeGetInfo, as kubelet calls that
at once. kubelet asks again by itself after its own restart. A registration that failed, or a socket that somebody
removed, is made anew after a pause, with a line in the log; the node half goes on serving all the while.
"""

import contextlib
import os
from dataclasses import dataclass, field
from pathlib import Path

import trio
from grpclib.client import Channel
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError

from rdscsi.config import Endpoint
from rdscsi.csi.loop import crossed
from rdscsi.csi.pb import pluginregistration as pb
from rdscsi.csi.pb.csi.v1 import NodeGetInfoRequest, NodeStub
from rdscsi.errors import SettingsInvalid
from rdscsi.names import DRIVER_NAME
from rdscsi.observe import logs
from rdscsi.registration.service import CSI_VERSIONS, PLUGIN_TYPE, open_service

CALL_SECONDS = 5.0
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
LOOK_SECONDS = 5.0
"""How often the socket is looked at: nobody tells when a file is removed."""

_NO_ANSWER = (GRPCError, ProtocolError, StreamTerminatedError, OSError, TimeoutError)

_log = logs.get_log()


@dataclass(frozen=True, slots=True)
class Registration:
    """Where kubelet looks for plugins, and by which path on the host it reaches the CSI socket."""

    directory: Path
    endpoint: Path

    @property
    def socket(self) -> Path:
        """The registration socket; kubelet takes any name that ends in .sock."""
        return self.directory / f"{DRIVER_NAME}-reg.sock"

    def info(self) -> pb.PluginInfo:
        """What kubelet is told."""
        return pb.PluginInfo(
            type=PLUGIN_TYPE, name=DRIVER_NAME, endpoint=str(self.endpoint), supported_versions=list(CSI_VERSIONS)
        )


@dataclass(slots=True)
class _Attempt:
    """One life of the socket: what kubelet said, and whether the driver was taken in during it."""

    failure: str = ""
    registered: bool = False
    failed: trio.Event = field(default_factory=trio.Event)

    def told(self, failure: str) -> None:
        if failure:
            self.failure = failure
            self.failed.set()
        else:
            self.registered = True
            _log.info("registration.done", driver=DRIVER_NAME)


async def keep_registered(registration: Registration, csi: Endpoint) -> None:
    """Keep the driver registered until cancelled; the registration socket is gone then."""
    pause = FIRST_PAUSE
    while True:
        await _wait_served(csi)
        attempt = _Attempt()
        try:
            await _serve(registration, attempt)
        except SettingsInvalid as error:
            attempt.failure = str(error)
        pause = FIRST_PAUSE if attempt.registered else pause
        _log.warning("registration.failed", reason=attempt.failure, again_in_seconds=pause)
        await trio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


async def _serve(registration: Registration, attempt: _Attempt) -> None:
    """Answer kubelet until it says that the registration failed, or the socket is no longer ours."""
    async with open_service(registration.socket, registration.info(), attempt.told):
        own = _identity(registration.socket)
        _log.info("registration.offered", socket=str(registration.socket), endpoint=str(registration.endpoint))
        while own is not None and _identity(registration.socket) == own:  # it may have been removed at once
            with trio.move_on_after(LOOK_SECONDS):
                await attempt.failed.wait()
                return
    attempt.failure = f"{registration.socket} was removed or replaced by somebody else"


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


async def _wait_served(csi: Endpoint) -> None:
    """Wait until NodeGetInfo is answered at the CSI endpoint. Endless: serving is somebody else's duty."""
    pause = FIRST_PAUSE
    while not await _answers(csi):
        _log.info("registration.waiting", reason="NodeGetInfo is not answered yet", endpoint=str(csi))
        await trio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


async def _answers(csi: Endpoint) -> bool:
    channel = Channel(path=str(csi.path)) if csi.path else Channel(csi.host, csi.port)
    with contextlib.closing(channel):
        try:
            await crossed(NodeStub(channel).node_get_info, NodeGetInfoRequest(), timeout=CALL_SECONDS)
        except _NO_ANSWER:
            return False
    return True
