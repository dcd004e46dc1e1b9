"""Runs the tools of the machine (mkfs, mount, …): a deadline each, killed as a group, output bounded.

A tool can hang in the kernel where no signal reaches it (a device that answers nothing). Such a process is abandoned:
its caller is told, and it is reaped when it ends one day. Nothing secret belongs into an argv (law 12).
"""

import contextlib
import fcntl
import os
import signal
import subprocess
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import trio

from rdscsi.errors import CommandFailed, OutcomeUnknown

OUTPUT_BYTES = 1 << 20
"""A tool that says more than this gets an error for its words, and no more of our memory."""

KILL_SECONDS = 2.0
"""How long a killed process may take to end before it counts as stuck in the kernel."""

NOT_STARTED = 127
"""The status of a tool that could not be started, as a shell has it."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a tool ended. The texts are at most OUTPUT_BYTES each."""

    argv: tuple[str, ...]
    status: int
    stdout: str
    stderr: str

    def failed(self, hint: str = "") -> CommandFailed:
        """Make the error that says so, with the tool's own words."""
        words = "\n".join(part for part in (self.stdout.strip(), self.stderr.strip(), hint) if part)
        return CommandFailed(self.argv, self.status, words)


class Processes:
    """Starts processes and remembers those that would not end."""

    def __init__(self) -> None:
        self._stuck: list[trio.Process] = []

    @property
    def stuck(self) -> int:
        """How many killed processes have not ended yet."""
        self._reap()
        return len(self._stuck)

    async def run(self, argv: Sequence[str], *, deadline: float) -> Ended:
        """Run a tool to its end, `deadline` seconds at most; it reads nothing.

        Raises CommandFailed when it cannot be started and OutcomeUnknown when it had to be killed. Cancelling the
        caller kills it too.
        """
        self._reap()
        with _sink("stdout") as stdout, _sink("stderr") as stderr:
            process = await self._start(argv, stdout, stderr)
            try:
                with trio.move_on_after(deadline):
                    await process.wait()
            finally:
                ended = process.returncode is not None or await self._kill(process)
            if process.returncode is None or process.returncode == -signal.SIGKILL:
                state = "was killed" if ended else "does not even end when it is killed: the device behind it hangs"
                raise OutcomeUnknown(f"{' '.join(argv)}: not finished within {deadline:g} s, and {state}")
            return Ended(tuple(argv), process.returncode, _text(stdout), _text(stderr))

    async def check(self, argv: Sequence[str], *, deadline: float, success: Collection[int] = (0,)) -> str:
        """Run a tool that must succeed; return what it printed. Raises as `run`, and CommandFailed."""
        ended = await self.run(argv, deadline=deadline)
        if ended.status not in success:
            raise ended.failed()
        return ended.stdout

    def abandon(self, process: trio.Process) -> None:
        """Kill a process with its group, and do not wait for it."""
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            self._stuck.append(process)

    async def wait_ended(self) -> None:
        """Wait for what was abandoned, as long as a killed process may take to end."""
        # Shielded: without it each process that is cancelled would leave zombies behind.
        with trio.move_on_after(KILL_SECONDS, shield=True):
            for process in self._stuck:
                await process.wait()
        self._reap()

    async def _start(self, argv: Sequence[str], stdout: int, stderr: int) -> trio.Process:
        try:
            return await trio.lowlevel.open_process(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
                env=environment(),
            )
        except OSError as error:
            raise CommandFailed(tuple(argv), NOT_STARTED, f"cannot be started: {error.strerror}") from error

    async def _kill(self, process: trio.Process) -> bool:
        """Kill a process; tell whether it ended. Whoever comes next must not find it still at work."""
        self.abandon(process)
        # Shielded: a cancelled caller would leave a tool that still writes to the device.
        with trio.move_on_after(KILL_SECONDS, shield=True):
            await process.wait()
        return process.returncode is not None

    def _reap(self) -> None:
        self._stuck = [process for process in self._stuck if process.poll() is None]


def environment() -> dict[str, str]:
    """What tools see of our environment: where programs are, and messages in English."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}


@contextlib.contextmanager
def _sink(name: str) -> Iterator[int]:
    """Make a file in memory that takes OUTPUT_BYTES and no more. Unlike a pipe, nobody has to drain or to close it."""
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(descriptor, OUTPUT_BYTES)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)
        yield descriptor
    finally:
        os.close(descriptor)


def _text(sink: int) -> str:
    # The tool's writes have moved the position that it shares with us; behind it are OUTPUT_BYTES of zeros.
    return os.pread(sink, os.lseek(sink, 0, os.SEEK_CUR), 0).decode("utf-8", "replace")
