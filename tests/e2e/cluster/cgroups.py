"""The cgroups of one cluster: a subtree of its own in each hierarchy (version 1) or in the one there is (version 2)."""

import contextlib
import os
from pathlib import Path

_MOUNT = Path("/sys/fs/cgroup")
_CONTROLLERS = ("cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "systemd")


def unified() -> bool:
    """Whether this machine has cgroup version 2 alone."""
    return (_MOUNT / "cgroup.controllers").exists()


def make(tag: str, node: str) -> str:
    """Make the subtree of a node; its path as kubelet's cgroupRoot names it."""
    if unified():
        _make_unified(_MOUNT / tag / node)
    else:
        for controller in _CONTROLLERS:
            if (_MOUNT / controller).is_dir():
                _make(_MOUNT / controller, Path(tag, node))
    return f"/{tag}/{node}"


def _make(hierarchy: Path, path: Path) -> None:
    for part in (path.parent, path):
        (hierarchy / part).mkdir(exist_ok=True)
        for name in ("cpuset.cpus", "cpuset.mems"):  # empty at first, and then nothing may run there
            if (hierarchy / part / name).exists():
                (hierarchy / part / name).write_text((hierarchy / part.parent / name).read_text())


def _make_unified(path: Path) -> None:
    path.mkdir(parents=True, exist_ok=True)
    for part in (path.parent.parent, path.parent, path):
        for controller in (part / "cgroup.controllers").read_text().split():
            with contextlib.suppress(OSError):  # one that cannot be delegated is missed by kubelet, which names it
                (part / "cgroup.subtree_control").write_text(f"+{controller}")


def find(tag: str, node: str = "") -> list[Path]:
    """Every directory of the subtrees of a cluster, or of one node of it, innermost first."""
    tops = [_MOUNT / tag / node] if unified() else [entry / tag / node for entry in _MOUNT.iterdir()]
    return [Path(path) for top in tops if top.is_dir() for path, _, _ in os.walk(top, topdown=False)]


def remove(tag: str, node: str = "") -> None:
    """Remove what is empty of the subtrees of a cluster, or of one node of it."""
    for path in find(tag, node):
        with contextlib.suppress(OSError):  # busy: a process is still on its way out, and the caller looks again
            path.rmdir()
