"""The directory of a machine: made under a lock, with everything in it that booting reads; swept when it is stale.

A directory is alive while the machine's keeper holds the lock on its file `lock`.
"""

import fcntl
import json
import os
import shlex
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab import initramfs, places, qemu
from lab.failures import LabFailed
from lab.kernel import Kernel, program


@contextmanager
def _alone() -> Iterator[None]:
    """Nobody else makes or sweeps directories meanwhile."""
    places.machines().mkdir(parents=True, exist_ok=True, mode=0o700)
    with (places.machines() / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def is_held(directory: Path) -> bool:
    """Tell whether a keeper holds this directory."""
    try:
        with (directory / "lock").open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def running() -> list[str]:
    """The names of the machines that are running."""
    found = places.machines().iterdir() if places.machines().is_dir() else ()
    return sorted(path.name for path in found if path.is_dir() and is_held(path))


def _sweep() -> None:
    """Remove what killed keepers left: directories, and ends of cables that no machine has."""
    plugged = set()
    for path in [path for path in places.machines().iterdir() if path.is_dir()]:
        if is_held(path):
            plugged |= _sockets(path)
        else:
            shutil.rmtree(path, ignore_errors=True)
    for path in places.machines().glob("cable-*"):
        if str(path) not in plugged:
            path.unlink(missing_ok=True)


def _sockets(directory: Path) -> set[str]:
    """The ends of cables that a machine has."""
    try:
        return set(json.loads((directory / "keeper.json").read_text())["sockets"])
    except FileNotFoundError:  # still being filled: QEMU, which makes them, starts later
        return set()


@contextmanager
def claim(name: str) -> Iterator[tuple[Path, int]]:
    """Make the directory of a machine, empty, with the locked descriptor that keeps it: for the block, and for as long
    as a process that inherited the descriptor lives. When the block fails the directory goes again.

    Raises LabFailed when a machine of that name is running. What killed keepers left is swept first.
    """
    directory, lock = _make(name)
    try:
        yield directory, lock
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise
    finally:
        os.close(lock)


def _make(name: str) -> tuple[Path, int]:
    directory = places.machine(name)
    with _alone():
        _sweep()
        try:
            directory.mkdir(mode=0o700)
        except FileExistsError:
            raise LabFailed(f"a machine {name} is running already") from None
        lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
    return directory, lock


def fill(directory: Path, name: str, options: qemu.Options, kernel: Kernel) -> None:
    """Write what QEMU, its keeper and the machine's first processes read."""
    machine_id = str(uuid.uuid4())
    for folder in ("jobs", "shares"):
        (directory / folder).mkdir()
    for number, size in enumerate(options.disks):
        with qemu.disk_file(directory, number).open("wb") as file:
            file.truncate(size)
    for tag, path in qemu.tagged(options).items():
        path.mkdir(parents=True, exist_ok=True)
        (directory / "shares" / tag).write_text(f"{path}\n")
    for way in ("in", "out"):
        os.mkfifo(directory / f"control.{way}")
    shutil.copy(initramfs.BOOT / "stage2.sh", directory)
    (directory / "initramfs").write_bytes(initramfs.render(kernel.modules))
    (directory / "settings").write_text(_settings(name, machine_id, options, kernel))
    command = qemu.command(
        options,
        directory=directory,
        name=name,
        machine_id=machine_id,
        kernel=kernel,
        qemu=program("qemu-system-x86_64"),
    )
    sockets = [str(cable.socket(directory.parent, cable.end)) for cable in options.cables]
    (directory / "keeper.json").write_text(json.dumps({"command": command, "sockets": sockets}))


def _settings(name: str, machine_id: str, options: qemu.Options, kernel: Kernel) -> str:
    """What boot/stage2.sh sources."""
    values = {
        "LAB_NAME": name,
        "LAB_UUID": machine_id,
        "LAB_MODULES": str(kernel.modules),
        "LAB_LOAD": " ".join(qemu.drivers(options)),
        "LAB_SHARES": " ".join(qemu.tagged(options)),
        "LAB_UDEV": "1" if options.udev else "0",
        "LAB_ADDRESSES": " ".join(qemu.addresses(options)),
    }
    return "".join(f"{key}={shlex.quote(value)}\n" for key, value in values.items())
