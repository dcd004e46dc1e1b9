"""Making, repairing and growing filesystems by their own tools: ext4 and xfs.

Nothing here decides whether a filesystem may be made; see `rdscsi.node.formatting`.
"""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from rdscsi.errors import NotSupported
from rdscsi.host.process import Processes

T = TypeVar("T")

_MAKE: dict[str, dict[str, str]] = {
    # No discard and no zeroing of inode tables: they would take the stamp away, and with it that mkfs was begun.
    "ext4": {"-q": "", "-m": "0", "-E": "nodiscard,lazy_itable_init=1"},
    "xfs": {"-q": "", "-K": ""},
}
_FORCE: dict[str, tuple[str, ...]] = {"ext4": (), "xfs": ("-f",)}
"""mkfs.ext4 asks before it overwrites a filesystem, but only a person at a terminal (mke2fs(8)); never `-F`."""

_CHECK = {"ext4": ("e2fsck", "-p"), "xfs": ("xfs_repair",)}
_CHECKED = {"ext4": (0, 1), "xfs": (0,)}
"""e2fsck: 1 means that all errors were corrected. xfs_repair refuses a log that only a mount can replay."""

NO_RESOURCE_CAPABILITY = (
    "online growth of ext4 needs CAP_SYS_RESOURCE, which this process does not have; the device has grown, the"
    " filesystem is as it was. Give the node plugin the capability, or use xfs"
)


class Filesystems:
    """The tools. `deadline` is how many seconds making, checking or growing may take."""

    def __init__(self, processes: Processes, *, deadline: float) -> None:
        self._processes = processes
        self._deadline = deadline

    async def make(self, path: str, fs_type: str, options: Sequence[str] = (), *, force: bool) -> None:
        """Make a filesystem with these options beside our own; `force` overwrites one that is there."""
        await self._check(*make_argv(fs_type, options, force=force), path)

    async def check(self, path: str, fs_type: str) -> None:
        """Repair what can be repaired without questions. Raises CommandFailed when that is not all."""
        argv = (*_known(_CHECK, fs_type), path)
        await self._processes.check(argv, deadline=self._deadline, success=_CHECKED[fs_type])

    async def grow(self, path: str, fs_type: str, mount_point: str) -> None:
        """Let a mounted filesystem fill its device."""
        if fs_type == "xfs":
            await self._check("xfs_growfs", "-d", mount_point)
            return
        if fs_type != "ext4":
            raise NotSupported(f"a filesystem of type {fs_type} is not grown by this driver")
        ended = await self._processes.run(("resize2fs", path), deadline=self._deadline)
        if ended.status:
            raise ended.failed(NO_RESOURCE_CAPABILITY if "Permission denied" in ended.stderr else "")

    async def _check(self, *argv: str) -> None:
        await self._processes.check(argv, deadline=self._deadline)


def _known(table: Mapping[str, T], fs_type: str) -> T:
    if fs_type not in table:
        raise NotSupported(f"filesystem {fs_type}: this driver knows {', '.join(table)}")
    return table[fs_type]


def make_argv(fs_type: str, options: Sequence[str], *, force: bool) -> tuple[str, ...]:
    """Return the command for a new filesystem, without its device. Raises NotSupported for a type that is not known.

    `options` are options and values in turns. mkfs.ext4 keeps only the last `-E`, so that what is given there is added
    to ours and never takes its place.
    """
    merged = dict(_known(_MAKE, fs_type))
    for option, value in zip(options[::2], options[1::2], strict=True):
        merged[option] = f"{merged[option]},{value}" if option == "-E" else value
    words = (word for pair in merged.items() for word in pair if word)
    return (f"mkfs.{fs_type}", *words, *(_FORCE[fs_type] if force else ()))
