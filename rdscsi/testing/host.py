"""For tests of the node half: the exports of an appliance, and a machine that can be made to fail at any effect."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal, cast
from urllib.parse import quote

import trio

from rdscsi import names
from rdscsi.errors import DeviceUnavailable, OutcomeUnknown
from rdscsi.host.ports import Device, Host
from rdscsi.host.process import Processes
from rdscsi.host.select import try_loop_devices

EFFECTS = frozenset(
    {
        *("connect", "disconnect", "wait_size"),
        *("write_stamp", "clear_stamp", "make_filesystem", "check_filesystem", "grow_filesystem"),
        *("mount", "bind", "unmount"),
        *("make_directory", "make_file", "make_device_node", "remove"),
    }
)
"""The methods of a Host that change something."""

Fault = Literal[
    "die before", "die inside", "die after", "unavailable", "unknown before", "unknown after", "bug before", "bug after"
]
FAULTS: tuple[Fault, ...] = (
    "die before",
    "die inside",
    "die after",
    "unavailable",
    "unknown before",
    "unknown after",
    "bug before",
    "bug after",
)


ENDING_SECONDS = 60.0
"""Within which what a test abandoned must have ended, at the test's end. A killed process of an emulated machine that
is short of time takes several seconds."""


@asynccontextmanager
async def open_processes() -> AsyncIterator[Processes]:
    """Processes for a test, which ends when they have: none is left to complain of itself in another test.

    Raises trio.TooSlowError when one hangs on.
    """
    processes = Processes()
    try:
        yield processes
    finally:
        with trio.CancelScope(shield=True), trio.fail_after(ENDING_SECONDS):
            while processes.stuck:
                await processes.wait_ended()


@cache
def why_no_loop_devices() -> str:
    """Try loop devices once; return why they do not work here, empty when they do. Not inside a Trio run."""
    return trio.run(try_loop_devices, Processes())


def require_loop_devices() -> None:
    """Skip the running test where loop devices do not work, and say why; with CI=true that is a failure."""
    import pytest

    if reason := why_no_loop_devices():
        told = f"loop devices do not work here: {reason}"
        if os.environ.get("CI") == "true":
            pytest.fail(told)
        pytest.skip(told)


async def clear_machine(host: Host, directory: Path) -> None:
    """Take off what a test has left: mounts below its directory, and connections under this driver's NQNs."""
    for mount in reversed(await host.mounts()):
        if Path(mount.mount_point).is_relative_to(directory):
            await host.unmount(mount.mount_point)
    for subnqn in await host.connected(f"{names.NQN_PREFIX}:"):
        await host.disconnect(subnqn)


class Exporter:
    """Stands for a simulated RDS towards loop and simulated hosts: backing files, and the links that export them."""

    def __init__(self, directory: Path) -> None:
        self.exports = directory / "exports"
        self._files = directory / "files"
        self.exports.mkdir(parents=True)
        self._files.mkdir()

    def file(self, name: str, size_bytes: int) -> Path:
        """Make a backing file, sparse, or give it another size."""
        file = self._files / f"{name}.img"
        with file.open("ab") as opened:
            opened.truncate(size_bytes)
        return file

    def export(self, subnqn: str, file: Path) -> None:
        """Export a file under an NQN."""
        link = self.exports / quote(subnqn, safe="")
        link.unlink(missing_ok=True)
        link.symlink_to(file.resolve())

    def withdraw(self, subnqn: str) -> None:
        """End an export."""
        (self.exports / quote(subnqn, safe="")).unlink(missing_ok=True)


@dataclass(slots=True)
class Life:
    """One life of a process: which of its effects fails, and how. `on_death` takes what survives out of its hands."""

    fault: Fault = "die before"
    at: int = -1
    effects: list[str] = field(default_factory=list)
    fired: str = ""
    dead: bool = False
    on_death: Callable[[], None] = lambda: None

    def due(self, name: str) -> bool:
        """Count an effect; tell whether it is the one that fails."""
        self.effects.append(name)
        if self.dead or len(self.effects) - 1 != self.at:
            return False
        self.fired = name
        return True

    def before(self) -> None:
        """Fail before the effect, if that is how."""
        if self.fault == "die before":
            self.die()
        if self.fault == "unavailable":
            raise DeviceUnavailable("made unavailable")
        if self.fault == "unknown before":
            raise OutcomeUnknown("made unknown; nothing happened")
        if self.fault == "bug before":
            raise RuntimeError("made a bug of")

    def after(self) -> None:
        """Fail after the effect, if that is how."""
        if self.fault in ("die after", "die inside"):
            self.die()
        if self.fault == "unknown after":
            raise OutcomeUnknown("made unknown; it happened")
        if self.fault == "bug after":
            raise RuntimeError("made a bug of")

    def die(self) -> None:
        """End the life as SIGKILL does: whatever the process still does reaches nothing."""
        self.dead = True
        self.on_death()


class FailingHost:
    """A Host that fails at one effect of a life, and at everything once the life is over.

    `half_make` leaves what a mkfs that was killed half-way leaves.
    """

    def __init__(self, host: Host, life: Life, half_make: Callable[[Device, str], None]) -> None:
        self._host = host
        self._life = life
        self._half_make = half_make

    def __getattr__(self, name: str) -> Any:  # Any: whatever the wrapped method is
        wrapped = getattr(self._host, name)
        if not callable(wrapped):
            return wrapped

        async def call(*args: Any, **kwargs: Any) -> Any:
            return await self._call(name, wrapped, *args, **kwargs)

        return call

    def holding(self, device: Device) -> AbstractAsyncContextManager[None]:
        """No effect, and no coroutine."""
        return self._host.holding(device)

    async def _call(self, name: str, wrapped: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
        await self._alive()
        if name not in EFFECTS or not self._life.due(name):
            return await wrapped(*args, **kwargs)
        self._life.before()
        await self._alive()
        if self._life.fault == "die inside" and name == "make_filesystem":
            self._half_make(args[0], args[1])
        else:
            result = await wrapped(*args, **kwargs)
        self._life.after()
        await self._alive()
        return result

    async def _alive(self) -> None:
        """Go no further in a dead process; its end is a cancellation."""
        await trio.lowlevel.checkpoint()
        if self._life.dead:
            await trio.sleep_forever()


def failing(host: Host, life: Life, half_make: Callable[[Device, str], None]) -> Host:
    """Return the host, failing as its life says."""
    return cast("Host", FailingHost(host, life, half_make))
