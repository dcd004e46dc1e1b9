"""Exports the simulated RDS's file disks for real: NVMe/TCP by this machine's kernel (nvmet, through configfs).

One subsystem for each exported disk, its file as namespace 1, a port for each TCP port and address, as routeros.md §6
has it. Every call compares what is there with what is wanted and changes only that, so that a kill in between does no
harm: the next start sets it right. Taking an export back cuts live I/O at once: the namespace is disabled first, then
the link to the port goes, and with it every connection.

Needs root and Debian's modules. O_DIRECT must work where the files are: not on tmpfs or overlay.
"""

from __future__ import annotations

import enum
import glob
import subprocess
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

from rdscsi.simulator.storage.exports import Export

CONFIGFS = Path("/sys/kernel/config/nvmet")
EVERYWHERE = "0.0.0.0"  # noqa: S104 - an appliance serves on all of its addresses
_TOOL_SECONDS = 30.0
_LAST_PORT = 65535


class Backing(enum.Enum):
    """What initiators see of a file: as it is (blocks of 4096 bytes on Btrfs), or by a loop device (512 bytes)."""

    FILE = "file"
    LOOP = "loop"


class Growth(enum.Enum):
    """How initiators learn that a file has grown: by an event, or only when they look again."""

    EVENT = "event"
    RESCAN = "rescan"


class Uuids(enum.Enum):
    """Whether an export has the namespace UUID that it had before, or a new one each time, as nvmet gives by itself.

    An initiator that finds another UUID when its connection comes back drops the disk, and what is mounted fails: with
    new ones no reboot of the appliance is survived. What a real RDS does is not known.
    """

    DRAWN = "drawn"
    KEPT = "kept"


class Nvmet:
    """The kernel's target, as far as its namespaces are files below `home`; what others configured stays."""

    def __init__(
        self,
        home: Path,
        *,
        addresses: tuple[str, ...] = (EVERYWHERE,),
        backing: Backing = Backing.FILE,
        growth: Growth = Growth.RESCAN,
        uuids: Uuids = Uuids.DRAWN,
        configfs: Path = CONFIGFS,
    ) -> None:
        self._home = home.resolve()
        self._addresses = addresses
        self._backing = backing
        self._growth = growth
        self._uuids = uuids
        self._root = configfs
        if not configfs.is_dir():
            _tool("modprobe", "-a", "nvmet", "nvmet-tcp")
        if backing is Backing.LOOP and not Path("/dev/loop-control").exists():
            _tool("modprobe", "loop")

    # -- storage.exports.Exporter ----------------------------------------------------------------------------------

    def offer(self, export: Export) -> None:
        """Export a disk, or let an export follow what was changed of its disk. Raises OSError when it is refused."""
        subsystem = self._subsystem(export.nqn)
        if subsystem.is_dir() and self._file_of(subsystem) != export.backing.resolve():
            self.withdraw(export.nqn)
        if subsystem.is_dir():
            self._tell_size(subsystem)
        else:
            subsystem.mkdir()
        self._enable(subsystem, export.backing.resolve())
        self._admit(subsystem, export.allowed_host)
        self._link(subsystem, export.port)

    def withdraw(self, nqn: str) -> None:
        """End an export, live I/O and connections with it. Nothing exported under this name is a success.

        An initiator may hear that the namespace is gone, or only lose its connection; it loses its disk, or keeps it
        and tries to connect until ctrl_loss_tmo is over.
        """
        subsystem = self._subsystem(nqn)
        if subsystem.is_dir():
            self._disable(subsystem)
            self._remove(subsystem)

    def reset(self, exports: Iterable[Export]) -> None:
        """Export exactly these."""
        wanted = {export.nqn: export for export in exports}
        for nqn in [nqn for nqn in self.offered() if nqn not in wanted]:
            self.withdraw(nqn)
        for export in wanted.values():
            self.offer(export)

    def power_off(self) -> None:
        """End all exports, as an appliance that goes down does: connections break, and no initiator is told why."""
        for nqn in self.offered():
            for link in self._links(nqn):
                self._unlink(link)
            self.withdraw(nqn)

    # -- what there is ---------------------------------------------------------------------------------------------

    def offered(self) -> list[str]:
        """The NQNs of the subsystems over files below `home`, also those that were left half made."""
        return [path.name for path in sorted((self._root / "subsystems").iterdir()) if self._is_ours(path)]

    def _is_ours(self, subsystem: Path) -> bool:
        file = self._file_of(subsystem)
        return file is not None and file.is_relative_to(self._home)

    def _subsystem(self, nqn: str) -> Path:
        return self._root / "subsystems" / nqn

    def _links(self, nqn: str) -> list[Path]:
        return [port / "subsystems" / nqn for port in self._ports() if (port / "subsystems" / nqn).is_symlink()]

    def _ports(self) -> Iterator[Path]:
        return (self._root / "ports").iterdir()

    def _file_of(self, subsystem: Path) -> Path | None:
        """The file behind a subsystem's namespace; None for what has none, or a device that is no loop device."""
        namespace = subsystem / "namespaces" / "1"
        device = Path(_read(namespace / "device_path")) if namespace.is_dir() else Path("(null)")
        if not device.is_absolute():
            return None
        if not device.is_block_device():
            return device
        attached = Path("/sys/block") / device.name / "loop" / "backing_file"
        return Path(_read(attached)) if attached.is_file() else None

    # -- single changes --------------------------------------------------------------------------------------------

    def _enable(self, subsystem: Path, file: Path) -> None:
        namespace = subsystem / "namespaces" / "1"
        namespace.mkdir(exist_ok=True)
        if _read(namespace / "enable") == "1":
            return
        device = _attach(file) if self._backing is Backing.LOOP else str(file)
        _write(namespace / "device_path", device)
        if self._uuids is Uuids.KEPT:
            _write(namespace / "device_uuid", str(uuid.uuid5(uuid.NAMESPACE_URL, subsystem.name)))
        _write(namespace / "enable", "1")

    def _disable(self, subsystem: Path) -> None:
        """End live I/O; returns when none is under way."""
        namespace = subsystem / "namespaces" / "1"
        if namespace.is_dir():
            _write(namespace / "enable", "0")

    def _remove(self, subsystem: Path) -> None:
        """Cut what is connected, and take down what `offer` put up."""
        for link in self._links(subsystem.name):
            self._unlink(link)
        namespace = subsystem / "namespaces" / "1"
        device = ""
        if namespace.is_dir():
            device = _read(namespace / "device_path")
            namespace.rmdir()
        self._dismiss(list((subsystem / "allowed_hosts").iterdir()))
        subsystem.rmdir()
        if device.startswith("/dev/loop"):
            _tool("losetup", "--detach", device)

    def _tell_size(self, subsystem: Path) -> None:
        namespace = subsystem / "namespaces" / "1"
        if not namespace.is_dir() or _read(namespace / "enable") != "1":
            return
        device = _read(namespace / "device_path")
        if device.startswith("/dev/loop"):
            _tool("losetup", "--set-capacity", device)
        if self._growth is Growth.EVENT:
            _write(namespace / "revalidate_size", "1")

    def _admit(self, subsystem: Path, host: str) -> None:
        """Let one host connect, or any where `host` is empty. Who is connected stays connected."""
        allowed = subsystem / "allowed_hosts"
        self._dismiss([link for link in allowed.iterdir() if link.name != host])
        _write(subsystem / "attr_allow_any_host", "0" if host else "1")
        if host and not (allowed / host).is_symlink():
            known = self._root / "hosts" / host
            known.mkdir(exist_ok=True)
            (allowed / host).symlink_to(known)

    def _dismiss(self, links: list[Path]) -> None:
        """Strike hosts off a list; one that is on no list any more is forgotten."""
        for link in links:
            link.unlink()
            if not any(self._root.glob(f"subsystems/*/allowed_hosts/{glob.escape(link.name)}")):
                (self._root / "hosts" / link.name).rmdir()

    def _link(self, subsystem: Path, number: int) -> None:
        wanted = [self._port(address, number) / "subsystems" / subsystem.name for address in self._addresses]
        for link in [link for link in self._links(subsystem.name) if link not in wanted]:
            self._unlink(link)
        for link in [link for link in wanted if not link.is_symlink()]:
            link.symlink_to(subsystem)

    def _unlink(self, link: Path) -> None:
        """Take a subsystem off a port; a port without any goes too."""
        link.unlink()
        if not any(link.parent.iterdir()):
            link.parent.parent.rmdir()

    def _port(self, address: str, number: int) -> Path:
        """The port for an address; its id is the TCP port's number, for further addresses one that is free."""
        taken = {port.name: port for port in self._ports()}
        for port in taken.values():
            if (_read(port / "addr_traddr"), _read(port / "addr_trsvcid")) == (address, str(number)):
                return port
        free = next(name for name in map(str, (number, *range(_LAST_PORT, 0, -1))) if name not in taken)
        port = self._root / "ports" / free
        port.mkdir()
        family = "ipv6" if ":" in address else "ipv4"
        for name, value in (("adrfam", family), ("trtype", "tcp"), ("traddr", address), ("trsvcid", str(number))):
            _write(port / f"addr_{name}", value)
        return port


def _attach(file: Path) -> str:
    return _tool("losetup", "--find", "--show", "--direct-io=on", str(file))


def _tool(*command: str) -> str:
    """Run a program; its output. Raises OSError with its words when it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TOOL_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise OSError(f"{command[0]}: not done after {_TOOL_SECONDS:g} s") from error
    if done.returncode != 0:
        raise OSError(f"{command[0]}: {done.stderr.strip() or f'status {done.returncode}'}")
    return done.stdout.strip()


def _read(path: Path) -> str:
    return path.read_text().strip()


def _write(path: Path, value: str) -> None:
    path.write_text(value)
