"""A process between a machine and who owns it: `python keeper.py DIRECTORY OWNER_FD`.

It runs QEMU and ends when the owner's process ends, however that ends, or at SIGTERM; either way QEMU is gone by then
and so is the machine's directory, whose lock it holds (by a descriptor that it was given open). Should the keeper
itself be killed, QEMU dies with it, and the directory is swept by the next machine that starts, as nobody holds its
lock. A script of its own, so that it starts within milliseconds.
"""

import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


def main(directory: Path, owner: int) -> None:
    stop_reader, stop_writer = os.pipe()
    signal.signal(signal.SIGTERM, lambda *_: os.write(stop_writer, b"x"))
    orders: dict[str, list[str]] = json.loads((directory / "keeper.json").read_text())
    try:
        qemu = start(orders["command"], directory / "qemu.log")
        try:
            wait(qemu, directory / "ended", owner, stop_reader)
        finally:
            qemu.kill()
            qemu.wait()
    finally:
        remove(directory, [Path(path) for path in orders["sockets"]])


def start(command: list[str], log: Path) -> "subprocess.Popen[bytes]":
    """Start QEMU so that it dies with this process."""
    keeper = os.getpid()

    def tie() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != keeper:  # it died before the kernel was asked
            os._exit(1)

    with log.open("wb") as file:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True, preexec_fn=tie
        )


def wait(qemu: "subprocess.Popen[bytes]", ended: Path, owner: int, stop: int) -> None:
    """Return when the owner is gone or asks for it; QEMU's own end is written down for the owner to see."""
    poll = select.poll()
    ending = os.pidfd_open(qemu.pid)
    for descriptor in (owner, stop, ending):
        poll.register(descriptor, select.POLLIN)
    while True:
        ready = {descriptor for descriptor, _ in poll.poll()}
        if ready & {owner, stop}:
            return
        poll.unregister(ending)
        ended.write_text(f"{qemu.wait()}\n")


def remove(directory: Path, sockets: list[Path]) -> None:
    """Leave nothing behind. Renamed first: a machine of the same name may start while this one's files go."""
    gone = directory.with_name(f".gone-{os.getpid()}")
    directory.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)
    for path in sockets:
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
