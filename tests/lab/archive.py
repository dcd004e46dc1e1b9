"""Two file formats of booting: the cpio archive of an initramfs, and the kernel inside a bzImage. Pure."""

import lzma
import stat
from collections.abc import Iterable
from dataclasses import dataclass

_TRAILER = "TRAILER!!!"
_ELF = b"\x7fELF"
_XZ = b"\xfd7zXZ\x00"


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, or a directory where `content` is None. `name` has no leading slash."""

    name: str
    content: bytes | None = None
    executable: bool = False

    @property
    def mode(self) -> int:
        """Type and permissions, as in st_mode."""
        kind = stat.S_IFDIR if self.content is None else stat.S_IFREG
        return kind | (0o755 if self.content is None or self.executable else 0o644)


def render_cpio(entries: Iterable[Entry]) -> bytes:
    """Write an archive in the "new ASCII" format (Linux: driver-api/early-userspace/buffer-format.rst)."""
    parts = [_record(number, entry) for number, entry in enumerate([*entries, Entry(_TRAILER, b"")], start=1)]
    return b"".join(parts)


def _record(number: int, entry: Entry) -> bytes:
    content, name = entry.content or b"", entry.name.encode() + b"\x00"
    mode = 0 if entry.name == _TRAILER else entry.mode
    fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name), 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields)
    return _padded(header + name) + _padded(content)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def find_vmlinux(image: bytes) -> bytes | None:
    """Take the uncompressed kernel out of a bzImage (Linux: Documentation/arch/x86/boot.rst, payload_offset).

    QEMU boots it through its PVH note; nothing has to be decompressed by an emulated processor. None where it is not
    compressed by XZ: then the bzImage itself boots, some seconds slower.
    """
    setup_sectors = image[0x1F1] or 4
    start = (setup_sectors + 1) * 512 + int.from_bytes(image[0x248:0x24C], "little")
    payload = image[start : start + int.from_bytes(image[0x24C:0x250], "little")]
    if not payload.startswith(_XZ):
        return None
    kernel = lzma.LZMADecompressor(format=lzma.FORMAT_XZ).decompress(payload)
    return kernel if kernel.startswith(_ELF) else None
