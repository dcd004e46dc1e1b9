"""What a cluster leaves outside its namespaces, and its removal: loop devices, cgroups, the state directory.

A loop device is ours by the file behind it, and that file by device and inode: the path that the kernel shows for it
depends on who looks.
"""

import contextlib
import fcntl
import os
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cluster import cgroups
from cluster.places import State
from cluster.programs_in import environment

_LOOP_GET_STATUS64 = 0x4C05
_STATUS64_SIZE = 232
_SECONDS = 30.0
_PAUSE = 0.1


@dataclass(frozen=True, slots=True)
class LoopDevice:
    """A loop device and the file behind it, as (device, inode)."""

    path: str
    backing: tuple[int, int]
    name: str


def clear(state: State) -> list[str]:
    """Remove what can be removed, waiting a while for what is still busy; what stays all the same, in words.

    The cluster's processes must have ended. The state directory goes last, and only when nothing else is left.
    """
    deadline = time.monotonic() + _SECONDS
    while True:
        for loop in loop_devices(state):
            subprocess.run(("losetup", "--detach", loop.path), check=False, capture_output=True, env=environment())
        cgroups.remove(state.tag)
        left = find(state)
        if not left:
            shutil.rmtree(state.directory, ignore_errors=True)
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(_PAUSE)


def find(state: State) -> list[str]:
    """What a cluster has outside its namespaces, but for its state directory, in words."""
    return [
        *(f"loop device {loop.path} on {loop.name}" for loop in loop_devices(state)),
        *(f"cgroup {path}" for path in cgroups.find(state.tag)),
        *(f"mount {point}" for point in _mounts_below(state.directory)),
    ]


def loop_devices(state: State) -> list[LoopDevice]:
    """The loop devices on files in the state directory, also such as were deleted or are attached under a mount."""
    if not state.directory.exists():
        return []
    files = {(found.st_dev, found.st_ino) for found in _files(state.appliance)}
    return [
        loop for loop in _all_loop_devices() if loop.backing in files or loop.name.startswith(f"{state.directory}/")
    ]


def _files(directory: Path) -> Iterator[os.stat_result]:
    for top, _, names in os.walk(directory):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                yield os.stat(Path(top, name))


def _all_loop_devices() -> Iterator[LoopDevice]:
    for entry in sorted(Path("/sys/block").glob("loop*")):
        if not (entry / "loop").is_dir():
            continue  # not attached
        path = f"/dev/{entry.name}"
        try:
            with open(path, "rb") as device:
                status = fcntl.ioctl(device, _LOOP_GET_STATUS64, bytes(_STATUS64_SIZE))
        except OSError:
            continue  # detached just now
        number, inode = struct.unpack_from("=QQ", status)
        name = status[56:120].split(b"\0")[0].decode(errors="replace")
        yield LoopDevice(path, (_expand(number), inode), name)


def _expand(number: int) -> int:
    """The kernel's huge_encode_dev as Python's st_dev has it: both keep major and minor in the same bits."""
    return os.makedev(number >> 8 & 0xFFF, (number & 0xFF) | (number >> 12 & 0xFFFFFF00))


def _mounts_below(directory: Path) -> list[str]:
    points = [line.split(" ")[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [point for point in points if point.startswith(f"{directory}/")]
