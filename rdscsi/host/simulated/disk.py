"""The content of a simulated disk, in its real backing file: so that blankness, the stamp and copies of it are real.

A simulated filesystem has the magic number of a real one, for the simulated RDS to see, and a header of its own that
holds its files. Small and synchronous.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rdscsi.host.content import MIB, STAMP_BYTES, Identification, checked_stamp, stamp_places

_MAGIC = {"ext4": (1080, b"\x53\xef"), "xfs": (0, b"XFSB")}
_HEADER_AT, _HEADER_BYTES = 4096, 60 * 1024


@dataclass(slots=True)
class Filesystem:
    """A simulated filesystem. `whole` is False after a mkfs that was cut short; a `damaged` one wants a repair.

    `options` are those that it was made with.
    """

    fs_type: str
    size_bytes: int
    whole: bool = True
    damaged: bool = False
    files: dict[str, str] = field(default_factory=dict)
    options: list[str] = field(default_factory=list)


def read_filesystem(file: Path) -> Filesystem | None:
    """Return the filesystem of a disk; None when it has none of ours."""
    with _opened(file) as descriptor:
        if _magic(descriptor) is None:
            return None
        text = os.pread(descriptor, _HEADER_BYTES, _HEADER_AT).rstrip(b"\0")
    return Filesystem(**json.loads(text)) if text.startswith(b"{") else None


def write_filesystem(file: Path, filesystem: Filesystem) -> None:
    """Put a filesystem on a disk, in place of any other."""
    header = json.dumps(asdict(filesystem)).encode()
    assert len(header) <= _HEADER_BYTES, "a simulated filesystem holds a few small files"
    with _opened(file) as descriptor:
        for offset, magic in _MAGIC.values():
            os.pwrite(descriptor, bytes(len(magic)), offset)
        offset, magic = _MAGIC[filesystem.fs_type]
        os.pwrite(descriptor, magic, offset)
        os.pwrite(descriptor, header.ljust(_HEADER_BYTES, b"\0"), _HEADER_AT)
        os.fsync(descriptor)


def identify(file: Path) -> Identification:
    """Say which filesystem's magic a disk bears, as blkid would."""
    with _opened(file) as descriptor:
        fs_type = _magic(descriptor)
    return Identification(found=fs_type is not None, tags={"USAGE": "filesystem", "TYPE": fs_type} if fs_type else {})


def is_blank(file: Path, size_bytes: int) -> bool:
    """Tell whether the first and last MiB and the stamp's places are zeros."""
    length = min(MIB, size_bytes)
    areas = [(0, length), (size_bytes - length, length), *((place, STAMP_BYTES) for place in stamp_places(size_bytes))]
    with _opened(file) as descriptor:
        return all(os.pread(descriptor, size, offset) == bytes(size) for offset, size in areas)


def is_stamped(file: Path, size_bytes: int, stamp: str) -> bool:
    """Tell whether the stamp stands somewhere."""
    with _opened(file) as descriptor:
        return any(os.pread(descriptor, STAMP_BYTES, at) == _block(stamp) for at in stamp_places(size_bytes))


def write_stamp(file: Path, size_bytes: int, stamp: str) -> None:
    """Write the stamp at its places."""
    with _opened(file) as descriptor:
        for place in stamp_places(size_bytes):
            os.pwrite(descriptor, _block(stamp), place)
        os.fsync(descriptor)


def clear_stamp(file: Path, size_bytes: int, stamp: str) -> None:
    """Write zeros where the stamp stands."""
    with _opened(file) as descriptor:
        for place in stamp_places(size_bytes):
            if os.pread(descriptor, STAMP_BYTES, place) == _block(stamp):
                os.pwrite(descriptor, bytes(STAMP_BYTES), place)
        os.fsync(descriptor)


def _block(stamp: str) -> bytes:
    return checked_stamp(stamp).encode("ascii").ljust(STAMP_BYTES, b"\0")


def _magic(descriptor: int) -> str | None:
    found = (fs for fs, (at, magic) in _MAGIC.items() if os.pread(descriptor, len(magic), at) == magic)
    return next(found, None)


@contextmanager
def _opened(file: Path) -> Iterator[int]:
    descriptor = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
