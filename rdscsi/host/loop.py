"""The loop backend: exported files of a simulated RDS on this machine, as loop devices. All else is real.

The targets are in `rdscsi.host.exports`. The NQN that a loop device stands for is in its name in the kernel, and a mark
of the exports directory too, so that two sandboxes on one machine never see each other's. Unlike a real target's, a
withdrawn export does not cut a device that is connected.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import trio

from rdscsi import names
from rdscsi.errors import DeviceUnavailable, OutcomeUnknown
from rdscsi.host.calls import Calls
from rdscsi.host.devices import loops
from rdscsi.host.devices.loops import Loop
from rdscsi.host.exports import find_export, is_exported
from rdscsi.host.local import POLL_SECONDS, Deadlines, LocalHost, in_thread
from rdscsi.host.ports import LIVE, Connection, Controller, Device, Number
from rdscsi.host.process import Processes

_PREFIX = f"{names.NQN_PREFIX}:"


class LoopHost(LocalHost):
    """A host whose devices are loop devices."""

    def __init__(self, exports: Path, *, processes: Processes, calls: Calls, deadlines: Deadlines) -> None:
        super().__init__(processes=processes, calls=calls, deadlines=deadlines)
        self._exports = exports
        self._mark = names.checksum("loop", str(exports.resolve()), length=8)

    @property
    def backend(self) -> str:
        """See Host."""
        return "loop"

    async def connect(self, connection: Connection) -> Device:
        """See Host."""
        found = await self.find_device(connection.subnqn)
        if found is not None:
            return found
        return await in_thread(partial(self._attach, connection.subnqn))

    async def find_device(self, subnqn: str) -> Device | None:
        """See Host."""
        loop = await self._find(subnqn)
        return None if loop is None else _device(subnqn, loop)

    async def connected(self, nqn_prefix: str) -> Mapping[str, tuple[Number, ...]]:
        """See Host."""
        found = await in_thread(lambda: {self._subnqn(loop): (loop.number,) for loop in loops.loops()})
        return {subnqn: numbers for subnqn, numbers in found.items() if subnqn and subnqn.startswith(nqn_prefix)}

    async def controllers(self, subnqn: str) -> tuple[Controller, ...]:
        """See Host. A loop device is never anything but live."""
        return () if await self._find(subnqn) is None else (Controller(None, "", LIVE),)

    async def multipath(self) -> bool:
        """See Host."""
        await trio.lowlevel.checkpoint()
        return False

    async def offers(self, connection: Connection) -> bool:
        """See Host."""
        return await in_thread(partial(is_exported, self._exports, connection.subnqn))

    async def disconnect(self, subnqn: str) -> None:
        """See Host."""
        with trio.move_on_after(self._deadlines.connect):
            while (loop := await self._find(subnqn)) is not None:
                await in_thread(partial(loops.detach, loop))
                if await self._find(subnqn) is None:
                    return
                await trio.sleep(POLL_SECONDS)
            return
        raise OutcomeUnknown(f"{subnqn}: its loop device is detached once its last user closes it, which has not")

    async def wait_size(self, device: Device, size_bytes: int) -> Device:
        """See Host."""
        now: Device | None = None
        with trio.move_on_after(self._deadlines.connect):
            while True:
                loop = await self._find(device.subnqn)
                if loop is None:
                    raise DeviceUnavailable(f"{device.path}: no longer connected")
                await in_thread(partial(loops.take_in_size, loop))
                now = await self.find_device(device.subnqn)
                if now is not None and now.size_bytes >= size_bytes:
                    return now
                await trio.sleep(POLL_SECONDS)
        seen = "gone" if now is None else f"{now.size_bytes} bytes large"
        raise DeviceUnavailable(f"{device.path}: {seen}, not yet {size_bytes}")

    async def _find(self, subnqn: str) -> Loop | None:
        def look() -> Loop | None:
            return next((loop for loop in loops.loops() if self._subnqn(loop) == subnqn), None)

        return await in_thread(look)

    def _attach(self, subnqn: str) -> Device:
        file = find_export(self._exports, subnqn)
        if file is None:
            raise DeviceUnavailable(f"{subnqn}: not exported by the simulated RDS ({self._exports})")
        return _device(subnqn, loops.attach(file, f"{subnqn.removeprefix(_PREFIX)}@{self._mark}"))

    def _subnqn(self, loop: Loop) -> str | None:
        """The NQN that a loop device of ours stands for."""
        own, separator, mark = loop.name.rpartition("@")
        return f"{_PREFIX}{own}" if separator and mark == self._mark else None


def _device(subnqn: str, loop: Loop) -> Device:
    identity = f"file {loop.inode[0]}:{loop.inode[1]}"
    return Device(subnqn, loop.path, loop.number, loop.size_bytes, identity)
