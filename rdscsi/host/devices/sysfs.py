"""What sysfs tells of NVMe subsystems, their controllers and disks. Pure over a sysfs root; nothing here waits.

A namespace's disk is `nvme<S>n<N>` in its subsystem's directory, or in the controller's (`nvme_core.multipath=N`).
`nvme<S>c<C>n<N>` are hidden paths without a device node. S is the subsystem's instance, not the controller's, so a name
is never guessed from another. What vanishes while it is read was removed; any other failure is raised as OSError.
"""

import errno
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

LIVE = "live"
GOING = ("deleting", "deleting (no IO)")
DEAD = "dead"

_SECTOR = 512  # the unit of `size`, whatever the device's own sectors are
_DISK = re.compile(r"nvme[0-9]+n[0-9]+", re.ASCII)
_ATTRIBUTE_BYTES = 4096  # no attribute is longer than a page
_VANISHED = (errno.ENOENT, errno.ENODEV, errno.ENXIO, errno.ENOTDIR)


@dataclass(frozen=True, slots=True)
class Disk:
    """A namespace's block device. `wwid` is the kernel's text for uuid, nguid, eui or serial, in this order."""

    name: str
    number: tuple[int, int]
    size_bytes: int
    nsid: str
    wwid: str


@dataclass(frozen=True, slots=True)
class NvmeController:
    """One connection to a portal. `address` loses its src_addr while connecting, so it is never compared whole."""

    name: str
    subnqn: str
    hostnqn: str
    state: str
    address: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Subsystem:
    """All that the kernel has under one NQN. Without controllers it is not connected, and only awaits its last user."""

    subnqn: str
    controllers: tuple[NvmeController, ...]
    disks: tuple[Disk, ...]

    @property
    def live(self) -> tuple[NvmeController, ...]:
        """The controllers that carry I/O now."""
        return tuple(one for one in self.controllers if one.state == LIVE)

    @property
    def states(self) -> str:
        """The controllers and their states, for people."""
        return ", ".join(f"{one.name} {one.state}" for one in self.controllers) or "no controller"


def read_subsystems(sysfs: Path, wanted: Callable[[str], bool] = lambda _: True) -> list[Subsystem]:
    """Return the NVMe subsystems whose NQN is wanted, with all that the kernel has of each.

    Those are among them that have only a controller, or only a directory left.
    """
    controllers: dict[str, list[tuple[NvmeController, Path]]] = {}
    for path in _entries(sysfs / "class" / "nvme"):
        controller = _controller(path, wanted)
        if controller is not None:
            controllers.setdefault(controller.subnqn, []).append((controller, path))
    directories: dict[str, list[Path]] = {}
    for path in _entries(sysfs / "class" / "nvme-subsystem"):
        subnqn = _attribute(f"{path}/subsysnqn")
        if subnqn and wanted(subnqn):
            directories.setdefault(subnqn, []).append(path)
    return [
        _subsystem(subnqn, controllers.get(subnqn, []), directories.get(subnqn, []))
        for subnqn in sorted({*controllers, *directories})
    ]


def multipath(sysfs: Path) -> bool:
    """Tell whether several controllers of a subsystem share one disk (`nvme_core.multipath`)."""
    return _attribute(sysfs / "module" / "nvme_core" / "parameters" / "multipath") == "Y"


def parse_address(text: str) -> dict[str, str]:
    """Read `traddr=…,trsvcid=…`; parts without `=` are left out."""
    return dict(part.split("=", 1) for part in text.split(",") if "=" in part)


def partitions(sysfs: Path, number: tuple[int, int]) -> list[Path]:
    """Return the directories of a block device and of its partitions; none when there is no such device."""
    own = sysfs / "dev" / "block" / f"{number[0]}:{number[1]}"
    if not own.exists():
        return []
    return [own, *(path for path in _entries(own) if (path / "partition").exists())]


def read_number(device: Path) -> tuple[int, int] | None:
    """Return (major, minor) of a block device's directory; None when it is gone."""
    text = _attribute(f"{device}/dev")
    major, separator, minor = (text or "").partition(":")
    return (int(major), int(minor)) if separator else None


def holders_of(device: Path) -> list[str]:
    """Return the names of the block devices that stand on this one (device mapper, md)."""
    return [path.name for path in _entries(device / "holders")]


def _subsystem(subnqn: str, controllers: list[tuple[NvmeController, Path]], directories: list[Path]) -> Subsystem:
    disks: dict[tuple[int, int], Disk] = {}
    for directory in (*directories, *(path for _, path in controllers)):
        for name in filter(_DISK.fullmatch, _names(directory)):
            disk = _disk(directory / name)
            if disk is not None:
                disks[disk.number] = disk
    return Subsystem(subnqn, tuple(one for one, _ in controllers), tuple(disks.values()))


def _controller(path: Path, wanted: Callable[[str], bool]) -> NvmeController | None:
    subnqn = _attribute(f"{path}/subsysnqn")
    state = _attribute(f"{path}/state") if subnqn and wanted(subnqn) else None
    if not subnqn or state is None:
        return None
    address = parse_address(_attribute(f"{path}/address") or "")
    return NvmeController(path.name, subnqn, _attribute(f"{path}/hostnqn") or "", state, address)


def _disk(path: Path) -> Disk | None:
    number, size = read_number(path), _attribute(f"{path}/size")
    if number is None or size is None or _attribute(f"{path}/hidden") == "1":
        return None
    return Disk(
        path.name, number, int(size) * _SECTOR, _attribute(f"{path}/nsid") or "", _attribute(f"{path}/wwid") or ""
    )


def _entries(directory: Path) -> Iterator[Path]:
    for name in _names(directory):
        yield directory / name


def _names(directory: Path) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except OSError as error:
        if error.errno not in _VANISHED:
            raise
        return []


def _attribute(path: Path | str) -> str | None:
    """Read an attribute without its padding; None when it, or its device, is not there (any more).

    By system calls alone: with many volumes one look reads hundreds, and a file object costs five times more.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.read(descriptor, _ATTRIBUTE_BYTES).decode().strip()
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _VANISHED:
            raise
        return None
