"""Paths on this machine: what is there, making and removing it, and how full its filesystem is.

All of it goes through `rdscsi.host.calls`, since any path may lead into a filesystem whose device hangs.
"""

import errno
from typing import cast

from rdscsi.errors import DeviceUnavailable, NotPermittedNow, NotSupported, OutcomeUnknown
from rdscsi.host.calls import Calls, Plain, Reply
from rdscsi.host.ports import Device, PathKind, PathState
from rdscsi.model import Usage

_READWRITE, _READONLY = 0o660, 0o440


class Paths:
    """The part of `rdscsi.host.ports.Host` that is about paths; see there."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def canonical(self, path: str) -> str:
        """See Host."""
        return cast("str", await self._look("canonical", path))

    async def path_state(self, path: str) -> PathState:
        """See Host."""
        kind, major, minor = cast("tuple[str, int, int]", await self._look("lstat", path))
        known = PathKind(kind)
        return PathState(known, (major, minor) if known is PathKind.BLOCK_DEVICE else None)

    async def make_directory(self, path: str) -> None:
        """See Host."""
        await self._change("make_directory", path)

    async def make_file(self, path: str) -> None:
        """See Host."""
        await self._change("make_file", path)

    async def make_device_node(self, path: str, device: Device, *, readonly: bool) -> None:
        """See Host. `readonly` shows in the mode; what enforces it is the workload's device allow-list."""
        await self._change("make_node", path, *device.number, _READONLY if readonly else _READWRITE)

    async def remove(self, path: str) -> None:
        """See Host."""
        await self._change("remove", path)

    async def usage(self, path: str) -> tuple[Usage, ...]:
        """See Host."""
        return usage_of(*cast("list[int]", await self._look("statvfs", path)))

    async def _look(self, name: str, path: str) -> Reply:
        try:
            return await self._calls.make(name, path)
        except OutcomeUnknown as error:  # nothing changes, whether it returns one day or not
            raise DeviceUnavailable(str(error)) from error
        except OSError as error:
            raise DeviceUnavailable(f"{path}: {error.strerror}") from error

    async def _change(self, name: str, path: str, *arguments: Plain) -> None:
        try:
            await self._calls.make(name, path, *arguments)
        except OSError as error:
            raise path_error(path, error) from error


def path_error(path: str, error: OSError) -> Exception:
    """Say what a failed change of a path means. None of these has changed anything."""
    if error.errno == errno.EOPNOTSUPP:
        return NotSupported(f"{path}: {error.strerror}")
    if error.errno in (errno.ENOTEMPTY, errno.EBUSY, errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.ELOOP):
        return NotPermittedNow(f"{path}: {error.strerror}; it is left as it is")
    return DeviceUnavailable(f"{path}: {error.strerror}")


def usage_of(fragment: int, blocks: int, free: int, available: int, files: int, free_files: int) -> tuple[Usage, ...]:
    """Render statvfs(3) as CSI has it: what the superuser's reserve takes is neither available nor used."""
    return (
        Usage("bytes", blocks * fragment, available * fragment, (blocks - free) * fragment),
        Usage("inodes", files, free_files, files - free_files),
    )
