"""The root of a node: a tree of its own with the canonical paths of kubelet and containerd, made and entered once.

Runs in the node's fresh mount, network, pid and UTS namespaces, before anything else does. Programs and libraries are
the machine's own, read-only; what a node writes lies below its directory, so that the machine's root stays as it is.
"""

import ctypes
import os
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

_MNT_DETACH = 2
_FROM_MACHINE = ("usr", "lib", "lib32", "lib64", "libx32", "bin", "sbin")
_FOR_PROGRAMS = ("etc", "run", "tmp", "opt", "root", "mnt", "srv", "home", "proc", "sys", "dev")
_EMPTY = (*_FOR_PROGRAMS, "var/lib", "var/log", "var/tmp", "run/udev")


class Root(TypedDict):
    """What a node's root is made from: `binds` maps paths of the node to the machine's, `files` to content."""

    hostname: str
    directory: str
    binds: Mapping[str, str]
    read_only: Mapping[str, str]
    files: Mapping[str, str]


def enter(root: Root) -> None:
    """Make the root and move into it. Raises CalledProcessError or OSError; the process is of no use then."""
    directory = Path(root["directory"])
    directory.mkdir(parents=True, exist_ok=True)
    _mount("--make-rprivate", "/")
    _mount("-t", "tmpfs", "-o", "mode=755,size=256m", "node", str(directory))
    for name in _EMPTY:
        (directory / name).mkdir(parents=True, exist_ok=True)
    (directory / "tmp").chmod(0o1777)
    _take_from_machine(directory)
    for inside, outside in root["read_only"].items():
        _bind(Path(outside), directory / inside.lstrip("/"), "ro")
    for inside, outside in root["binds"].items():
        _bind(Path(outside), directory / inside.lstrip("/"), "rw")
    for name, content in root["files"].items():
        path = directory / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    _move_into(directory)
    socket.sethostname(root["hostname"])


def _take_from_machine(directory: Path) -> None:
    for name in _FROM_MACHINE:
        source = Path("/", name)
        if source.is_symlink():
            (directory / name).symlink_to(source.readlink())
        elif source.is_dir():
            _bind(source, directory / name, "ro")
    _mount("--rbind", "/dev", str(directory / "dev"))
    _mount("-t", "sysfs", "sysfs", str(directory / "sys"))
    _mount("--rbind", "/sys/fs/cgroup", str(directory / "sys/fs/cgroup"))
    _mount("-t", "proc", "proc", str(directory / "proc"))


def _bind(source: Path, target: Path, mode: str) -> None:
    target.mkdir(parents=True, exist_ok=True)
    _mount("--bind", str(source), str(target))
    if mode == "ro":
        _mount("-o", "remount,bind,ro", str(target))


def _move_into(directory: Path) -> None:
    """Change the root; the machine's tree is detached, so that the node's mount table holds the node's mounts alone."""
    old = directory / "mnt"
    os.chdir(directory)
    libc = ctypes.CDLL(None, use_errno=True)
    _check(libc.syscall(_pivot_root_number(), b".", str(old).encode()))
    os.chdir("/")
    _check(libc.umount2(b"/mnt", _MNT_DETACH))
    _mount("--make-rshared", "/")  # kubelet's mounts must reach containers, and the driver's must reach kubelet


def _pivot_root_number() -> int:
    return {"x86_64": 155, "aarch64": 41}[os.uname().machine]


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _mount(*arguments: str) -> None:
    subprocess.run(("mount", *arguments), check=True, timeout=20)
