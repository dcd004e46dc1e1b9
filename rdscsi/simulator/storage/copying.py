"""Copies of files that share or skip what they can: reflink where the host has it, otherwise holes stay holes."""

import errno
import fcntl
import os
from pathlib import Path

_FICLONE = 0x40049409  # linux/fs.h
_REFUSED = {errno.EOPNOTSUPP, errno.ENOTTY, errno.EINVAL, errno.EXDEV, errno.ENOSYS}
_PIECE = 1 << 30


def copy_file(source: Path, target: Path) -> None:
    """Copy content; `target` must not exist. The copy is on stable storage only as far as the host decides."""
    with open(source, "rb") as reader, open(target, "xb") as writer:
        if not _reflink(reader.fileno(), writer.fileno()):
            _copy_data(reader.fileno(), writer.fileno())


def _reflink(source: int, target: int) -> bool:
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError as error:
        if error.errno in _REFUSED:
            return False
        raise
    return True


def _copy_data(source: int, target: int) -> None:
    size = os.fstat(source).st_size
    os.ftruncate(target, size)
    position = 0
    while position < size:
        start = _seek(source, position, os.SEEK_DATA)
        if start is None:
            return
        end = _seek(source, start, os.SEEK_HOLE) or size
        _copy_range(source, target, start, end)
        position = end


def _seek(descriptor: int, position: int, whence: int) -> int | None:
    try:
        return os.lseek(descriptor, position, whence)
    except OSError as error:
        if error.errno == errno.ENXIO:  # only a hole up to the end
            return None
        raise


def _copy_range(source: int, target: int, start: int, end: int) -> None:
    while start < end:
        copied = os.copy_file_range(source, target, min(end - start, _PIECE), start, start)
        if copied == 0:
            return
        start += copied


def copy_tree(source: Path, target: Path, skip: frozenset[Path]) -> None:
    """Copy directories and files; a directory in `skip` (a nested subvolume) becomes an empty one."""
    target.mkdir()
    if source in skip:
        return
    for entry in sorted(os.scandir(source), key=lambda item: item.name):
        inner = source / entry.name
        if entry.is_dir(follow_symlinks=False):
            copy_tree(inner, target / entry.name, skip)
        elif entry.is_file(follow_symlinks=False):
            copy_file(inner, target / entry.name)
