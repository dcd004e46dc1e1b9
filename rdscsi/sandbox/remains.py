"""What a sandbox may leave in the kernel, and its removal: loop devices on files below its state directory, and mounts.

Nothing else is touched: a loop device belongs to a sandbox by its backing file, a mount by such a device or by a mount
point below the state directory. Independent of `rdscsi.host` on purpose: it also clears up after a defect there.
"""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import trio

from rdscsi.errors import CommandFailed

_ROUNDS = 5
"""A mount may hide another, and a device goes only after its last mount: look again a few times."""

COMMAND_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Mount:
    """A line of /proc/self/mountinfo (proc_pid_mountinfo(5)); `root` is the mounted part of the filesystem."""

    device: str
    root: str
    mount_point: str
    fs_type: str


@dataclass(frozen=True, slots=True)
class LoopDevice:
    """A loop device with its `major:minor` and the file behind it."""

    path: str
    device: str
    backing_file: str


def parse_mountinfo(text: str) -> list[Mount]:
    """Read mountinfo; white space in paths is in octal escapes there."""
    mounts = []
    for line in text.splitlines():
        fields, _, rest = line.partition(" - ")
        _, _, device, root, mount_point, *_ = fields.split(" ")
        mounts.append(Mount(device, _unescape(root), _unescape(mount_point), rest.split(" ")[0]))
    return mounts


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)


def find_loop_devices(directory: Path, sys_block: Path = Path("/sys/block")) -> list[LoopDevice]:
    """Loop devices whose backing file lies below the directory, deleted files included."""
    found = []
    for entry in sorted(sys_block.glob("loop*")):
        try:
            backing_file = (entry / "loop" / "backing_file").read_text().rstrip("\n").removesuffix(" (deleted)")
            device = (entry / "dev").read_text().strip()
        except FileNotFoundError:
            continue  # not attached, or detached just now
        if _below(backing_file, directory):
            found.append(LoopDevice(f"/dev/{entry.name}", device, backing_file))
    return found


def owned_mounts(mounts: Iterable[Mount], loops: Iterable[LoopDevice], directory: Path) -> list[Mount]:
    """The mounts that belong to a sandbox, innermost first: of its loop devices, and below its directory.

    A published block device is a bind mount of the node in /dev: filesystem devtmpfs, root `/loop3`.
    """
    devices = {loop.device for loop in loops}
    nodes = {f"/{Path(loop.path).name}" for loop in loops}
    owned = [
        mount
        for mount in mounts
        if mount.device in devices
        or (mount.root in nodes and mount.fs_type in ("devtmpfs", "tmpfs"))
        or _below(mount.mount_point, directory)
    ]
    return owned[::-1]  # mountinfo lists in order of mounting


def _mounts() -> list[Mount]:
    return parse_mountinfo(Path("/proc/self/mountinfo").read_text())


def _below(path: str, directory: Path) -> bool:
    return Path(path).is_relative_to(directory) or Path(path).is_relative_to(os.path.realpath(directory))


def find_remains(directory: Path) -> list[str]:
    """What a sandbox has left in the kernel, in words; empty when nothing."""
    loops = find_loop_devices(directory)
    mounts = owned_mounts(_mounts(), loops, directory)
    return [f"mount {mount.mount_point}" for mount in mounts] + [
        f"loop device {loop.path} on {loop.backing_file}" for loop in loops
    ]


async def clear(directory: Path) -> list[str]:
    """Unmount and detach what belongs to the sandbox; what stays all the same, in words. Empty when nothing does."""
    for _ in range(_ROUNDS):
        if not find_remains(directory):
            return []
        await _clear_once(directory)
    return find_remains(directory)


async def _clear_once(directory: Path) -> None:
    loops = find_loop_devices(directory)
    for mount in owned_mounts(_mounts(), loops, directory):
        if not await _succeeds("umount", mount.mount_point):
            await _succeeds("umount", "--lazy", mount.mount_point)
    for loop in loops:
        await _succeeds("losetup", "--detach", loop.path)


async def _succeeds(*command: str) -> bool:
    """Run a command; whether it exited with 0. The caller looks at the kernel again either way."""
    with trio.fail_after(COMMAND_SECONDS):
        try:
            ended = await trio.run_process(command, check=False, capture_stdout=True, capture_stderr=True)
        except OSError as error:
            raise CommandFailed(command, -1, str(error)) from error
    return ended.returncode == 0
