"""What a device holds: where the stamp stands, what blkid says, and the judgement on both. Pure.

The stamp marks a device on which mkfs was begun (law 6). It stands at three places, each of 4 KiB, that neither
mkfs.ext4 nor mkfs.xfs writes with the options of `rdscsi.host.filesystems`; `tests/host/test_stamp_places.py` proves it
over many sizes. It is cleared after mkfs and before the first mount, so whoever finds one knows: nobody but mkfs wrote.
"""

from dataclasses import dataclass, field

from rdscsi.errors import DeviceUnavailable
from rdscsi.host.ports import Content, ContentKind

MIB = 1 << 20
STAMP_BYTES = 4096
LONGEST_STAMP = 256

_PLACES = ((5, 7), (11, 13), (9, 10))
"""Fractions of the device's size, by measurement: clear of block group starts, allocation groups and both journals."""

_NOTHING_FOUND, _AMBIVALENT = 2, 8


def stamp_places(size_bytes: int) -> list[int]:
    """Return the offsets at which a device of this size bears the stamp. Raises ValueError below 1 MiB."""
    if size_bytes < MIB:
        raise ValueError(f"a device of {size_bytes} bytes has no room for a stamp")
    return [size_bytes * part // whole // STAMP_BYTES * STAMP_BYTES for part, whole in _PLACES]


def checked_stamp(stamp: str) -> str:
    """Return the stamp when it can be one. Raises ValueError."""
    if not 0 < len(stamp) <= LONGEST_STAMP or not stamp.isascii() or "\0" in stamp:
        raise ValueError(f"a stamp has 1 to {LONGEST_STAMP} ASCII characters, this is {stamp!r}")
    return stamp


@dataclass(frozen=True, slots=True)
class Identification:
    """What `blkid -p` found. `found` False: no signature it knows. `ambivalent`: several that contradict."""

    found: bool
    ambivalent: bool = False
    tags: dict[str, str] = field(default_factory=dict)


def parse_blkid(status: int, stdout: str, stderr: str) -> Identification:
    """Read the answer of `blkid -p -o export`.

    Raises DeviceUnavailable for anything but a clear answer. Status 2 alone means "nothing found or not readable"
    (blkid(8)); the caller has read the device itself before and knows which.
    """
    if status == 0:
        tags = dict(line.split("=", 1) for line in stdout.splitlines() if "=" in line)
        return Identification(found=True, tags=tags)
    if status == _NOTHING_FOUND and not stderr.strip():
        return Identification(found=False)
    if status == _AMBIVALENT:
        return Identification(found=True, ambivalent=True)
    raise DeviceUnavailable(f"blkid: exit status {status}: {stderr.strip()[-200:] or 'no words'}")


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
