"""A `Transport` to a simulated appliance in memory: no SSH, no threads of its own, virtual time.

What a fault does to a command is the simulator's (`Sessions.attempt`); here it becomes what the driver's transport
raises. A contract test holds this and the real SSH transport to the same texts.
"""

from collections.abc import Callable
from dataclasses import dataclass

import trio

from rdscsi.errors import DeviceUnavailable
from rdscsi.routeros.transport import AnswerLost, TransportStatistics, normalise
from rdscsi.simulator.sessions import Attempt, Sessions
from rdscsi.testing.clock import TrioClock

Delay = Callable[[], float]


@dataclass(slots=True)
class Link:
    """The way to the appliance. `up` false: it cannot be reached. `dead`: the process has died, nothing leaves it.

    `stamp` tells under which token lines are sent at this moment, for whoever watches what becomes of them.
    """

    up: bool = True
    dead: bool = False
    stamp: Callable[[], int] = lambda: 0


class MemoryTransport:
    """Sends lines to `Sessions`. `delay` gives the seconds that each way takes; `connections` run side by side."""

    def __init__(
        self,
        sessions: Sessions,
        clock: TrioClock,
        *,
        link: Link,
        delay: Delay = lambda: 0.0,
        connections: int = 4,
        before: Callable[[], None] = lambda: None,
        after: Callable[[], None] = lambda: None,
    ) -> None:
        self._sessions = sessions
        self._clock = clock
        self._link = link
        self._delay = delay
        self._limiter = trio.CapacityLimiter(connections)
        self._before = before
        self._after = after
        self._commands = 0

    def statistics(self) -> TransportStatistics:
        """Return the state of this moment."""
        busy = self._limiter.borrowed_tokens
        waiting = self._limiter.statistics().tasks_waiting
        return TransportStatistics(connections=busy, waiting=waiting, commands=self._commands)

    async def run(self, line: str, *, deadline: float) -> str:
        """See `Transport.run`."""
        sent = False

        async def carry() -> str:
            nonlocal sent
            async with self._limiter:
                await trio.sleep(self._delay())
                if not self._link.up:
                    await self._unreachable()
                self._before()
                await self._unless_dead()
                sent = True
                attempt = self._sessions.attempt(line)
                self._after()
                await self._unless_dead()
                await trio.sleep(self._clock.ahead + self._delay())
                return await self._received(attempt)

        with trio.move_on_after(deadline):
            answer = await carry()
            self._commands += 1
            return answer
        await self._unless_dead()
        if sent:
            raise AnswerLost(f"no complete answer within {deadline:g} s")
        raise DeviceUnavailable(f"not sent within {deadline:g} s")

    async def _unless_dead(self) -> None:
        """Go no further for a dead process: Python runs its `finally` blocks, and they must not reach the world."""
        if self._link.dead:
            await trio.sleep_forever()

    async def _unreachable(self) -> None:
        await trio.sleep(1.0)
        raise DeviceUnavailable("cannot connect: the appliance is out of reach")

    async def _received(self, attempt: Attempt) -> str:
        if attempt.stalled:
            await trio.sleep_forever()
        if attempt.reply is None or not self._link.up:
            raise AnswerLost("the connection was lost", normalise(attempt.fragment.encode(errors="surrogateescape")))
        return normalise(attempt.reply.encode(errors="surrogateescape"))
