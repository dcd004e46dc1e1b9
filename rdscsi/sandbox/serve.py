"""`rdscsi sandbox` itself: one sandbox until a signal, then its orderly end; a second signal cuts the waiting short."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from typing import Any

import trio
import trio_asyncio

from rdscsi.errors import DriverError, SettingsInvalid
from rdscsi.sandbox.children import Process
from rdscsi.sandbox.settings import Options
from rdscsi.sandbox.supervisor import Sandbox, open_sandbox


async def serve(options: Options) -> int:
    """Run a sandbox until SIGINT or SIGTERM; the exit status. Raises SettingsInvalid."""
    processes: dict[str, Process] = {}
    errors: list[DriverError] = []
    try:
        async with trio_asyncio.open_loop() as loop:
            loop.set_exception_handler(_tell_loop_error)
            with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
                async with trio.open_nursery() as nursery:
                    stop = trio.CancelScope()
                    nursery.start_soon(_obey, signals, stop, processes)
                    with stop:
                        async with open_sandbox(options, tell=tell, processes=processes) as sandbox:
                            print(_ready(sandbox), flush=True)
                            await trio.sleep_forever()
                    nursery.cancel_scope.cancel()
    except* DriverError as group:
        errors = list(leaves(group))
    return _status(errors)


def _status(errors: list[DriverError]) -> int:
    for error in errors:
        if isinstance(error, SettingsInvalid):
            raise error
        tell(str(error))
    return 1 if errors else 0


async def _obey(signals: AsyncIterator[int], stop: trio.CancelScope, processes: dict[str, Process]) -> None:
    async for _ in signals:
        if stop.cancel_called:
            for process in processes.values():
                process.send(signal.SIGKILL)
        stop.cancel()


def leaves(error: BaseException) -> list[Any]:
    """The exceptions in an exception group, however deep; of another exception, itself."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for one in error.exceptions for leaf in leaves(one)]
    return [error]


def tell(message: str) -> None:
    """Tell a person on standard error."""
    print(f"rdscsi sandbox: {message}", file=sys.stderr, flush=True)


def _tell_loop_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Without it trio-asyncio ends the program when a callback of the gRPC client's connection fails."""
    tell(f"gRPC client: {context.get('message')}: {context.get('exception')!r}")


def _ready(sandbox: Sandbox) -> str:
    endpoints = sorted(set(sandbox.record.endpoints.values()))
    return f"rdscsi sandbox: ready: {' '.join(endpoints)}, all about it in {sandbox.layout.record}"
