"""Processes of a sandbox: started on a leash, waited for, started again when they die, stopped in order.

A child dies with its supervisor, whatever ends it (`rdscsi.cli.leash`). What runs in them and in which order is in
`rdscsi.sandbox.supervisor`.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import trio

import rdscsi
from rdscsi.errors import DriverError

FIRST_DELAY = 0.1
LONGEST_DELAY = 5.0
HEALTHY_AFTER = 10.0
"""A child that lived this long gets the first, short delay again when it dies."""

_EXIT_SETTINGS = 2
_TAIL_BYTES = 4000


class ChildFailed(DriverError):
    """A process of the sandbox ended in a way that starting it again cannot cure. Its last words are in the message."""


@dataclass(frozen=True, slots=True)
class Child:
    """A process to keep running: its command, output appended to `log`, `grace` seconds to end by itself."""

    name: str
    command: tuple[str, ...]
    log: Path
    grace: float


class Process:
    """A started child. Only the task that opened it waits for it."""

    def __init__(self, popen: "subprocess.Popen[bytes]") -> None:
        self._popen = popen
        self._pidfd = os.pidfd_open(popen.pid)

    @property
    def pid(self) -> int:
        return self._popen.pid

    def send(self, number: signal.Signals) -> None:
        """Send a signal, unless the process has been waited for already."""
        self._popen.send_signal(number)

    async def wait(self) -> int:
        """Wait for the end; the exit status, or minus the signal that killed it."""
        await trio.lowlevel.wait_readable(self._pidfd)
        return self._popen.wait()

    def close(self) -> None:
        os.close(self._pidfd)


def leashed(*arguments: str) -> tuple[str, ...]:
    """The command `rdscsi <arguments>`, dying with this process."""
    return (sys.executable, "-m", "rdscsi.cli.leash", str(os.getpid()), *arguments)


def environment() -> dict[str, str]:
    """The caller's environment without RDSCSI_*, as settings come from files, and able to import this very package."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RDSCSI_")}
    roots = [str(Path(rdscsi.__file__).parents[1]), *filter(None, [kept.get("PYTHONPATH")])]
    return kept | {"PYTHONPATH": os.pathsep.join(roots)}


@contextlib.asynccontextmanager
async def open_process(child: Child, env: Mapping[str, str]) -> AsyncIterator[Process]:
    """Start a child; at the end of the block it is told to stop, and killed when its grace is over."""
    with child.log.open("ab") as log:
        # Not trio.open_process: it starts children from a worker thread, and a child on a leash dies with the *thread*
        # that started it (prctl(2), PR_SET_PDEATHSIG).
        popen = subprocess.Popen(  # noqa: ASYNC220
            child.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=dict(env), start_new_session=True
        )
    process = Process(popen)
    try:
        yield process
    finally:
        with trio.CancelScope(shield=True):  # without it a cancelled sandbox would leave its processes behind
            await _stop(process, child.grace)
        process.close()


async def _stop(process: Process, grace: float) -> None:
    process.send(signal.SIGTERM)
    with trio.move_on_after(grace):
        await process.wait()
        return
    process.send(signal.SIGKILL)
    await process.wait()


@contextlib.asynccontextmanager
async def running(
    child: Child, *, started: Callable[[Process], None], died: Callable[[str], None], settled: trio.Event
) -> AsyncIterator[None]:
    """Keep a child running while the block runs; `started` hears of every process, `died` of every death.

    Before `settled` is set a death is final, later it leads to a restart. Raises ChildFailed (in a group).
    """
    async with trio.open_nursery() as nursery:
        await nursery.start(_keep_running, child, started, died, settled)
        yield
        nursery.cancel_scope.cancel()


async def _keep_running(
    child: Child,
    started: Callable[[Process], None],
    died: Callable[[str], None],
    settled: trio.Event,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    delay = FIRST_DELAY
    while True:
        born = trio.current_time()
        async with open_process(child, environment()) as process:
            started(process)
            task_status.started()
            task_status = trio.TASK_STATUS_IGNORED
            status = await process.wait()
        if status == _EXIT_SETTINGS or not settled.is_set():
            raise ChildFailed(f"{child.name} ended ({ending(status)}):\n{_tail(child.log)}")
        delay = FIRST_DELAY if trio.current_time() - born >= HEALTHY_AFTER else min(2 * delay, LONGEST_DELAY)
        died(f"{child.name} (process {process.pid}) ended ({ending(status)}); starting it again in {delay:g} s")
        await trio.sleep(delay)


def ending(status: int) -> str:
    """Say how a process ended, for a person."""
    return f"exit status {status}" if status >= 0 else f"killed by {signal.Signals(-status).name}"


def _tail(log: Path) -> str:
    return log.read_bytes()[-_TAIL_BYTES:].decode(errors="replace").strip()
