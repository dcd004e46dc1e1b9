"""Carries lines to the model, with the faults of the simulator's sessions: the twin of `Console` over `Sessions`."""

import heapq
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import trio

from rdscsi.errors import DeviceUnavailable, OutcomeUnknown
from rdscsi.routeros.console import Reply, RunTimeRefused
from rdscsi.simulator import LineCut
from rdscsi.simulator.console.failures import ConsoleError
from rdscsi.simulator.faults import Faults
from rdscsi.testing.fast.appliance import FastAppliance, Refusal, void
from rdscsi.testing.fast.program import FastLine
from rdscsi.testing.transport import Link


@dataclass(slots=True)
class Ran:
    """How a line ended at the appliance: whole or refused; None lines mean that no answer comes."""

    lines: tuple[str, ...] | None
    refused: str = ""
    stalled: bool = False


@dataclass(slots=True)
class _Running:
    """A line under way, of one boot of the appliance."""

    line: FastLine
    steps: Iterator[None]
    out: list[str]
    boot: int


class FastSessions:
    """All lines of one model go through here; `before_change` is called before each statement that changes it.

    `under_way` is the line of that statement.
    """

    def __init__(self, appliance: FastAppliance, faults: Faults) -> None:
        self.appliance = appliance
        self.faults = faults
        self.before_change: Callable[[], None] = lambda: None
        self.lines = 0
        self.under_way: FastLine | None = None
        self._waiting: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def next_due(self) -> float | None:
        """Seconds until a line whose session died runs or goes on, or None."""
        return max(self._waiting[0][0] - self.appliance.clock.now(), 0.0) if self._waiting else None

    def run_due(self) -> None:
        """Let the lines whose time has come go on."""
        while self._waiting and self._waiting[0][0] <= self.appliance.clock.now():
            heapq.heappop(self._waiting)[2]()

    def attempt(self, line: FastLine) -> Ran:
        """Run one line with whatever goes wrong with it."""
        self.run_due()
        self.appliance.undo.expire()
        self.lines += 1
        rule = self.faults.decide(line)
        kind = rule.fault.kind if rule else ""
        if kind == "drop-before":
            return Ran(None)
        if kind == "stall":
            return Ran(None, stalled=True)
        running = self._begin(line)
        if rule is not None and kind == "late":
            self._wait(rule.fault.seconds, lambda: void(self._finish(self._begin(line))))
            return Ran(None)
        if rule is not None and kind == "late-middle":
            if self._advance(running, rule.fault.mutation):
                self._wait(rule.fault.seconds, lambda: void(self._finish(running)))
            return Ran(None)
        ran = self._finish(running)
        if kind in ("drop-after", "truncate"):
            return Ran(None)
        return Ran(None, stalled=True) if kind == "stall-after" else ran

    def reboot(self) -> int:
        """Power cycle; lines that were out are gone."""
        self._waiting.clear()
        return self.appliance.reboot()

    def _begin(self, line: FastLine) -> _Running:
        out: list[str] = []
        return _Running(line, line.steps(self.appliance, out), out, self.appliance.boots)

    def _advance(self, running: _Running, statement: int) -> bool:
        """Go to the nth change and stand before it; False when the line ends before."""
        self.under_way = running.line
        try:
            for number in itertools.count(1):
                next(running.steps)
                self.before_change()
                if number == statement:
                    return True
        except (StopIteration, Refusal, ConsoleError, LineCut):
            return False
        return False

    def _finish(self, running: _Running) -> Ran:
        if running.boot != self.appliance.boots:
            return Ran(None)
        self.under_way = running.line
        try:
            for _ in running.steps:
                self.before_change()
        except LineCut:
            return Ran(None)
        except Refusal as error:
            return Ran(tuple(running.out), str(error))
        except ConsoleError as error:
            return Ran(tuple(running.out), error.message)
        return Ran(tuple(running.out))

    def _wait(self, seconds: float, go_on: Callable[[], None]) -> None:
        heapq.heappush(self._waiting, (self.appliance.clock.now() + seconds, next(self._order), go_on))


class FastConsole:
    """Sends lines to the model; what `Console.execute` raises over a transport, this raises too."""

    def __init__(
        self,
        sessions: FastSessions,
        *,
        link: Link,
        delay: Callable[[], float],
        connections: int,
        before: Callable[[], None],
        after: Callable[[], None],
    ) -> None:
        self._sessions = sessions
        self._link = link
        self._delay = delay
        self._limiter = trio.CapacityLimiter(connections)
        self._before = before
        self._after = after

    async def execute(self, body: str, *, deadline: float) -> Reply:
        """See `Console.execute`."""
        assert isinstance(body, FastLine), "the model runs lines of its own program"
        started = trio.current_time()
        body.stamp = self._link.stamp()  # now: whoever made the line may lay the token down before it is sent
        sent: list[FastLine] = []
        with trio.move_on_after(deadline):
            async with self._limiter:
                ran = await self._carry(body, sent)
                return self._reply(ran, started)
        await self._unless_dead()
        if sent:
            raise OutcomeUnknown(f"no complete answer within {deadline:g} s")
        raise DeviceUnavailable(f"not sent within {deadline:g} s")

    async def _carry(self, line: FastLine, sent: list[FastLine]) -> Ran:
        await trio.sleep(self._delay())
        if not self._link.up:
            await trio.sleep(1.0)
            raise DeviceUnavailable("cannot connect: the appliance is out of reach")
        self._before()
        await self._unless_dead()
        sent.append(line)
        ran = self._sessions.attempt(line)
        self._after()
        await self._unless_dead()
        await trio.sleep(self._delay())
        if ran.stalled:
            await trio.sleep_forever()
        return ran

    def _reply(self, ran: Ran, started: float) -> Reply:
        if ran.lines is None or not self._link.up:
            raise OutcomeUnknown("the connection was lost")
        reply = Reply(ran.lines, started, trio.current_time())
        if ran.refused:
            raise RunTimeRefused(ran.refused, reply)
        return reply

    async def _unless_dead(self) -> None:
        """Go no further for a dead process."""
        if self._link.dead:
            await trio.sleep_forever()
