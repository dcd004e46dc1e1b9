"""What a device holds: where the stamp stands, what libblkid says, and the judgement on both. Pure.

The stamp marks a device on which mkfs was begun (law 6). It stands at three places of 4 KiB, chosen so that mkfs.ext4
and mkfs.xfs, with the options of `rdscsi.host.filesystems`, leave them alone: all three, or two on some sizes below
256 MiB; one is enough. `tests/host/test_stamp_places.py` measures it over many sizes. The stamp is cleared after mkfs
and before the first mount, so whoever finds one knows: nobody but mkfs has written.
"""

from dataclasses import dataclass, field

from rdscsi.host.ports import Content, ContentKind

MIB = 1 << 20
STAMP_BYTES = 4096
LONGEST_STAMP = 256

_PARTS = ((7, 9), (11, 13), (12, 13))
"""Fractions of the size: beyond the journals, which are in the middle, and the start of XFS' last allocation group."""

_GRIDS = ((4096 * MIB, 128 * MIB, 77 * MIB), (256 * MIB, 8 * MIB, 5 * MIB))
"""From a size on: ext4's block groups (of 4 or 1 KiB blocks), and how far behind the start of one the stamp stands."""


def stamp_places(size_bytes: int) -> list[int]:
    """Return the offsets at which a device of this size bears the stamp. Raises ValueError below 1 MiB."""
    if size_bytes < MIB:
        raise ValueError(f"a device of {size_bytes} bytes has no room for a stamp")
    return [_place(size_bytes, size_bytes * part // whole) for part, whole in _PARTS]


def _place(size_bytes: int, about: int) -> int:
    for least, grid, behind in _GRIDS:
        if size_bytes >= least:
            about = about // grid * grid + behind
            break
    return about // STAMP_BYTES * STAMP_BYTES


def checked_stamp(stamp: str) -> str:
    """Return the stamp when it can be one. Raises ValueError."""
    if not 0 < len(stamp) <= LONGEST_STAMP or not stamp.isascii() or "\0" in stamp:
        raise ValueError(f"a stamp has 1 to {LONGEST_STAMP} ASCII characters, this is {stamp!r}")
    return stamp


@dataclass(frozen=True, slots=True)
class Identification:
    """What libblkid found. `found` False: no signature it knows. `ambivalent`: several that contradict."""

    found: bool
    ambivalent: bool = False
    tags: dict[str, str] = field(default_factory=dict)


def judge(*, blank: bool, stamped: bool, identified: Identification) -> Content:
    """Say what a device holds. `blank`: all that was read is zeros; `stamped`: our stamp stands somewhere."""
    tags = identified.tags
    if stamped:
        return Content(ContentKind.STAMPED, tags.get("TYPE", ""))
    if identified.ambivalent:
        return Content(ContentKind.OTHER, detail="several signatures that contradict each other")
    if tags.get("USAGE") == "filesystem" and "TYPE" in tags and "PTTYPE" not in tags:
        return Content(ContentKind.FILESYSTEM, tags["TYPE"])
    if identified.found:
        shown = ", ".join(f"{key}={value}" for key, value in sorted(tags.items()) if key in ("TYPE", "USAGE", "PTTYPE"))
        return Content(ContentKind.OTHER, detail=shown or "a signature that is no filesystem's")
    if not blank:
        return Content(ContentKind.OTHER, detail="no known signature, and yet not all zeros")
    return Content(ContentKind.BLANK)
