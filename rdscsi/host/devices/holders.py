"""Who uses a block device besides a mount that we see. Synchronous and read-only; run it in a thread."""

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from rdscsi.errors import DeviceUnavailable
from rdscsi.host.devices import sysfs
from rdscsi.host.devices.loops import Loop
from rdscsi.host.mountinfo import unescape
from rdscsi.host.ports import Mount

PROC_SWAPS = Path("/proc/swaps")


def find_holders(
    number: tuple[int, int],
    *,
    mounts: Iterable[Mount],
    loops: Iterable[Loop],
    sys_root: Path = Path("/sys"),
    swaps: Path = PROC_SWAPS,
) -> list[str]:
    """Say in words who holds the device of this number, or one of its partitions. Raises DeviceUnavailable."""
    try:
        parts = sysfs.partitions(sys_root, number)
        numbers = {number, *(own for part in parts if (own := sysfs.read_number(part)))}
        found = [f"{name} stands on it (device mapper or md)" for part in parts for name in sysfs.holders_of(part)]
        found += [f"loop device {loop.path} is attached to it" for loop in loops if loop.behind in numbers]
        found += [f"{path} is swap space" for path in _swaps(swaps) if _number(path) in numbers]
    except OSError as error:
        raise DeviceUnavailable(f"cannot tell who uses the device {number[0]}:{number[1]}: {error}") from error
    numbers.discard(number)
    return found + [f"a partition of it is mounted at {one.mount_point}" for one in mounts if one.number in numbers]


def _swaps(path: Path) -> list[str]:
    """Return the files and devices in /proc/swaps; the first line is a heading."""
    return [unescape(line.split()[0]) for line in path.read_text().splitlines()[1:] if line.strip()]


def _number(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return (os.major(found.st_rdev), os.minor(found.st_rdev)) if stat.S_ISBLK(found.st_mode) else None
