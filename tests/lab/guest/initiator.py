"""The kernel's NVMe/TCP initiator by hand: connecting by /dev/nvme-fabrics, looking by sysfs. Not the driver's code."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

FABRICS = Path("/dev/nvme-fabrics")
CONTROLLERS = Path("/sys/class/nvme")
SUBSYSTEMS = Path("/sys/class/nvme-subsystem")
HOST = "nqn.2026-01.io.example:host-1"
HOST_ID = "11111111-1111-4111-8111-111111111111"
STRANGER = "nqn.2026-01.io.example:stranger"
STRANGER_ID = "33333333-3333-4333-8333-333333333333"
_LOOK = 0.02

T = TypeVar("T")


def wait_for(look: Callable[[], T | None], seconds: float = 20.0) -> T:
    """Look until there is something. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"nothing came within {seconds:g} s")
        time.sleep(_LOOK)
    return found


def options(nqn: str, **changed: str | int | None) -> str:
    """What is written to /dev/nvme-fabrics; None leaves an option out, "" writes it as a bare word."""
    given: dict[str, str | int | None] = {
        "transport": "tcp",
        "traddr": "127.0.0.1",
        "trsvcid": 4420,
        "nqn": nqn,
        "hostnqn": HOST,
        "hostid": HOST_ID,
        "ctrl_loss_tmo": 30,
        "reconnect_delay": 1,
        "keep_alive_tmo": 5,
        **changed,
    }
    return ",".join(name if value == "" else f"{name}={value}" for name, value in given.items() if value is not None)


def connect(nqn: str, **changed: str | int | None) -> str:
    """Connect; the name of the controller. Raises OSError with the kernel's errno."""
    descriptor = os.open(FABRICS, os.O_RDWR)
    try:
        os.write(descriptor, options(nqn, **changed).encode())
        answer = os.read(descriptor, 4096).decode()
    finally:
        os.close(descriptor)
    return "nvme" + dict(pair.split("=") for pair in answer.strip().split(","))["instance"]


def read(path: Path) -> str:
    """Read an attribute; "" where it is gone."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def controllers(nqn: str) -> list[Path]:
    """The controllers of a subsystem, whatever their state."""
    return [path for path in sorted(CONTROLLERS.iterdir()) if read(path / "subsysnqn") == nqn]


def state(nqn: str) -> str:
    """The state of the only controller; "" when there is none."""
    found = controllers(nqn)
    return read(found[0] / "state") if found else ""


def subsystem(nqn: str) -> Path | None:
    """The subsystem's directory."""
    return next((path for path in SUBSYSTEMS.iterdir() if read(path / "subsysnqn") == nqn), None)


def find_disk(nqn: str) -> Path | None:
    """The disk's directory in sysfs: a child of the subsystem (multipath=Y) or of a controller (multipath=N)."""
    parents = [path for path in (subsystem(nqn), *controllers(nqn)) if path is not None]
    found = (path for parent in parents for path in parent.glob("nvme*n*") if read(path / "hidden") == "0")
    return next(found, None)


def find_node(nqn: str) -> Path | None:
    """The disk's device node."""
    disk = find_disk(nqn)
    node = Path("/dev") / disk.name if disk else None
    return node if node and node.exists() else None


def connected(nqn: str, **changed: str | int | None) -> Path:
    """Connect and wait for the disk; its device node."""
    connect(nqn, **changed)
    return wait_for(lambda: find_node(nqn))


def size(node: Path) -> int:
    """The disk's size in bytes."""
    return int(read(Path("/sys/block") / node.name / "size")) * 512


def disconnect(nqn: str) -> None:
    """Disconnect every controller, and wait until they are gone."""
    for path in controllers(nqn):
        (path / "delete_controller").write_text("1")
    wait_for(lambda: not controllers(nqn))


def disconnect_all() -> None:
    """Disconnect everything there is."""
    for nqn in {read(path / "subsysnqn") for path in CONTROLLERS.iterdir()}:
        disconnect(nqn)
