"""What the simulated kernel knows: connections, mounts, device nodes. As a kernel does, it outlives the driver.

With a file it does so in truth: each change is written there, in one piece.
"""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rdscsi.host.ports import Device, Mount, Number

MAJOR = 259
_DEVTMPFS = (0, 6)
_FORMAT = 1


@dataclass(slots=True)
class Attached:
    """A connected subsystem: its device's minor number, the backing file, and the size that the kernel has seen."""

    subnqn: str
    minor: int
    file: str
    size_bytes: int

    @property
    def device(self) -> Device:
        """The device as `Host` tells of it."""
        return Device(self.subnqn, f"/dev/simulated{self.minor}", (MAJOR, self.minor), self.size_bytes, self.file)

    def take_in_size(self) -> None:
        """See how large the backing file has grown."""
        self.size_bytes = max(self.size_bytes, os.stat(self.file).st_size)


@dataclass(slots=True)
class Kernel:
    """The state. Whoever changes it calls `save`."""

    file: Path | None = None
    attached: dict[str, Attached] = field(default_factory=dict)
    mounts: list[Mount] = field(default_factory=list)
    nodes: dict[str, Number] = field(default_factory=dict)
    boots: int = 1

    def free_minor(self) -> int:
        """Return the lowest minor number that is not in use; a mounted filesystem keeps its device's."""
        used = {one.minor for one in self.attached.values()} | {mount.number[1] for mount in self.mounts}
        return next(minor for minor in range(len(used) + 1) if minor not in used)

    def find_attached(self, number: Number) -> Attached | None:
        """Return what has this number now."""
        return next((one for one in self.attached.values() if one.device.number == number), None)

    def top(self, path: str) -> Mount | None:
        """Return the topmost mount of a path."""
        return next((mount for mount in reversed(self.mounts) if mount.mount_point == path), None)

    def node_at(self, path: str) -> Number | None:
        """Return the number of the block device node that a path shows."""
        top = self.top(path)
        if top is not None and top.number == _DEVTMPFS:
            return (MAJOR, int(top.root.removeprefix("/simulated")))
        return self.nodes.get(path) if top is None else None

    def bound(self, source: str, mount_point: str, *, readonly: bool) -> Mount:
        """Return what a bind of `source` looks like in mountinfo."""
        options = ("ro" if readonly else "rw", "relatime")
        under = self.top(source)
        if under is not None:
            return Mount(
                mount_point, under.number, under.root, under.fs_type, under.source, options, under.super_options
            )
        if source.startswith("/dev/simulated"):
            return Mount(mount_point, _DEVTMPFS, source.removeprefix("/dev"), "devtmpfs", "devtmpfs", options, ("rw",))
        return Mount(mount_point, (254, 0), source, "ext4", "/dev/root", options, ("rw",))

    def reboot(self) -> None:
        """Forget what a reboot forgets. Device nodes are on a disk and stay."""
        self.boots += 1
        self.attached.clear()
        self.mounts.clear()
        self.save()

    def save(self) -> None:
        """Write the state to its file, if it has one."""
        if self.file is None:
            return
        content = {
            "format": _FORMAT,
            "boots": self.boots,
            "attached": [asdict(one) for one in self.attached.values()],
            "mounts": [asdict(one) for one in self.mounts],
            "nodes": self.nodes,
        }
        fresh = self.file.with_name(f".{self.file.name}.new")
        fresh.write_text(json.dumps(content, indent=1))
        os.replace(fresh, self.file)


def open_kernel(state_dir: Path | None) -> Kernel:
    """Return the kernel whose state is in a directory, a freshly booted one when there is none."""
    if state_dir is None:
        return Kernel()
    state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = state_dir / "kernel.json"
    if not file.exists():
        return Kernel(file)
    content: dict[str, Any] = json.loads(file.read_text())  # Any: JSON of our own, format 1
    return Kernel(
        file,
        {one["subnqn"]: Attached(**one) for one in content["attached"]},
        [_mount(one) for one in content["mounts"]],
        {path: _pair(number) for path, number in content["nodes"].items()},
        content["boots"],
    )


def _mount(fields: dict[str, Any]) -> Mount:
    own = {**fields, "number": _pair(fields["number"])}
    return Mount(**{**own, **{name: tuple(fields[name]) for name in ("options", "super_options")}})


def _pair(numbers: Iterable[int]) -> Number:
    major, minor = numbers
    return major, minor
