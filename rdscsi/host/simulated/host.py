"""The simulated backend's `Host`: it decides as a kernel would, on the state of `kernel` and the disks of `disk`.

Directories, files and the exports are real, so that a container orchestrator finds what it expects. `Trouble` is what
can be made to go wrong.
"""

import errno
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import trio

from rdscsi.errors import CommandFailed, DeviceUnavailable, NotPermittedNow, NotSupported, OutcomeUnknown
from rdscsi.host import callee
from rdscsi.host.content import judge
from rdscsi.host.exports import find_export, is_exported
from rdscsi.host.filesystems import NO_RESOURCE_CAPABILITY
from rdscsi.host.local import POLL_SECONDS, Deadlines, same_device
from rdscsi.host.paths import path_error, usage_of
from rdscsi.host.ports import LIVE, Connection, Content, Controller, Device, Mount, Number, PathKind, PathState
from rdscsi.host.simulated import disk
from rdscsi.host.simulated.disk import Filesystem
from rdscsi.host.simulated.kernel import Attached, Kernel
from rdscsi.model import Usage

_BLOCK = 4096


@dataclass(slots=True)
class Trouble:
    """What goes wrong. Subsystems by NQN, mounts and directories by path."""

    unreadable: set[str] = field(default_factory=set)
    connecting: set[str] = field(default_factory=set)
    held: dict[str, tuple[str, ...]] = field(default_factory=dict)
    busy: set[str] = field(default_factory=set)
    hung: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    nodev: set[str] = field(default_factory=set)
    controllers: dict[str, tuple[Controller, ...]] = field(default_factory=dict)
    multipath: bool = False
    unreachable: bool = False
    no_resource_capability: bool = False


class SimulatedHost:
    """A `rdscsi.host.ports.Host` that needs no rights and has no devices."""

    backend = "simulated"

    def __init__(self, exports: Path | None, kernel: Kernel, *, deadlines: Deadlines | None = None) -> None:
        self.kernel = kernel
        self.trouble = Trouble()
        self._exports = exports
        self._deadlines = deadlines or Deadlines()

    async def boot_id(self) -> str:
        """See Host."""
        await trio.lowlevel.checkpoint()
        return f"boot {self.kernel.boots}"

    # --- devices

    async def connect(self, connection: Connection) -> Device:
        """See Host."""
        found = await self.find_device(connection.subnqn)
        if found is not None:
            return found
        target = self._target(connection.subnqn)
        if target is None or self.trouble.unreachable:
            raise DeviceUnavailable(f"{connection.subnqn}: no portal offers it ({self._exports or 'no exports'})")
        minor = self.kernel.free_minor()
        attached = Attached(connection.subnqn, minor, str(target.resolve()), target.stat().st_size)
        self.kernel.attached[connection.subnqn] = attached
        self.kernel.save()
        return attached.device

    async def find_device(self, subnqn: str) -> Device | None:
        """See Host."""
        await trio.lowlevel.checkpoint()
        attached = self.kernel.attached.get(subnqn)
        if attached is not None and subnqn in self.trouble.connecting:
            raise DeviceUnavailable(f"{subnqn}: simulated connecting")
        return None if attached is None else attached.device

    async def connected(self, nqn_prefix: str) -> Mapping[str, tuple[Number, ...]]:
        """See Host."""
        await trio.lowlevel.checkpoint()
        attached = self.kernel.attached
        return {subnqn: (attached[subnqn].device.number,) for subnqn in attached if subnqn.startswith(nqn_prefix)}

    async def controllers(self, subnqn: str) -> tuple[Controller, ...]:
        """See Host."""
        await trio.lowlevel.checkpoint()
        if subnqn not in self.kernel.attached:
            return ()
        state = "connecting" if subnqn in self.trouble.connecting else LIVE
        return self.trouble.controllers.get(subnqn, (Controller(None, "", state),))

    async def multipath(self) -> bool:
        """See Host."""
        await trio.lowlevel.checkpoint()
        return self.trouble.multipath

    async def offers(self, connection: Connection) -> bool:
        """See Host."""
        await trio.lowlevel.checkpoint()
        if self.trouble.unreachable or self._exports is None:
            raise DeviceUnavailable(f"{connection.subnqn}: no portal answers")
        return is_exported(self._exports, connection.subnqn)

    async def is_present(self, number: Number) -> bool:
        """See Host."""
        await trio.lowlevel.checkpoint()
        return self.kernel.find_attached(number) is not None

    async def holders(self, device: Device) -> tuple[str, ...]:
        """See Host."""
        await trio.lowlevel.checkpoint()
        return self.trouble.held.get(device.subnqn, ())

    async def disconnect(self, subnqn: str) -> None:
        """See Host."""
        await trio.lowlevel.checkpoint()
        self.trouble.connecting.discard(subnqn)
        if self.kernel.attached.pop(subnqn, None) is not None:
            self.kernel.save()

    async def wait_size(self, device: Device, size_bytes: int) -> Device:
        """See Host."""
        attached = self._attached(device)
        with trio.move_on_after(self._deadlines.connect):
            while True:
                attached.take_in_size()
                self.kernel.save()
                await trio.sleep(0 if attached.size_bytes >= size_bytes else POLL_SECONDS)
                if attached.size_bytes >= size_bytes:
                    return attached.device
        raise DeviceUnavailable(f"{device.path}: {attached.size_bytes} bytes large, not yet {size_bytes}")

    # --- content

    @asynccontextmanager
    async def holding(self, device: Device) -> AsyncIterator[None]:
        """See Host."""
        await trio.lowlevel.checkpoint()
        self._attached(device)
        yield

    async def probe(self, device: Device, stamp: str) -> Content:
        """See Host."""
        await trio.lowlevel.checkpoint()
        file, size = self._claimed(device), device.size_bytes
        blank, stamped = disk.is_blank(file, size), disk.is_stamped(file, size, stamp)
        return judge(blank=blank, stamped=stamped, identified=disk.identify(file))

    async def write_stamp(self, device: Device, stamp: str) -> None:
        """See Host."""
        await trio.lowlevel.checkpoint()
        disk.write_stamp(self._claimed(device), device.size_bytes, stamp)

    async def clear_stamp(self, device: Device, stamp: str) -> None:
        """See Host."""
        await trio.lowlevel.checkpoint()
        disk.clear_stamp(self._claimed(device), device.size_bytes, stamp)

    async def make_filesystem(
        self, device: Device, fs_type: str, *, erase_unfinished: bool, options: Sequence[str] = ()
    ) -> None:
        """See Host."""
        await trio.lowlevel.checkpoint()
        file = self._readable(device)
        argv = (f"mkfs.{fs_type}", device.path)
        if fs_type not in ("ext4", "xfs"):
            raise NotSupported(f"filesystem {fs_type}: this driver knows ext4, xfs")
        if self._mounted(device):
            raise CommandFailed(argv, 1, "device is mounted")
        if disk.identify(file).found and not erase_unfinished:
            raise CommandFailed(argv, 1, "the device appears to contain a filesystem")
        disk.write_filesystem(file, Filesystem(fs_type, device.size_bytes, options=list(options)))

    async def check_filesystem(self, device: Device, fs_type: str) -> None:
        """See Host."""
        await trio.lowlevel.checkpoint()
        file = self._readable(device)
        found = disk.read_filesystem(file)
        if found is None or not found.whole or found.fs_type != fs_type or self._mounted(device):
            raise CommandFailed(("fsck", device.path), 8, "nothing that can be repaired")
        disk.write_filesystem(file, replace(found, damaged=False))

    async def grow_filesystem(self, device: Device, fs_type: str, mount_point: str) -> None:
        """See Host."""
        await trio.lowlevel.checkpoint()
        file = self._readable(device)
        found = disk.read_filesystem(file)
        top = self.kernel.top(mount_point)
        if found is None or top is None or top.number != device.number:
            raise CommandFailed(("grow", mount_point), 1, "not mounted there")
        if found.size_bytes < device.size_bytes:
            if fs_type == "ext4" and self.trouble.no_resource_capability:
                raise CommandFailed(("resize2fs", device.path), 1, f"Permission denied\n{NO_RESOURCE_CAPABILITY}")
            disk.write_filesystem(file, replace(found, size_bytes=device.size_bytes))

    # --- mounts

    async def mounts(self) -> Sequence[Mount]:
        """See Host."""
        await trio.lowlevel.checkpoint()
        return tuple(self.kernel.mounts)

    async def mount(self, device: Device, mount_point: str, fs_type: str, options: Sequence[str]) -> None:
        """See Host."""
        await trio.lowlevel.checkpoint()
        argv = ("mount", device.path, mount_point)
        found = disk.read_filesystem(self._readable(device))
        top = self.kernel.top(mount_point)
        if top is not None and top.number == device.number:
            raise CommandFailed(argv, 32, "already mounted")
        if not _is(mount_point, PathKind.DIRECTORY):
            raise CommandFailed(argv, 32, "mount point does not exist")
        if found is None or not found.whole or found.damaged or found.fs_type != fs_type:
            raise CommandFailed(argv, 32, "wrong fs type, bad option, bad superblock")
        access = "ro" if "ro" in options else "rw"
        flags = (access, *(one for one in options if one in ("noatime", "nosuid", "nodev", "noexec")))
        self._add(Mount(mount_point, device.number, "/", fs_type, device.path, flags, (access,)))

    async def bind(self, source: str, mount_point: str, *, readonly: bool) -> None:
        """See Host."""
        await trio.lowlevel.checkpoint()
        node = source.startswith("/dev/simulated")
        if not _is(mount_point, PathKind.FILE if node else PathKind.DIRECTORY):
            raise CommandFailed(("mount", "--bind", source, mount_point), 32, "not what can be mounted on")
        self._add(self.kernel.bound(source, mount_point, readonly=readonly))

    async def unmount(self, mount_point: str) -> None:
        """See Host."""
        await trio.lowlevel.checkpoint()
        top = self.kernel.top(mount_point)
        if top is None:
            return
        attached = self.kernel.find_attached(top.number)
        if mount_point in self.trouble.hung and attached is not None:
            await trio.sleep(self._deadlines.mount)
            raise OutcomeUnknown(f"umount {mount_point}: not finished within {self._deadlines.mount:g} s")
        if mount_point in self.trouble.busy:
            raise CommandFailed(("umount", mount_point), 32, "target is busy")
        self.trouble.failed.discard(mount_point)
        self.kernel.mounts.remove(top)
        self.kernel.save()

    # --- paths

    async def canonical(self, path: str) -> str:
        """See Host."""
        await trio.lowlevel.checkpoint()
        return callee.canonical(path)

    async def path_state(self, path: str) -> PathState:
        """See Host."""
        await trio.lowlevel.checkpoint()
        if path in self.trouble.failed:
            raise DeviceUnavailable(f"{path}: Input/output error")
        kind = PathKind(str(callee.lstat(path)[0]))
        number = None if kind is PathKind.ABSENT else self.kernel.node_at(path)
        return PathState(kind) if number is None else PathState(PathKind.BLOCK_DEVICE, number)

    async def make_directory(self, path: str) -> None:
        """See Host."""
        await self._change(path, callee.make_directory)

    async def make_file(self, path: str) -> None:
        """See Host."""
        await self._change(path, callee.make_file)

    async def make_device_node(self, path: str, device: Device, *, readonly: bool) -> None:
        """See Host. A file stands for the node."""
        if any(Path(path).is_relative_to(one) for one in self.trouble.nodev):
            raise NotSupported(f"{path}: the filesystem is mounted nodev")
        if (await self.path_state(path)).kind is not PathKind.ABSENT:
            raise NotPermittedNow(f"{path}: File exists; it is left as it is")
        await self.make_file(path)
        self.kernel.nodes[path] = device.number
        self.kernel.save()

    async def remove(self, path: str) -> None:
        """See Host."""
        if self.kernel.top(path) is not None:
            raise path_error(path, OSError(errno.EBUSY, "Device or resource busy"))
        await self._change(path, callee.remove)
        if self.kernel.nodes.pop(path, None) is not None:
            self.kernel.save()

    async def usage(self, path: str) -> tuple[Usage, ...]:
        """See Host."""
        await trio.lowlevel.checkpoint()
        top = self.kernel.top(path)
        attached = self.kernel.find_attached(top.number) if top is not None else None
        if attached is None:
            raise DeviceUnavailable(f"{path}: Input/output error")
        found = disk.read_filesystem(Path(attached.file))
        blocks = found.size_bytes // _BLOCK if found is not None else 0
        return usage_of(_BLOCK, blocks, blocks - 1, blocks - 1, 1000, 999 - len(found.files if found else ()))

    # --- within

    def _target(self, subnqn: str) -> Path | None:
        return find_export(self._exports, subnqn) if self._exports is not None else None

    def _attached(self, device: Device) -> Attached:
        attached = self.kernel.attached.get(device.subnqn)
        if attached is None or not same_device(device, attached.device):
            raise DeviceUnavailable(f"{device.path}: no longer the device of {device.subnqn}")
        return attached

    def _readable(self, device: Device) -> Path:
        if device.subnqn in self.trouble.unreadable:
            raise DeviceUnavailable(f"{device.path}: Input/output error")
        return Path(self._attached(device).file)

    def _claimed(self, device: Device) -> Path:
        """Return the file of a device that nobody has claimed."""
        if self._mounted(device):
            raise DeviceUnavailable(f"{device.path}: somebody else has claimed it")
        return self._readable(device)

    def _mounted(self, device: Device) -> bool:
        return any(mount.number == device.number for mount in self.kernel.mounts)

    def _add(self, mount: Mount) -> None:
        self.kernel.mounts.append(mount)
        self.kernel.save()

    async def _change(self, path: str, change: Callable[[str], None]) -> None:
        await trio.lowlevel.checkpoint()
        try:
            change(path)
        except OSError as error:
            raise path_error(path, error) from error


def _is(path: str, kind: PathKind) -> bool:
    return PathKind(str(callee.lstat(path)[0])) is kind
