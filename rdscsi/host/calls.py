"""System calls with a deadline: made in a process of its own, because no thread that hangs in the kernel can be ended.

A hung thread would keep our own process, and the journal's lock, from ending; a hung child costs only itself. The other
side is `rdscsi.host.callee`. Starting a callee takes longer than most calls: an idle one is kept, and who holds a
device makes all calls through the one that holds it.
"""

import json
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Protocol, TypeAlias

import trio

from rdscsi.errors import OutcomeUnknown
from rdscsi.host.ports import Number
from rdscsi.host.process import Processes, environment

KEPT = 1
"""Idle callees that are kept, at about 9 MiB each."""

CALL_SECONDS = 10.0
"""The deadline of calls that touch local paths or memory only."""

_LONGEST_REPLY = 1 << 20
_SCRIPT = Path(__file__).with_name("callee.py")

Plain: TypeAlias = "str | int | list[int]"
Reply: TypeAlias = "bool | int | str | list[Reply] | dict[str, Reply] | None"


_holding: "ContextVar[_Callee | None]" = ContextVar("holding", default=None)
"""The callee that holds a device for this task."""


class Make(Protocol):
    """A way to make calls; see `Calls.make`."""

    async def __call__(self, name: str, *arguments: Plain, deadline: float = ...) -> Reply:
        """Make one call."""


class _Callee:
    """One child and the conversation with it. `in_step`: every request has had its answer."""

    def __init__(self, process: trio.Process, stream: trio.SocketStream) -> None:
        self.process = process
        self.in_step = True
        self._stream = stream
        self._rest = b""

    async def ask(self, name: str, arguments: tuple[Plain, ...]) -> Reply:
        """Make one call. Raises OSError as the call did, and EOFError when the child is gone."""
        self.in_step = False
        try:
            await self._stream.send_all(json.dumps([name, *arguments]).encode() + b"\n")
            reply = json.loads(await self._line())
        except trio.BrokenResourceError as error:
            raise EOFError from error
        self.in_step = True
        if "errno" in reply:
            raise OSError(reply["errno"], reply["error"])
        result: Reply = reply["result"]
        return result

    def close(self) -> None:
        """Close our end; a child that still listens ends with it."""
        self._stream.socket.close()

    async def _line(self) -> bytes:
        while b"\n" not in self._rest:
            more = await self._stream.receive_some()
            if not more or len(self._rest) > _LONGEST_REPLY:
                raise EOFError
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\n")
        return line


class Calls:
    """Makes calls through as many callees as are needed at once. Made by `open_calls`."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._idle: list[_Callee] = []
        self._at_hold: set[_Callee] = set()

    async def make(self, name: str, *arguments: Plain, deadline: float = CALL_SECONDS) -> Reply:
        """Make one call of `rdscsi.host.callee`.

        Raises OSError as the call did, and OutcomeUnknown when it did not return within the deadline.
        """
        own = _holding.get()
        if own is not None and own in self._at_hold and own.in_step:
            return await self._ask(own, name, arguments, deadline)
        async with self._callee() as callee:
            return await self._ask(callee, name, arguments, deadline)

    @asynccontextmanager
    async def holding(self, path: str, number: Number, *, deadline: float) -> AsyncIterator[Make]:
        """Hold a block device open around the body: meanwhile its name and number mean this device and no other.

        The body gets a way to make calls by the process that holds it. Raises as `make`, with ENODEV when the path has
        another number. Whatever other call of this task hangs meanwhile, the device is not held any more, and that way
        raises OutcomeUnknown.
        """
        async with self._callee() as callee:
            await self._ask(callee, "hold", (path, *number), deadline)

            async def make(name: str, *arguments: Plain, deadline: float = CALL_SECONDS) -> Reply:
                return await self._ask(callee, name, arguments, deadline)

            token = _holding.set(callee)
            self._at_hold.add(callee)
            try:
                yield make
            finally:
                self._at_hold.discard(callee)
                _holding.reset(token)
                # A callee that is cut short, here or before, is given up, and the kernel closes what it held.
                if callee.in_step:
                    await self._ask(callee, "release", (), CALL_SECONDS)

    def end_idle(self) -> None:
        """End the idle callees. Those at work end with their callers."""
        while self._idle:
            self._give_up(self._idle.pop())

    @asynccontextmanager
    async def _callee(self) -> AsyncIterator[_Callee]:
        """Lend a callee; one whose conversation was cut short is never used again."""
        callee = self._idle.pop() if self._idle else await self._start()
        try:
            yield callee
        finally:
            if callee.in_step and len(self._idle) < KEPT:
                self._idle.append(callee)
            else:
                self._give_up(callee)

    async def _start(self) -> _Callee:
        ours, theirs = socket.socketpair()
        with theirs:
            process = await trio.lowlevel.open_process(
                [sys.executable, "-I", "-S", str(_SCRIPT)],
                stdin=theirs,
                stdout=theirs,
                start_new_session=True,
                env=environment(),
            )
        return _Callee(process, trio.SocketStream(trio.socket.from_stdlib_socket(ours)))

    def _give_up(self, callee: _Callee) -> None:
        callee.close()
        self._processes.abandon(callee.process)

    async def _ask(self, callee: _Callee, name: str, arguments: tuple[Plain, ...], deadline: float) -> Reply:
        about = " ".join((name, *map(str, arguments[:1])))
        if not callee.in_step:
            raise OutcomeUnknown(f"{about}: not made, as the process that should make it hangs in another call")
        try:
            with trio.fail_after(deadline):
                return await callee.ask(name, arguments)
        except trio.TooSlowError as error:
            raise OutcomeUnknown(f"{about}: no answer within {deadline:g} s; what is behind it hangs") from error
        except EOFError as error:
            raise OutcomeUnknown(f"{about}: the process that made the call is gone") from error


@asynccontextmanager
async def open_calls(processes: Processes) -> AsyncIterator[Calls]:
    """Make calls while the body runs; afterwards no callee is left, but for those that hang in the kernel."""
    calls = Calls(processes)
    try:
        yield calls
    finally:
        calls.end_idle()
        await processes.wait_ended()
