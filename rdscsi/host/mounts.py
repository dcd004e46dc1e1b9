"""Mounting and unmounting, by the tools of util-linux and with mountinfo as the truth."""

from collections.abc import Sequence
from pathlib import Path

import trio

from rdscsi.errors import CommandFailed, DeviceUnavailable
from rdscsi.host.mountinfo import parse_mountinfo
from rdscsi.host.ports import Mount
from rdscsi.host.process import Processes

MOUNTINFO = Path("/proc/self/mountinfo")

_KEPT = ("nosuid", "nodev", "noexec", "noatime", "nodiratime", "relatime")
"""Options of a mount that a read-only bind of it would lose: the remount that makes it read-only sets them all."""


class Mounts:
    """The mounts of this process' namespace. `deadline` is how many seconds a mount or unmount may take."""

    def __init__(self, processes: Processes, *, deadline: float, mountinfo: Path = MOUNTINFO) -> None:
        self._processes = processes
        self._deadline = deadline
        self._mountinfo = mountinfo

    async def listed(self) -> list[Mount]:
        """Return all mounts. Raises DeviceUnavailable when they cannot be read."""
        await trio.lowlevel.checkpoint()
        try:
            # In memory, and it never waits for a device; paths are bytes to the kernel, whatever their encoding.
            return parse_mountinfo(self._mountinfo.read_bytes().decode("utf-8", "surrogateescape"))
        except OSError as error:
            raise DeviceUnavailable(f"{self._mountinfo}: {error.strerror}") from error

    async def mount(self, source: str, mount_point: str, fs_type: str, options: Sequence[str]) -> None:
        """Mount a filesystem. `options` are passed on as they are, joined by commas."""
        chosen = ("-o", ",".join(options)) if options else ()
        await self._run("mount", "-t", fs_type, *chosen, source, mount_point)

    async def bind(self, source: str, mount_point: str, *, readonly: bool) -> None:
        """Bind-mount one path on another."""
        options = ["bind"]
        if readonly:
            under = [mount for mount in await self.listed() if mount.mount_point == source]
            options += ["ro", *(option for option in _KEPT if under and option in under[-1].options)]
        await self._run("mount", "-o", ",".join(options), source, mount_point)

    async def unmount(self, mount_point: str) -> None:
        """Take off the topmost mount of a path. Nothing mounted there is a success."""
        try:
            await self._run("umount", "--no-canonicalize", mount_point)
        except CommandFailed:
            if any(mount.mount_point == mount_point for mount in await self.listed()):
                raise

    async def _run(self, *argv: str) -> None:
        await self._processes.check(argv, deadline=self._deadline)
