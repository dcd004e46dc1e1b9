"""The process that makes system calls which may never return: on devices and on filesystems whose device hangs.

Run as a script of its own by `rdscsi.host.calls`, with the standard library only. Reads one request a line on standard
input, JSON `[name, argument, …]`, and answers each with one line: `{"result": …}` or `{"errno": …, "error": …}`. Ends
with its input. Numbers of devices are (major, minor); offsets and sizes are bytes.
"""

import ctypes
import errno
import fcntl
import json
import mmap
import os
import stat
import sys
from collections.abc import Callable
from functools import cache

MIB = 1 << 20
STAMP_BYTES = 4096
_PIECE = 1 << 16
_BLKFLSBUF = 0x1261  # linux/fs.h: write back and drop what the page cache holds of a device
_BLKID_TYPE, _BLKID_USAGE = 1 << 5, 1 << 7  # blkid/blkid.h: BLKID_SUBLKS_TYPE, BLKID_SUBLKS_USAGE
_BLKID_NOTHING, _BLKID_AMBIVALENT = 1, -2  # what blkid_do_safeprobe returns; 0: something, less: an error


# --- paths


def lstat(path: str) -> list[object]:
    """Return [kind, major, minor]; the numbers are those of a block device."""
    try:
        found = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return ["absent", 0, 0]
    kinds = ((stat.S_ISDIR, "directory"), (stat.S_ISREG, "file"), (stat.S_ISBLK, "block device"))
    kind = next((name for is_kind, name in kinds if is_kind(found.st_mode)), "other")
    return [kind, os.major(found.st_rdev), os.minor(found.st_rdev)]


def canonical(path: str) -> str:
    """Resolve the links in a path's directories; its last part is kept."""
    directory, name = os.path.split(os.path.normpath(path))
    return os.path.join(os.path.realpath(directory), name)


def make_directory(path: str) -> None:
    """Make a directory and those above it."""
    os.makedirs(path, 0o750, exist_ok=True)


def make_file(path: str) -> None:
    """Make an empty file, or find a regular one."""
    make_directory(os.path.dirname(path))
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    if not stat.S_ISREG(os.lstat(path).st_mode):
        raise FileExistsError(errno.EEXIST, "something else than a file is there", path)


def make_node(path: str, major: int, minor: int, mode: int) -> None:
    """Make a block device node. EOPNOTSUPP where it could not be opened or may not be made."""
    directory = os.path.dirname(path)
    make_directory(directory)
    if os.statvfs(directory).f_flag & os.ST_NODEV:
        raise OSError(errno.EOPNOTSUPP, "the filesystem is mounted nodev", path)
    try:
        os.mknod(path, stat.S_IFBLK | mode, os.makedev(major, minor))
    except PermissionError as error:
        raise OSError(errno.EOPNOTSUPP, "device nodes may not be made here", path) from error
    os.chmod(path, mode)  # whatever the umask is


def remove(path: str) -> None:
    """Remove an empty directory, an empty file or a device node. ENOTEMPTY for what holds something."""
    try:
        found = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return
    if stat.S_ISDIR(found.st_mode):
        os.rmdir(path)
    elif stat.S_ISREG(found.st_mode) and found.st_size:
        raise OSError(errno.ENOTEMPTY, f"a file of {found.st_size} bytes is there", path)
    elif stat.S_ISREG(found.st_mode) or stat.S_ISBLK(found.st_mode):
        os.unlink(path)
    else:
        raise OSError(errno.EEXIST, "something else than a directory, file or block device is there", path)


def statvfs(path: str) -> list[int]:
    """Return [fragment size, blocks, free, available, files, free files]."""
    shown = os.statvfs(path)
    return [shown.f_frsize, shown.f_blocks, shown.f_bfree, shown.f_bavail, shown.f_files, shown.f_ffree]


# --- kernel interfaces


def write(path: str, text: str) -> None:
    """Write one text to a file of sysfs."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def exchange(path: str, text: str) -> str:
    """Write to a device that answers, and return its answer (/dev/nvme-fabrics)."""
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
        return os.read(descriptor, 4096).decode()
    finally:
        os.close(descriptor)


# --- devices


def free(path: str, major: int, minor: int) -> bool:
    """Tell whether nobody has claimed the device; a filesystem mounted in any namespace claims it."""
    try:
        os.close(_open(path, os.O_RDONLY | os.O_EXCL, major, minor))
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        return False
    return True


def probe(path: str, major: int, minor: int, size: int, places: list[int], stamp: str) -> dict[str, object]:
    """Read the first and last MiB and the places of the stamp, past all caches; drop these; look for signatures.

    EBUSY when somebody has claimed the device; ENODEV when it has another number or size.
    """
    descriptor = _open(path, os.O_RDONLY | os.O_DIRECT | os.O_EXCL, major, minor)
    try:
        if os.lseek(descriptor, 0, os.SEEK_END) != size:
            raise OSError(errno.ENODEV, "the device has another size than a moment ago", path)
        length = min(MIB, size)
        blank = _are_zeros(descriptor, (0, size - length), length)
        blocks = [_read(descriptor, place, STAMP_BYTES) for place in places]
        fcntl.ioctl(descriptor, _BLKFLSBUF, 0)
    finally:
        os.close(descriptor)
    blank = blank and all(block == bytes(STAMP_BYTES) for block in blocks)
    descriptor = _open(path, os.O_RDONLY, major, minor)
    try:
        return {"blank": blank, "stamped": stamp_block(stamp) in blocks, **signatures(descriptor)}
    finally:
        os.close(descriptor)


def signatures(descriptor: int) -> dict[str, object]:
    """Look for signatures of filesystems, partition tables and others, with the library that `blkid -p` is made of.

    Unlike the program's exit status, its answer tells "nothing" from "not readable": EIO, or what the kernel said.
    `tags`: TYPE, USAGE and PTTYPE, where found. `ambivalent`: several that contradict each other.
    """
    library = _libblkid()
    probe = library.blkid_new_probe()
    if not probe:
        raise OSError(errno.ENOMEM, "libblkid has no memory")
    try:
        if library.blkid_probe_set_device(probe, descriptor, 0, 0):
            raise OSError(ctypes.get_errno() or errno.EIO, "libblkid cannot read the device")
        library.blkid_probe_enable_superblocks(probe, 1)
        library.blkid_probe_set_superblocks_flags(probe, _BLKID_TYPE | _BLKID_USAGE)
        library.blkid_probe_enable_partitions(probe, 1)
        ctypes.set_errno(0)
        status = library.blkid_do_safeprobe(probe)
        if status < 0 and status != _BLKID_AMBIVALENT:
            raise OSError(ctypes.get_errno() or errno.EIO, "libblkid cannot tell what the device holds")
        tags = {name: _tag(library, probe, name) for name in ("TYPE", "USAGE", "PTTYPE")} if not status else {}
    finally:
        library.blkid_free_probe(probe)
    found = {name: value for name, value in tags.items() if value}
    return {"found": status != _BLKID_NOTHING, "ambivalent": status == _BLKID_AMBIVALENT, "tags": found}


@cache
def _libblkid() -> ctypes.CDLL:
    library = ctypes.CDLL("libblkid.so.1", use_errno=True)
    library.blkid_new_probe.restype = ctypes.c_void_p
    library.blkid_free_probe.argtypes = (ctypes.c_void_p,)
    library.blkid_probe_set_device.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    for name in ("enable_superblocks", "set_superblocks_flags", "enable_partitions"):
        getattr(library, f"blkid_probe_{name}").argtypes = (ctypes.c_void_p, ctypes.c_int)
    library.blkid_do_safeprobe.argtypes = (ctypes.c_void_p,)
    library.blkid_probe_lookup_value.argtypes = (
        *(ctypes.c_void_p, ctypes.c_char_p),
        *(ctypes.POINTER(ctypes.c_char_p), ctypes.POINTER(ctypes.c_size_t)),
    )
    return library


def _tag(library: ctypes.CDLL, probe: int, name: str) -> str:
    value, length = ctypes.c_char_p(), ctypes.c_size_t()
    if library.blkid_probe_lookup_value(probe, name.encode(), ctypes.byref(value), ctypes.byref(length)):
        return ""
    return (value.value or b"").decode("utf-8", "replace")


def write_stamp(path: str, major: int, minor: int, places: list[int], stamp: str) -> None:
    """Write the stamp at its places and see it there."""
    _replace(path, major, minor, places, bytes(STAMP_BYTES), stamp_block(stamp))


def clear_stamp(path: str, major: int, minor: int, places: list[int], stamp: str) -> None:
    """Write zeros where the stamp still stands."""
    _replace(path, major, minor, places, stamp_block(stamp), bytes(STAMP_BYTES))


def stamp_block(stamp: str) -> bytes:
    """Return the block that a stamp fills."""
    return stamp.encode("ascii").ljust(STAMP_BYTES, b"\0")


def _replace(path: str, major: int, minor: int, places: list[int], old: bytes, new: bytes) -> None:
    descriptor = _open(path, os.O_RDWR | os.O_DIRECT | os.O_EXCL, major, minor)
    try:
        for place in places:
            if _read(descriptor, place, STAMP_BYTES) == old:
                _write(descriptor, place, new)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_held: list[int] = []


def hold(path: str, major: int, minor: int) -> None:
    """Keep the device open until `release`: as long, neither its name nor its number is given to another."""
    _held.append(_open(path, os.O_RDONLY | os.O_NONBLOCK, major, minor))


def release() -> None:
    """Let go of what is held."""
    while _held:
        os.close(_held.pop())


def _open(path: str, flags: int, major: int, minor: int) -> int:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    found = os.fstat(descriptor)
    if stat.S_ISBLK(found.st_mode) and found.st_rdev == os.makedev(major, minor):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.ENODEV, f"not the block device {major}:{minor}", path)


def _are_zeros(descriptor: int, offsets: tuple[int, ...], length: int) -> bool:
    """Read parts of a device, one by one, and tell whether all of them are zeros.

    Compared piece by piece, for a copy of all would cost ten times as much as the reading.
    """
    zeros = bytes(_PIECE)
    with mmap.mmap(-1, length) as aligned:
        for offset in offsets:
            _read_into(aligned, descriptor, offset)
            pieces = (aligned[at : at + _PIECE] for at in range(0, length, _PIECE))
            if any(piece != zeros[: len(piece)] for piece in pieces):
                return False
    return True


def _read(descriptor: int, offset: int, length: int) -> bytes:
    with mmap.mmap(-1, length) as aligned:
        _read_into(aligned, descriptor, offset)
        return aligned[:]


def _read_into(aligned: mmap.mmap, descriptor: int, offset: int) -> None:
    """Fill a mapping, as O_DIRECT wants a buffer on a page boundary."""
    if os.preadv(descriptor, [aligned], offset) != len(aligned):
        raise OSError(errno.EIO, f"read less than {len(aligned)} bytes at {offset}")


def _write(descriptor: int, offset: int, content: bytes) -> None:
    with mmap.mmap(-1, len(content)) as aligned:
        aligned[:] = content
        if os.pwritev(descriptor, [aligned], offset) != len(content):
            raise OSError(errno.EIO, f"wrote less than {len(content)} bytes at {offset}")


# --- serving

CALLS: dict[str, Callable[..., object]] = {
    call.__name__: call
    for call in (
        *(lstat, canonical, make_directory, make_file, make_node, remove, statvfs, write, exchange),
        *(free, probe, write_stamp, clear_stamp, hold, release),
    )
}


def answer(line: bytes) -> bytes:
    """Answer one request."""
    name, *arguments = json.loads(line)
    try:
        reply: dict[str, object] = {"result": CALLS[name](*arguments)}
    except OSError as error:
        reply = {"errno": error.errno or errno.EIO, "error": error.strerror or str(error)}
    return json.dumps(reply).encode() + b"\n"


def main() -> None:
    """Serve until the input ends."""
    for line in sys.stdin.buffer:
        sys.stdout.buffer.write(answer(line))
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
