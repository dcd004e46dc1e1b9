"""A program of the driver that runs in a machine until it is told to end, or killed."""

import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from lab import job
from lab.machine import Machine

ROOT = Path(__file__).resolve().parents[3]
RDSCSI = (str(ROOT / ".venv" / "bin" / "python"), "-m", "rdscsi.cli")
START_SECONDS = 120.0
_LOOK = 0.05


class Program:
    """A command in a machine. What it prints is kept in the machine's directory, also that of earlier lives."""

    def __init__(self, machine: Machine, argv: Sequence[str]) -> None:
        self.machine = machine
        self._argv = tuple(argv)
        self._job: job.Job | None = None

    def start(self) -> None:
        """Start it; it is not waited for."""
        self._job = self.machine.start(self._argv, job.Orders(directory=Path("/"), env={"PYTHONPATH": str(ROOT)}))

    @property
    def started(self) -> job.Job:
        assert self._job is not None, "not started"
        return self._job

    @property
    def pid(self) -> int:
        """Its process id in the machine."""
        return self.started.pid()

    def said(self) -> str:
        """All that this life has printed."""
        return "".join((self.started.directory / name).read_text(errors="replace") for name in ("out", "err"))

    def wait_said(self, text: str) -> str:
        """Wait until it has printed something; all of it."""
        deadline = time.monotonic() + START_SECONDS
        while text not in (said := self.said()):
            status = self.started.status()
            assert status is None, f"ended with status {status}:\n{said}"
            assert time.monotonic() < deadline, f"{text!r} was not said:\n{said}"
            time.sleep(_LOOK)
        return said

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; the exit status."""
        with suppress(job.CommandFailed):
            self.machine.run("kill", f"-{int(number)}", str(self.pid))
        return self.machine.wait(self.started, job.Collected().sinks, START_SECONDS)

    def kill(self) -> None:
        """Kill it, as a power loss or the kernel's out-of-memory killer does."""
        self.end(signal.SIGKILL)

    def resident_bytes(self) -> int:
        """The memory that it holds (VmRSS)."""
        words = self.machine.run("grep", "VmRSS", f"/proc/{self.pid}/status").out.split()
        return int(words[1]) << 10
