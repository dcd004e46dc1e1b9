"""Lives of the node half over the real kernel, each a process of its own that can be killed at any of its effects.

A process that is forked has all modules loaded already: under emulation importing them takes longer than any life.
"""

import os
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import trio

from rdscsi.config import NodeSettings
from rdscsi.host.calls import open_calls
from rdscsi.host.kernel import KernelHost
from rdscsi.host.local import Deadlines
from rdscsi.host.ports import Host
from rdscsi.journal import open_journal
from rdscsi.node.node import Node, make_node
from rdscsi.operations import Operations
from rdscsi.testing.host import EFFECTS, open_processes
from rdscsi.testing.orchestrator import settle

CLUSTER = "11111111-2222-3333-4444-555555555555"
LIFE_SECONDS = 100.0
KILLED = -signal.SIGKILL
_INSIDE_SECONDS = 0.1

Work = Callable[[Node], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Kill:
    """Where a life ends by SIGKILL: at its nth effect, behind it or within it."""

    effect: int
    inside: bool = False


class KilledHost:
    """A Host whose process is killed at one effect."""

    def __init__(self, host: Host, kill: Kill | None, log: Path) -> None:
        self._host = host
        self._kill = kill
        self._log = log
        self._count = 0

    def __getattr__(self, name: str) -> Any:  # Any: whatever the wrapped method is
        wrapped = getattr(self._host, name)
        return partial(self._call, name, wrapped) if name in EFFECTS else wrapped

    async def _call(self, name: str, wrapped: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
        due = self._kill is not None and self._kill.effect == self._count
        self._count += 1
        with self._log.open("a") as log:
            log.write(f"{name}\n")
        if due and self._kill is not None and self._kill.inside:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(partial(wrapped, *args, **kwargs))
                await trio.sleep(_INSIDE_SECONDS)
                _die()
        result = await wrapped(*args, **kwargs)
        if due:
            _die()
        return result


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def live(directory: Path, work: Work, kill: Kill | None = None) -> tuple[int, list[str]]:
    """Do some work in a life of its own, again and again until it is settled; its exit status and its effects.

    The status is 0, 1 after an error that is final, or KILLED.
    """
    log = directory / "effects"
    log.write_text("")
    child = os.fork()
    if child == 0:
        status = 1
        try:
            trio.run(_live, directory, work, kill, log)
            status = 0
        finally:
            os._exit(status)
    return _wait(child), log.read_text().split()


def _wait(child: int) -> int:
    deadline = time.monotonic() + LIFE_SECONDS
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise TimeoutError("a life did not end")
        time.sleep(0.01)


async def _live(directory: Path, work: Work, kill: Kill | None, log: Path) -> None:
    settings = NodeSettings(node_name="node-a")
    async with (
        open_processes() as processes,
        open_calls(processes) as calls,
        open_journal(directory / "node.db") as journal,
    ):
        real = KernelHost(processes=processes, calls=calls, deadlines=Deadlines(connect=20, mount=30, mkfs=60))
        host = cast("Host", KilledHost(real, kill, log))
        async with trio.open_nursery() as nursery:
            operations = Operations(nursery, deadline=LIFE_SECONDS)
            node = await make_node(settings, host=host, cluster_id=CLUSTER, journal=journal, operations=operations)
            with trio.fail_after(LIFE_SECONDS):
                await settle(partial(work, node))
            nursery.cancel_scope.cancel()
