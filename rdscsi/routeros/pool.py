"""A small pool of links to one appliance, as a Transport: who may send when, when to connect, what a loss means.

Knows nothing of SSH: `ssh` makes the links. The rules:

- A link carries one line at a time; whatever cuts a line short (deadline, cancellation, error) ends its link, so that
  nothing is left open on either side. RouterOS misbehaves with parallel channels on one connection.
- Waiting lines are served in order of arrival. Links are made when a line waits for one, and closed when long idle.
- A line goes to a link once. Only while it is proven unsent may another link take it.
- While the appliance is out of reach, lines wait until their own deadline, and one task tries to connect, ever more
  slowly. When the appliance refuses this driver, those that wait fail at once, and others until the next attempt.
"""

from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog
import trio

from rdscsi.errors import DeviceUnavailable
from rdscsi.routeros.backoff import Backoff
from rdscsi.routeros.link import Exchange, Link, LinkLost
from rdscsi.routeros.transport import AnswerLost, ConnectRefused, TransportStatistics

_log = structlog.get_logger()

PING_LINE = ':put "pong"'
_CLOSE_DEADLINE = 2.0
_CLOSING = "the connection to the appliance is being closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSettings:
    """How many links, and patience, in seconds.

    A link that was silent for longer than `ping_after` must answer a ping within `ping_deadline` before it gets a line:
    a line sent into a dead connection has an unknown outcome, which costs far more than a round trip.
    """

    connections: int = 4
    connect_deadline: float = 15.0
    ping_after: float = 30.0
    ping_deadline: float = 5.0
    close_after: float = 300.0
    first_backoff: float = 0.25
    longest_backoff: float = 30.0


@dataclass(slots=True, eq=False)
class _Held:
    """A link in the pool. `heard_at` is when it last answered; `proven` whether it ever did."""

    link: Link
    heard_at: float
    proven: bool = False


class _Waiter:
    """A line's place in the queue: `ready` is set together with either of the others."""

    __slots__ = ("error", "held", "ready")

    def __init__(self) -> None:
        self.ready = trio.Event()
        self.held: _Held | None = None
        self.error: DeviceUnavailable | None = None


class Pool:
    """See the module. Made by `open_pool`."""

    def __init__(
        self,
        *,
        connect: Callable[[], Awaitable[Link]],
        settings: PoolSettings,
        random: Callable[[], float],
        nursery: trio.Nursery,
    ) -> None:
        self._connect = connect
        self._settings = settings
        self._random = random
        self._nursery = nursery
        self._held: set[_Held] = set()
        self._idle: list[_Held] = []
        self._became_idle = trio.Event()
        self._waiters: deque[_Waiter] = deque()
        self._connecting = 0
        self._backoff = Backoff(first=settings.first_backoff, longest=settings.longest_backoff)
        self._refusal: ConnectRefused | None = None
        self._commands = self._connects = 0
        self._last_error = ""
        self._closed = False

    def statistics(self) -> TransportStatistics:
        """Return the state of this moment."""
        return TransportStatistics(
            connections=len(self._held),
            idle=len(self._idle),
            waiting=len(self._waiters),
            commands=self._commands,
            connects=self._connects,
            failures=self._backoff.failures,
            last_error=self._last_error,
        )

    async def run(self, line: str, *, deadline: float) -> str:
        """Send one line, once; see `Transport.run`."""
        exchange = Exchange(line)
        with trio.move_on_after(max(0.0, deadline)):
            await self._carry(exchange)
            return exchange.text()
        if exchange.sent:
            self._last_error = f"no complete answer within {deadline:g} s"
            raise AnswerLost(self._last_error, exchange.text())
        raise DeviceUnavailable(f"not sent within {deadline:g} s: {self._why_waiting()}")

    async def _carry(self, exchange: Exchange) -> None:
        first_in_line = False
        while True:
            held = await self._wait_for_link(first_in_line=first_in_line)
            try:
                if await self._alive(held):
                    await self._use(held, exchange)
                    self._commands += 1
                    return
            except LinkLost as error:
                if exchange.sent:
                    raise AnswerLost(str(error), exchange.text()) from error
            finally:
                self._give_back(held)
            first_in_line = True

    async def _alive(self, held: _Held) -> bool:
        """Ping a link that was silent for long. When it is dead, so are those that were silent for as long."""
        if trio.current_time() - held.heard_at <= self._settings.ping_after:
            return True
        with trio.move_on_after(self._settings.ping_deadline):
            try:
                await self._use(held, Exchange(PING_LINE))
            except LinkLost:
                self._drop_silent()
                return False
            return True
        self._lost(held, f"no answer to a ping within {self._settings.ping_deadline:g} s")
        self._drop_silent()
        return False

    async def _use(self, held: _Held, exchange: Exchange) -> None:
        try:
            await held.link.run(exchange)
        except LinkLost as error:
            self._lost(held, str(error))
            raise
        held.heard_at = trio.current_time()
        held.proven = True
        self._backoff.recovered()
        self._refusal = None

    # --- who gets which link: synchronous, so that no cancellation comes between

    async def _wait_for_link(self, *, first_in_line: bool) -> _Held:
        if self._closed:
            raise DeviceUnavailable(_CLOSING)
        if self._refusal is not None and trio.current_time() < self._backoff.retry_at:
            raise _again(self._refusal)
        waiter = _Waiter()
        (self._waiters.appendleft if first_in_line else self._waiters.append)(waiter)
        self._assign()
        try:
            await waiter.ready.wait()
        except trio.Cancelled:
            self._withdraw(waiter)
            raise
        if waiter.error is not None:
            raise _again(waiter.error)
        assert waiter.held is not None
        return waiter.held

    def _withdraw(self, waiter: _Waiter) -> None:
        if waiter.held is not None:
            self._give_back(waiter.held)
        elif waiter.error is None:
            self._waiters.remove(waiter)

    def _assign(self) -> None:
        """Give idle links to those that wait, the warmest first; have links made for the rest."""
        if self._closed:
            return
        while self._waiters and self._idle:
            held = self._idle.pop()
            if not held.link.usable:
                self._drop(held)
                continue
            waiter = self._waiters.popleft()
            waiter.held = held
            waiter.ready.set()
        while self._connecting < self._wanted():
            self._connecting += 1
            self._nursery.start_soon(self._connect_one)

    def _wanted(self) -> int:
        """How many links should be in the making: only one while connecting fails."""
        room = self._settings.connections - len(self._held)
        return min(len(self._waiters), room, 1 if self._backoff.failures else room)

    def _give_back(self, held: _Held) -> None:
        if held.link.usable and not self._closed:
            self._idle.append(held)
            self._became_idle.set()
        else:
            self._drop(held)
        self._assign()

    def _drop(self, held: _Held) -> None:
        held.link.abort()
        self._held.discard(held)

    def _drop_silent(self) -> None:
        silent_since = trio.current_time() - self._settings.ping_after
        for held in [held for held in self._idle if held.heard_at < silent_since]:
            self._idle.remove(held)
            self._drop(held)

    # --- connecting

    async def _connect_one(self) -> None:
        await trio.sleep_until(self._backoff.retry_at)
        if self._waiters:
            await self._attempt()
        # Not in a `finally`: a cancelled pool makes no more links.
        self._connecting -= 1
        self._assign()

    async def _attempt(self) -> None:
        deadline = self._settings.connect_deadline
        with trio.move_on_after(deadline):
            try:
                link = await self._connect()
            except ConnectRefused as error:
                self._refused(error)
            except DeviceUnavailable as error:
                self._failed(str(error))
            else:
                self._connected(link)
            return
        self._failed(f"no connection within {deadline:g} s")

    def _connected(self, link: Link) -> None:
        self._connects += 1
        held = _Held(link, trio.current_time())
        self._held.add(held)
        self._give_back(held)

    def _refused(self, error: ConnectRefused) -> None:
        self._failed(str(error))
        self._refusal = error
        self._fail_waiters(error)

    def _fail_waiters(self, error: DeviceUnavailable) -> None:
        for waiter in self._waiters:
            waiter.error = error
            waiter.ready.set()
        self._waiters.clear()

    def _lost(self, held: _Held, reason: str) -> None:
        """A link that never answered counts as a failed attempt: otherwise the pool would connect in a tight loop."""
        if held.proven:
            self._last_error = reason
            _log.warning("connection lost", reason=reason)
        else:
            self._failed(reason)

    def _failed(self, reason: str) -> None:
        self._last_error = reason
        self._refusal = None
        wait = self._backoff.failed(trio.current_time(), self._random())
        if wait is not None:
            _log.warning("cannot connect", reason=reason, failures=self._backoff.failures, retry_in_s=round(wait, 2))

    def _why_waiting(self) -> str:
        if self._backoff.failures:
            return f"{self._backoff.failures} failed attempts to connect, the last: {self._last_error}"
        return f"{len(self._held)} connections, {self._connecting} in the making, {len(self._waiters)} other lines wait"

    # --- the end of links

    async def close_idle(self) -> None:
        """Close links that nobody has used for long; never returns."""
        patience = self._settings.close_after
        while True:
            if not self._idle:
                self._became_idle = trio.Event()
                await self._became_idle.wait()
                continue
            await trio.sleep_until(min(held.heard_at for held in self._idle) + patience)
            expired = [held for held in self._idle if held.heard_at + patience <= trio.current_time()]
            for held in expired:
                self._idle.remove(held)
                self._held.discard(held)
            for held in expired:
                await _close(held.link)

    async def close(self) -> None:
        """End everything. Lines in flight are cut short; lines that wait are told that nothing was sent."""
        self._closed = True
        self._fail_waiters(DeviceUnavailable(_CLOSING))
        for held in self._held.difference(self._idle):
            held.link.abort()
        # Unshielded, a cancelled process would leave sockets and asyncio tasks behind; each close has a deadline.
        with trio.CancelScope(shield=True):
            for held in list(self._held):
                await _close(held.link)
        self._held.clear()
        self._idle.clear()


@asynccontextmanager
async def open_pool(
    *, connect: Callable[[], Awaitable[Link]], settings: PoolSettings, random: Callable[[], float]
) -> AsyncIterator[Pool]:
    """Keep a pool while the body runs. `connect` raises DeviceUnavailable or ConnectRefused; `random` gives [0, 1)."""
    alone: Exception | None = None
    try:
        async with trio.open_nursery() as nursery:
            pool = Pool(connect=connect, settings=settings, random=random, nursery=nursery)
            nursery.start_soon(pool.close_idle)
            try:
                yield pool
            finally:
                nursery.cancel_scope.cancel()
                await pool.close()
    except ExceptionGroup as group:
        # The pool's own tasks raise nothing: what comes alone is the body's, and was no group there.
        if len(group.exceptions) > 1:
            raise
        alone = group.exceptions[0]
    if alone is not None:
        raise alone


async def _close(link: Link) -> None:
    try:
        with trio.move_on_after(_CLOSE_DEADLINE):
            await link.close()
    finally:
        link.abort()


def _again(error: DeviceUnavailable) -> DeviceUnavailable:
    """Each waiter raises an exception of its own: a shared one would collect all their tracebacks."""
    return type(error)(*error.args)
