"""A running machine: brought up, asked to run commands, shut down. Used by the tool and by tests alike.

Everything waits by looking at files of the machine's directory, each wait with a deadline. What runs in a machine is in
`lab.job`; who cleans up after a killed owner in `lab.keeper`.
"""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from lab import directory as directories
from lab import job, places
from lab.failures import LabFailed
from lab.kernel import Kernel
from lab.qemu import Options

BOOT_SECONDS = 180.0
OFF_SECONDS = 10.0
_POLL = 0.02
_TAIL_LINES = 25
_COMPLAINT = re.compile(
    r"BUG:|WARNING: CPU|Oops|general protection|Call Trace|INFO: task .* blocked|Out of memory|Kernel panic"
)


class Machine:
    """A machine by its directory; `keeper` is its keeper's process id, `child` the same where it is our own."""

    def __init__(self, directory: Path, keeper: int, child: "subprocess.Popen[bytes] | None" = None) -> None:
        self.directory = directory
        self._keeper = keeper
        self._child = child

    @property
    def name(self) -> str:
        return self.directory.name

    def is_alive(self) -> bool:
        """Tell whether QEMU runs."""
        return directories.is_held(self.directory) and not (self.directory / "ended").exists()

    # -- commands --------------------------------------------------------------------------------------------------

    def send(self, line: str) -> None:
        """Give an order to the machine's first process. Raises LabFailed when nobody would read it."""
        try:
            pipe = os.open(self.directory / "control.in", os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            raise LabFailed(f"{self.name} takes no orders: {error.strerror}") from error
        try:
            os.write(pipe, f"{line}\n".encode())
        finally:
            os.close(pipe)

    def start(self, argv: Sequence[str], orders: job.Orders | None = None) -> job.Job:
        """Start a command and return at once."""
        started = job.prepare(self.directory / "jobs", argv, orders or job.Orders())
        self.send(f"job {started.id} {started.kind}")
        return started

    def wait(self, running: job.Job, sinks: job.Sinks, timeout: float | None) -> int:
        """Pass a command's output on until it ends; its exit status, 128 + n for signal n.

        Raises TimeoutError (the command is told to end, and what the kernel says is blocked is in the console log), and
        LabFailed when the machine dies under it.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        with running.output(sinks) as output:
            while (status := running.status()) is None:
                output.pass_on()
                if not self.is_alive():
                    output.pass_on()
                    raise LabFailed(f"{self.name} died under the command\n{self.last_words()}")
                if deadline is not None and time.monotonic() > deadline:
                    self._give_up(running)
                    output.pass_on()
                    raise TimeoutError(f"{self.name}: not done after {timeout:g} s")
                time.sleep(_POLL)
            output.pass_on()
            return status

    def _give_up(self, running: job.Job) -> None:
        """Have the kernel name the blocked tasks, then end the command."""
        self.send("dump")
        time.sleep(1.0)
        self.stop(running)

    def stop(self, running: job.Job) -> None:
        """Tell a command to end; it is not waited for."""
        self.send(f"kill {running.id}")

    def run(
        self, *argv: str, timeout: float = 60.0, check: bool = True, env: Mapping[str, str] | None = None
    ) -> job.Finished:
        """Run a command to its end; what it printed. Raises as `wait`, and CommandFailed where `check` holds."""
        sinks = job.Collected()
        status = self.wait(self.start(argv, job.Orders(env=env or {})), sinks.sinks, timeout)
        finished = job.Finished(tuple(argv), status, sinks.text(1), sinks.text(2))
        if check and status != 0:
            raise job.CommandFailed(finished)
        return finished

    # -- the machine itself ----------------------------------------------------------------------------------------

    def monitor(self, command: str) -> None:
        """Give a command to QEMU's monitor (HMP), for example `set_link NAME off`, and wait until it was taken."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(OFF_SECONDS)
            connection.connect(str(self.directory / "monitor"))
            for line in ("", f"{command}\n"):
                connection.sendall(line.encode())
                seen = b""
                while not seen.endswith(b"(qemu) "):
                    if not (more := connection.recv(4096)):
                        raise LabFailed(f"{self.name}: the monitor closed")
                    seen += more

    def console(self) -> list[str]:
        """What keeper, QEMU and kernel have printed so far, line by line."""
        logs = [self.directory / f"{name}.log" for name in ("keeper", "qemu", "console")]
        return [line for log in logs if log.exists() for line in log.read_text(errors="replace").splitlines()]

    def last_words(self) -> str:
        """The end of `console`, for a person."""
        return "\n".join(f"    {line}" for line in self.console()[-_TAIL_LINES:])

    def complaints(self) -> list[str]:
        """Lines in which the kernel complains of itself."""
        return [line for line in self.console() if _COMPLAINT.search(line)]

    def boot_seconds(self) -> float:
        """How long the kernel had been running when the machine was ready."""
        return float((self.directory / "ready").read_text())

    def wait_ready(self) -> None:
        """Wait until it takes orders. Raises LabFailed with the machine's last words when it does not come up."""
        deadline = time.monotonic() + BOOT_SECONDS
        while not (self.directory / "ready").exists():
            if not self.is_alive():
                raise LabFailed(f"{self.name} died while it booted\n{self.last_words()}")
            if time.monotonic() > deadline:
                raise LabFailed(f"{self.name} was not up after {BOOT_SECONDS:g} s\n{self.last_words()}")
            time.sleep(_POLL)

    def shut_down(self) -> None:
        """Power off, after the shared directories are flushed; killed when that takes too long. Safe to repeat."""
        if not self.is_alive():
            return
        with contextlib.suppress(LabFailed):
            self.send("off")
            deadline = time.monotonic() + OFF_SECONDS
            while self.is_alive() and time.monotonic() < deadline:
                time.sleep(_POLL)

    def release(self) -> None:
        """End what is still running and remove every trace. Returns when that is done."""
        if directories.is_held(self.directory):
            os.kill(self._keeper, signal.SIGTERM)
        deadline = time.monotonic() + OFF_SECONDS
        while directories.is_held(self.directory):
            if time.monotonic() > deadline:
                raise LabFailed(f"{self.name}: its keeper (process {self._keeper}) does not end")
            time.sleep(_POLL)
        if self._child is not None:
            self._child.wait(OFF_SECONDS)

    def let_go(self) -> None:
        """Leave it running when this object goes; `attach` finds it again."""
        if self._child is not None:
            self._child.returncode = 0  # it lives on: nobody here waits for it
            self._child = None


def bring_up(name: str, options: Options, kernel: Kernel, *, owner: int | None = None) -> Machine:
    """Start a machine and return when it is ready. It lives no longer than the process `owner` (default: this one)."""
    owner_descriptor = os.pidfd_open(os.getpid() if owner is None else owner)
    try:
        with directories.claim(name) as (directory, lock):
            directories.fill(directory, name, options, kernel)
            keeper = _start_keeper(directory, owner_descriptor, lock)
    finally:
        os.close(owner_descriptor)
    (directory / "keeper.pid").write_text(f"{keeper.pid}\n")
    machine = Machine(directory, keeper.pid, keeper)
    try:
        machine.wait_ready()
    except BaseException:
        machine.release()
        raise
    return machine


def _start_keeper(directory: Path, owner: int, lock: int) -> "subprocess.Popen[bytes]":
    with (directory / "keeper.log").open("wb") as log:
        return subprocess.Popen(
            (sys.executable, "-I", str(Path(__file__).with_name("keeper.py")), str(directory), str(owner)),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(owner, lock),
            start_new_session=True,
        )


def attach(name: str) -> Machine:
    """Return a machine that is running. Raises LabFailed when none of that name is."""
    directory = places.machine(name)
    if not directories.is_held(directory):
        raise LabFailed(f"no machine {name} is running; running: {', '.join(directories.running()) or 'none'}")
    return Machine(directory, int((directory / "keeper.pid").read_text()))


@contextlib.contextmanager
def open_machine(name: str, options: Options, kernel: Kernel) -> Iterator[Machine]:
    """A machine for the length of a block, powered off and removed at its end."""
    machine = bring_up(name, options, kernel)
    try:
        yield machine
    except BaseException:
        machine.release()
        raise
    machine.shut_down()
    machine.release()
