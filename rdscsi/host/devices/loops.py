"""Loop devices by their ioctls (loop(4), linux/loop.h): attach with a name of ours, look, grow, detach.

The name is kept by the kernel (`lo_file_name`) and set in the same call that attaches the file (LOOP_CONFIGURE, Linux
5.8), so that whose a device is outlives this process and goes when the device does. Synchronous; none of this waits.
"""

import errno
import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rdscsi.errors import DeviceUnavailable

_SET_CAPACITY, _CLR_FD, _GET_STATUS64, _CONFIGURE, _CTL_GET_FREE = 0x4C07, 0x4C01, 0x4C05, 0x4C0A, 0x4C82
_INFO = struct.Struct("QQQQQIIII64s64s32sQQ")  # struct loop_info64
_CONFIG = struct.Struct(f"II{_INFO.size}s64x")  # struct loop_config
_BLKGETSIZE64 = 0x80081272

LONGEST_NAME = 63
_ATTEMPTS = 32
"""How often another process may take the free device that the kernel has just named."""


@dataclass(frozen=True, slots=True)
class Loop:
    """An attached loop device. `inode` is (device, inode) of the file; `behind` the block device behind it, if any."""

    path: str
    number: tuple[int, int]
    name: str
    inode: tuple[int, int]
    behind: tuple[int, int]
    size_bytes: int


def attach(file: Path, name: str) -> Loop:
    """Attach a regular file to a free loop device under a name.

    Raises DeviceUnavailable when no device can be had, OSError when the file cannot be opened.
    """
    if len(name) > LONGEST_NAME:
        raise ValueError(f"{name!r}: the kernel keeps at most {LONGEST_NAME} characters")
    with _opened(file, os.O_RDWR) as backing:
        info = _INFO.pack(*(0,) * 9, name.encode(), b"", b"", 0, 0)
        for _ in range(_ATTEMPTS):
            device = _free_device()
            if _configured(device, _CONFIG.pack(backing, 0, info)):
                found = read_loop(device)
                if found is not None and found.name == name:
                    return found
    raise DeviceUnavailable("no free loop device could be had")


def loops(sys_block: Path = Path("/sys/block")) -> Iterator[Loop]:
    """Yield all attached loop devices. Raises OSError when one cannot be looked at."""
    for entry in sorted(sys_block.glob("loop*")):
        if (entry / "loop").exists():
            found = read_loop(Path("/dev") / entry.name)
            if found is not None:
                yield found


def read_loop(device: Path) -> Loop | None:
    """Look at one loop device; None when nothing is attached to it."""
    try:
        with _opened(device, os.O_RDONLY) as descriptor:
            info = _INFO.unpack(fcntl.ioctl(descriptor, _GET_STATUS64, bytes(_INFO.size)))
            size = struct.unpack("Q", fcntl.ioctl(descriptor, _BLKGETSIZE64, bytes(8)))[0]
            number = os.fstat(descriptor).st_rdev
    except OSError as error:
        if error.errno in (errno.ENXIO, errno.ENODEV, errno.ENOENT):
            return None
        raise
    on, inode, behind, name = info[0], info[1], info[2], info[9]
    return Loop(
        path=str(device),
        number=(os.major(number), os.minor(number)),
        name=name.split(b"\0", 1)[0].decode("utf-8", "replace"),
        inode=(on, inode),
        behind=(os.major(behind), os.minor(behind)),
        size_bytes=size,
    )


def take_in_size(loop: Loop) -> None:
    """Let the device have the size that its file has now."""
    with _opened(Path(loop.path), os.O_RDONLY) as descriptor:
        fcntl.ioctl(descriptor, _SET_CAPACITY, 0)


def detach(loop: Loop) -> None:
    """Detach the file, now or when the last user closes the device: look again. Nothing attached is a success."""
    with _opened(Path(loop.path), os.O_RDONLY) as descriptor:
        try:
            info = _INFO.unpack(fcntl.ioctl(descriptor, _GET_STATUS64, bytes(_INFO.size)))
            if (info[0], info[1]) == loop.inode:  # the number may be another file's by now
                fcntl.ioctl(descriptor, _CLR_FD, 0)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise


def _free_device() -> Path:
    with _opened(Path("/dev/loop-control"), os.O_RDWR) as control:
        return Path(f"/dev/loop{fcntl.ioctl(control, _CTL_GET_FREE, 0)}")


def _configured(device: Path, config: bytes) -> bool:
    """Tell whether the device is ours now; False when somebody else was quicker."""
    with _opened(device, os.O_RDWR) as descriptor:
        try:
            fcntl.ioctl(descriptor, _CONFIGURE, config)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            return False
    return True


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
