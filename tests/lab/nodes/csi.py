"""Calls of CSI services from tests that are not asynchronous: each in a Trio run of its own."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio
import trio_asyncio

from rdscsi.sandbox.client import CallFailed, Client, Method, open_client

Request = TypeVar("Request")
Response = TypeVar("Response")

SETTLE_SECONDS = 110.0


def run(endpoint: str, work: Callable[[Client], Awaitable[Response]], *, seconds: float = SETTLE_SECONDS) -> Response:
    """Do something with a client, within the time that a call may take until it settles."""

    async def main() -> Response | CallFailed:
        async with trio_asyncio.open_loop(), open_client(endpoint) as client:
            with trio.fail_after(seconds):
                try:
                    return await work(client)
                except CallFailed as error:
                    return error  # raised in here it would come out in a group

    answer = trio.run(main)
    if isinstance(answer, CallFailed):
        raise answer
    return answer


def call(
    endpoint: str,
    method: Callable[[Client], Method[Request, Response]],
    request: Request,
    *,
    seconds: float = SETTLE_SECONDS,
) -> Response:
    """Call once. Raises CallFailed."""
    return run(endpoint, lambda client: client.call(method(client), request, timeout=seconds))


def settle(endpoint: str, method: Callable[[Client], Method[Request, Response]], request: Request) -> Response:
    """Call until the answer is no maybe any more, as the orchestrator does. Raises CallFailed with a final code."""
    return run(endpoint, lambda client: client.settle(method(client), request))


def refusal(
    endpoint: str,
    method: Callable[[Client], Method[Request, Response]],
    request: Request,
    *,
    seconds: float = SETTLE_SECONDS,
) -> CallFailed:
    """Call once what must not succeed; how it failed."""
    try:
        answer = call(endpoint, method, request, seconds=seconds)
    except CallFailed as error:
        return error
    raise AssertionError(f"succeeded: {answer}")
