"""Links in memory, and the appliance that they lead to, for the tests of the pool."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
import trio.testing

from rdscsi.errors import DeviceUnavailable
from rdscsi.routeros.link import Exchange, LinkLost
from rdscsi.routeros.pool import Pool, PoolSettings, open_pool


class Appliance:
    """What the links lead to. A line's first word says what becomes of it; each takes a second."""

    def __init__(self) -> None:
        self.received: list[str] = []
        self.attempts: list[float] = []
        self.links: list[MemoryLink] = []
        self.trouble: DeviceUnavailable | None = None
        self.connect_time = 0.1
        self.mute_links: set[int] = set()
        """Numbers of links that never open a channel."""

    async def connect(self) -> "MemoryLink":
        self.attempts.append(trio.current_time())
        await trio.sleep(self.connect_time)
        if self.trouble is not None:
            raise self.trouble
        link = MemoryLink(self, len(self.links))
        self.links.append(link)
        return link

    @property
    def open_links(self) -> int:
        return sum(not link.over for link in self.links)


class MemoryLink:
    def __init__(self, appliance: Appliance, number: int) -> None:
        self._appliance = appliance
        self._number = number
        self._busy = False
        self.over = False
        self.dead = False
        self.silent = False

    @property
    def usable(self) -> bool:
        return not self.over

    async def run(self, exchange: Exchange) -> None:
        assert not self._busy, "a link carries one line at a time"
        assert not self.over
        self._busy, complete = True, False
        try:
            await self._carry(exchange)
            complete = True
        finally:
            self._busy = False
            if not complete:
                self.abort()

    async def _carry(self, exchange: Exchange) -> None:
        if self.silent:
            await trio.sleep_forever()
        if self.dead or self._number in self._appliance.mute_links:
            raise LinkLost("dead before the line left")
        exchange.sent = True
        self._appliance.received.append(exchange.line)
        await trio.sleep(1)
        exchange.output += b"some "
        word = exchange.line.split()[0]
        if word == "hang":
            await trio.sleep_forever()
        if word == "drop":
            raise LinkLost("dropped")
        exchange.output += f"answer to {exchange.line}".encode()

    def abort(self) -> None:
        self.over = True

    async def close(self) -> None:
        await trio.sleep(0.1)
        self.over = True


@asynccontextmanager
async def pool_over(appliance: Appliance, *, chance: float = 1.0, **settings: float) -> AsyncIterator[Pool]:
    chosen = PoolSettings(**{"connections": 2, **settings})  # type: ignore[arg-type]
    async with open_pool(connect=appliance.connect, settings=chosen, random=lambda: chance) as pool:
        yield pool
    assert appliance.open_links == 0
    assert pool.statistics().connections == pool.statistics().idle == pool.statistics().waiting == 0
