"""The asyncio loop inside Trio that both doors share: gRPC here, SSH in `rdscsi.routeros.ssh`.

Open it once, around everything else: asyncio's side of a connection must outlive the Trio code that uses it.
`crossed` calls an asyncio-flavoured function from Trio.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar, cast

import trio_asyncio

from rdscsi.observe import logs

P = ParamSpec("P")
T = TypeVar("T")

_log = logs.get_log()


@dataclass(slots=True)
class LoopErrors:
    """How many errors nobody was there to take: callbacks that failed, tasks that nobody awaited."""

    count: int = 0

    def handle(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:  # Any: asyncio's own signature
        """Log an error of the loop. Without this, trio-asyncio lets each of them end the process."""
        self.count += 1
        _log.error("loop.error", message=str(context.get("message", "")), exc_info=context.get("exception"))


@asynccontextmanager
async def open_loop() -> AsyncIterator[LoopErrors]:
    """Run an asyncio loop while the body runs; an error inside it is logged and counted, and ends nothing."""
    errors = LoopErrors()
    async with trio_asyncio.open_loop() as loop:
        loop.set_exception_handler(errors.handle)
        yield errors


async def crossed(function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call an asyncio-flavoured function. Raises OSError when somebody on that side cancelled it."""
    try:
        return cast("T", await trio_asyncio.aio_as_trio(function)(*args, **kwargs))
    except asyncio.CancelledError as error:
        raise OSError("cancelled on the asyncio side") from error
