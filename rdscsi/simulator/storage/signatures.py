"""What a block of bytes holds: file system, label and UUID by their magic numbers (Linux on-disk formats).

Only what a target would recognise at a rescan: ext4, xfs, btrfs, squashfs, iso, ntfs, exfat, fat32.
"""

import os
import uuid
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Signature:
    """`kind` is "-" when nothing is recognised."""

    kind: str
    label: str = ""
    uuid: str = ""


NOTHING_THERE = Signature("-")
_SIMPLE = ((0, b"hsqs", "squashfs"), (3, b"NTFS    ", "ntfs"), (3, b"EXFAT   ", "exfat"), (82, b"FAT32   ", "fat32"),
           (32769, b"CD001", "iso"))  # fmt: skip


def recognise(path: Path) -> Signature:
    """The signature of a file's content; a file that cannot be read holds nothing."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return NOTHING_THERE
    try:
        return _recognise(os.pread(descriptor, 4096, 0), os.pread(descriptor, 1024, 65536), descriptor)
    finally:
        os.close(descriptor)


def _recognise(head: bytes, btrfs: bytes, descriptor: int) -> Signature:
    if head[:4] == b"XFSB":
        return Signature("xfs", _text(head[108:120]), _uuid(head[32:48]))
    if head[1080:1082] == b"\x53\xef":
        return Signature("ext4", _text(head[1144:1160]), _uuid(head[1128:1144]))
    if btrfs[64:72] == b"_BHRfS_M":
        return Signature("btrfs", _text(btrfs[299:555]), _uuid(btrfs[32:48]))
    for offset, magic, kind in _SIMPLE:
        found = head[offset : offset + 8] if offset < 4000 else os.pread(descriptor, 8, offset)
        if found.startswith(magic):
            return Signature(kind)
    return NOTHING_THERE


def _text(raw: bytes) -> str:
    return raw.split(b"\0", 1)[0].decode("latin-1")


def _uuid(raw: bytes) -> str:
    return str(uuid.UUID(bytes=raw)) if len(raw) == 16 else ""
