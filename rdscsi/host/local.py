"""What the kernel and loop backends share: everything but how a device is connected.

An effect on a device is done while the device is held open and after it was seen to be the one that is meant, so that
a name or number that the kernel has handed out anew cannot lead it to another volume's disk.
"""

import errno
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypedDict, TypeVar, cast

import trio

from rdscsi.errors import DeviceUnavailable, OutcomeUnknown
from rdscsi.host.calls import CALL_SECONDS, Calls, Make, Plain, Reply
from rdscsi.host.content import Identification, checked_stamp, judge, stamp_places
from rdscsi.host.devices.holders import find_holders
from rdscsi.host.devices.loops import loops
from rdscsi.host.filesystems import Filesystems
from rdscsi.host.mounts import Mounts
from rdscsi.host.paths import Paths
from rdscsi.host.ports import Content, Device, Mount, Number
from rdscsi.host.process import Processes

T = TypeVar("T")

PROBE_SECONDS = 30.0
"""The deadline of reading or writing a few MiB of a device."""

_holding: "ContextVar[tuple[LocalHost, Device, Make] | None]" = ContextVar("holding", default=None)
"""The device that this task holds, and the way to make calls by the process that does."""

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

POLL_SECONDS = 0.2
"""How often sysfs is looked at while waiting, events or not."""


class _Probed(TypedDict):
    """What the callee's `probe` answers."""

    blank: bool
    stamped: bool
    found: bool
    ambivalent: bool
    tags: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """In seconds: until a device is there or gone; of a mount or unmount; of making, checking or growing."""

    connect: float = 30.0
    mount: float = 60.0
    mkfs: float = 300.0


class LocalHost(Paths, ABC):
    """A `rdscsi.host.ports.Host` on this machine; see there for what each method promises."""

    def __init__(
        self, *, processes: Processes, calls: Calls, deadlines: Deadlines, sys_root: Path = Path("/sys")
    ) -> None:
        super().__init__(calls)
        self._deadlines = deadlines
        self._sys_root = sys_root
        self._mounts = Mounts(processes, deadline=deadlines.mount)
        self._filesystems = Filesystems(processes, deadline=deadlines.mkfs)

    @property
    @abstractmethod
    def backend(self) -> str:
        """See Host."""

    @abstractmethod
    async def find_device(self, subnqn: str) -> Device | None:
        """See Host."""

    async def boot_id(self) -> str:
        """See Host."""
        return await in_thread(lambda: BOOT_ID.read_text().strip())

    # --- devices

    async def is_present(self, number: Number) -> bool:
        """See Host."""
        await trio.lowlevel.checkpoint()
        return (self._sys_root / "dev" / "block" / f"{number[0]}:{number[1]}").exists()

    async def holders(self, device: Device) -> tuple[str, ...]:
        """See Host."""
        mounts = await self.mounts()
        found = await in_thread(partial(self._find_holders, device, mounts))
        seen = any(mount.number == device.number for mount in mounts)
        if not found and not seen and not await self._free(device):
            found = ["something that cannot be seen from here, such as a mount in another mount namespace"]
        return tuple(found)

    def _find_holders(self, device: Device, mounts: Sequence[Mount]) -> list[str]:
        own = (loop for loop in loops(self._sys_root / "block") if loop.number != device.number)
        return find_holders(device.number, mounts=mounts, loops=own, sys_root=self._sys_root)

    async def _free(self, device: Device) -> bool:
        return cast("bool", await _read(self._calls.make, device, "free"))

    # --- content

    @asynccontextmanager
    async def holding(self, device: Device) -> AsyncIterator[None]:
        """See Host."""
        async with self._held(device) as make:
            token = _holding.set((self, device, make))
            try:
                yield
            finally:
                _holding.reset(token)

    async def probe(self, device: Device, stamp: str) -> Content:
        """See Host."""
        places = stamp_places(device.size_bytes)
        async with self._held(device) as make:
            read = await _read(make, device, "probe", device.size_bytes, places, checked_stamp(stamp))
        found = cast("_Probed", read)
        identified = Identification(found["found"], found["ambivalent"], found["tags"])
        return judge(blank=found["blank"], stamped=found["stamped"], identified=identified)

    async def write_stamp(self, device: Device, stamp: str) -> None:
        """See Host."""
        await self._write_at_places(device, "write_stamp", stamp)

    async def clear_stamp(self, device: Device, stamp: str) -> None:
        """See Host."""
        await self._write_at_places(device, "clear_stamp", stamp)

    async def make_filesystem(
        self, device: Device, fs_type: str, *, erase_unfinished: bool, options: Sequence[str] = ()
    ) -> None:
        """See Host."""
        async with self._held(device):
            await self._filesystems.make(device.path, fs_type, options, force=erase_unfinished)

    async def check_filesystem(self, device: Device, fs_type: str) -> None:
        """See Host."""
        async with self._held(device):
            await self._filesystems.check(device.path, fs_type)

    async def grow_filesystem(self, device: Device, fs_type: str, mount_point: str) -> None:
        """See Host."""
        async with self._held(device):
            await self._filesystems.grow(device.path, fs_type, mount_point)

    # --- mounts

    async def mounts(self) -> Sequence[Mount]:
        """See Host."""
        return await self._mounts.listed()

    async def mount(self, device: Device, mount_point: str, fs_type: str, options: Sequence[str]) -> None:
        """See Host."""
        async with self._held(device):
            await self._mounts.mount(device.path, mount_point, fs_type, options)

    async def bind(self, source: str, mount_point: str, *, readonly: bool) -> None:
        """See Host."""
        await self._mounts.bind(source, mount_point, readonly=readonly)

    async def unmount(self, mount_point: str) -> None:
        """See Host."""
        await self._mounts.unmount(mount_point)

    # --- within

    @asynccontextmanager
    async def _held(self, device: Device) -> AsyncIterator[Make]:
        """Keep the device from being replaced while the body runs. Raises DeviceUnavailable when it was already."""
        outer = _holding.get()
        if outer is not None and outer[0] is self and outer[1] == device:
            yield outer[2]
            return
        try:
            async with self._calls.holding(device.path, device.number, deadline=PROBE_SECONDS) as make:
                now = await self.find_device(device.subnqn)
                if now is None or not same_device(device, now):
                    raise DeviceUnavailable(f"{device.path}: no longer the device of {device.subnqn}: now {now}")
                yield make
        except OSError as error:
            raise unavailable(device, error) from error

    async def _write_at_places(self, device: Device, name: str, stamp: str) -> None:
        places = stamp_places(device.size_bytes)
        async with self._held(device) as make:
            arguments = (device.path, *device.number, places, checked_stamp(stamp))
            try:
                await make(name, *arguments, deadline=PROBE_SECONDS)
            except OSError as error:
                if error.errno in (errno.EBUSY, errno.ENODEV, errno.ENOENT, errno.ENXIO):
                    raise unavailable(device, error) from error
                raise OutcomeUnknown(f"{device.path}: {name}: {error.strerror}") from error


async def _read(make: Make, device: Device, name: str, *arguments: Plain) -> Reply:
    try:
        return await make(name, device.path, *device.number, *arguments, deadline=PROBE_SECONDS)
    except OutcomeUnknown as error:  # nothing was to be changed
        raise DeviceUnavailable(str(error)) from error
    except OSError as error:
        raise unavailable(device, error) from error


def same_device(before: Device, now: Device) -> bool:
    """Tell whether this is the namespace that it was, under the name and number that it had, and not smaller."""
    return (before.path, before.number, before.identity) == (now.path, now.number, now.identity) and (
        now.size_bytes >= before.size_bytes
    )


def unavailable(device: Device, error: OSError) -> DeviceUnavailable:
    """Say that a device could not be read or opened."""
    reason = "somebody else has claimed it" if error.errno == errno.EBUSY else error.strerror
    return DeviceUnavailable(f"{device.path} ({device.subnqn}): {reason}")


async def in_thread(work: Callable[[], T]) -> T:
    """Run something synchronous and quick in a thread. Raises DeviceUnavailable by a deadline, and for OSError."""
    try:
        with trio.fail_after(CALL_SECONDS):
            return await trio.to_thread.run_sync(work, abandon_on_cancel=True)
    except trio.TooSlowError as error:
        raise DeviceUnavailable(f"the kernel did not answer within {CALL_SECONDS:g} s") from error
    except OSError as error:
        raise DeviceUnavailable(str(error)) from error
