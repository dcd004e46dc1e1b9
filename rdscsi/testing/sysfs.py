"""A sysfs with NVMe in it: made from a capture, or by connecting; and a kernel that answers to writes."""

import errno
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import trio

from rdscsi.host.calls import Calls, Plain, Reply
from rdscsi.host.process import Processes

_FIELDS = {"nqn": "subsysnqn", "hostnqn": "hostnqn", "hostid": "hostid"}


def restore_capture(text: str, root: Path) -> None:
    """Make the tree that a capture describes below `root`, which stands for `/`.

    Lines are `link -> target`, and `path = content` with `|` for line feeds; those that begin with # say where it is
    from.
    """
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    for line in sorted(lines, key=lambda line: " -> " in line):  # what links lead to comes first
        name, content = line.split(" -> " if " -> " in line else " = ", 1)
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        if " -> " in line:
            path.symlink_to(content)
        else:
            path.write_text(content.replace("|", "\n"))


@dataclass
class NvmeTree:
    """A sysfs root that is changed as the kernel changes it. `size_bytes` is what a rescan shows of each namespace."""

    sys: Path
    size_bytes: int = 64 << 20
    multipath: bool = True
    offered: dict[str, set[str]] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    namespaces: bool = True
    controllers: int = 0

    def __post_init__(self) -> None:
        for name in ("class/nvme", "class/nvme-subsystem", "devices/virtual/nvme-fabrics/ctl", "dev/block", "block"):
            (self.sys / name).mkdir(parents=True)
        parameter = self.sys / "module/nvme_core/parameters/multipath"
        parameter.parent.mkdir(parents=True)
        parameter.write_text("Y\n" if self.multipath else "N\n")

    def offer(self, subnqn: str, *portals: str) -> None:
        """Let portals (`address:port`) offer a subsystem."""
        self.offered[subnqn] = set(portals)

    def connect(self, options: str) -> str:
        """Do what /dev/nvme-fabrics does with a line of options. Raises OSError as it does."""
        asked = dict(part.split("=", 1) for part in options.split(",") if "=" in part)
        portal = f"{asked['traddr']}:{asked['trsvcid']}"
        if portal in self.refused:
            raise OSError(self.refused[portal], os.strerror(self.refused[portal]))
        if portal not in self.offered.get(asked["nqn"], set()):
            raise OSError(errno.EIO, "Input/output error")
        if "duplicate_connect" not in options.split(",") and self._has(asked["nqn"], portal):
            raise OSError(errno.EALREADY, "Operation already in progress")
        instance = self.controllers
        self.controllers += 1
        self._add_controller(f"nvme{instance}", asked)
        return f"instance={instance},cntlid=1\n"

    def delete(self, controller: str) -> None:
        """Remove a controller, and with its last one the subsystem and its disk."""
        path = self._controller(controller)
        subnqn = (path / "subsysnqn").read_text().strip()
        shutil.rmtree(path)
        (self.sys / "class/nvme" / controller).unlink()
        if not any((one / "subsysnqn").read_text().strip() == subnqn for one in self._controllers()):
            self._remove_subsystem(subnqn)

    def state(self, controller: str, state: str) -> None:
        """Put a controller in a state."""
        (self._controller(controller) / "state").write_text(f"{state}\n")
        if state != "live":
            address = self._controller(controller) / "address"
            address.write_text(address.read_text().split(",src_addr")[0].strip() + "\n")

    def rescan(self) -> None:
        """Let every disk have the size that its target has."""
        for size in self.sys.glob("devices/virtual/**/nvme*n*/size"):
            size.write_text(f"{self.size_bytes // 512}\n")

    def _has(self, subnqn: str, portal: str) -> bool:
        address = "traddr={},trsvcid={}".format(*portal.rsplit(":", 1))
        return any(
            (one / "subsysnqn").read_text().strip() == subnqn and (one / "address").read_text().startswith(address)
            for one in self._controllers()
        )

    def _controllers(self) -> list[Path]:
        return sorted((self.sys / "devices/virtual/nvme-fabrics/ctl").iterdir())

    def _controller(self, name: str) -> Path:
        return self.sys / "devices/virtual/nvme-fabrics/ctl" / name

    def _add_controller(self, name: str, asked: dict[str, str]) -> None:
        path = self._controller(name)
        path.mkdir()
        for field_, attribute in _FIELDS.items():
            (path / attribute).write_text(asked[field_] + "\n")
        (path / "address").write_text(f"traddr={asked['traddr']},trsvcid={asked['trsvcid']},src_addr=127.0.0.1\n")
        (path / "state").write_text("live\n")
        (self.sys / "class/nvme" / name).symlink_to(f"../../devices/virtual/nvme-fabrics/ctl/{name}")
        subsystem = self.subsystem(asked["nqn"])
        if not subsystem.exists():
            subsystem.mkdir(parents=True)
            (subsystem / "subsysnqn").write_text(asked["nqn"] + "\n")
            link = self.sys / "class/nvme-subsystem" / subsystem.name
            link.symlink_to(f"../../devices/virtual/nvme-subsystem/{subsystem.name}")
        if self.namespaces:
            self._add_disk(path if not self.multipath else subsystem, name.removeprefix("nvme"), asked["nqn"])

    def subsystem(self, subnqn: str) -> Path:
        """The directory of a subsystem."""
        number = sorted(self.offered).index(subnqn)
        return self.sys / f"devices/virtual/nvme-subsystem/nvme-subsys{number}"

    def _add_disk(self, parent: Path, instance: str, subnqn: str) -> None:
        if list(parent.glob("nvme*n1")):
            return
        disk = parent / f"nvme{instance}n1"
        disk.mkdir()
        content = {"dev": f"259:{instance}", "size": str(self.size_bytes // 512), "hidden": "0", "nsid": "1"}
        for name, text in (content | {"wwid": f"uuid.{subnqn[-8:]}"}).items():
            (disk / name).write_text(text + "\n")

    def _remove_subsystem(self, subnqn: str) -> None:
        path = self.subsystem(subnqn)
        if path.exists():
            shutil.rmtree(path)
            (self.sys / "class/nvme-subsystem" / path.name).unlink()


class KernelCalls(Calls):
    """Calls that reach an NvmeTree in place of the kernel. `before` is called with each of them, and may raise."""

    def __init__(self, tree: NvmeTree) -> None:
        super().__init__(Processes())
        self.tree = tree
        self.made: list[str] = []
        self.before: Callable[[str], None] = lambda _: None

    async def make(self, name: str, *arguments: Plain, deadline: float = 0.0) -> Reply:
        """Answer one call."""
        await trio.lowlevel.checkpoint()
        target, text = str(arguments[0]), str(arguments[1])
        about = text if name == "exchange" else f"{Path(target).name} {Path(target).parent.name}"
        self.made.append(about)
        self.before(about)
        if name == "exchange":
            return self.tree.connect(text)
        if not Path(target).parent.exists():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        if target.endswith("delete_controller"):
            self.tree.delete(Path(target).parent.name)
        else:
            self.tree.rescan()
        return None
