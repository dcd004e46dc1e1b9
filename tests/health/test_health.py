"""Health over HTTP, against the standard library's own client and against bytes that are no HTTP."""

import http.client
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from rdscsi.config import Endpoint
from rdscsi.errors import SettingsInvalid
from rdscsi.health import CONNECTION_SECONDS, Checks, open_health

HERE = Endpoint(host="127.0.0.1", port=0)


async def turns() -> None:
    await trio.lowlevel.checkpoint()


@asynccontextmanager
async def serving(*, ready: bool = True) -> AsyncIterator[Endpoint]:
    async with open_health(HERE, Checks(turns, lambda: ready)) as endpoint:
        yield endpoint


async def ask(endpoint: Endpoint, path: str, method: str = "GET") -> tuple[int, bytes]:
    def call() -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(endpoint.host, endpoint.port, timeout=10)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    return await trio.to_thread.run_sync(call)


async def say(endpoint: Endpoint, data: bytes) -> bytes:
    stream = await trio.open_tcp_stream(endpoint.host, endpoint.port)
    async with stream:
        await stream.send_all(data)
        return b"".join([piece async for piece in stream])


async def test_a_process_that_turns_and_is_ready_says_so() -> None:
    async with serving() as endpoint:
        assert await ask(endpoint, "/healthz") == (200, b"ok\n")
        assert await ask(endpoint, "/readyz?verbose") == (200, b"ok\n")


async def test_a_process_that_is_not_ready_is_alive_all_the_same() -> None:
    async with serving(ready=False) as endpoint:
        assert (await ask(endpoint, "/readyz"))[0] == 503
        assert (await ask(endpoint, "/healthz"))[0] == 200


@pytest.mark.parametrize(("path", "method", "status"), [("/", "GET", 404), ("/healthz", "POST", 405)])
async def test_nothing_else_is_served(path: str, method: str, status: int) -> None:
    async with serving() as endpoint:
        assert (await ask(endpoint, path, method))[0] == status


async def test_head_gets_no_body() -> None:
    async with serving() as endpoint:
        assert await ask(endpoint, "/healthz", "HEAD") == (200, b"")


async def test_bytes_that_are_no_request_are_refused() -> None:
    async with serving() as endpoint:
        assert (await say(endpoint, b"\x16\x03\x01 hello\r\n\r\n")).startswith(b"HTTP/1.1 400 ")


async def test_a_head_without_end_is_cut_off() -> None:
    async with serving() as endpoint:
        assert (await say(endpoint, b"GET / HTTP/1.1\r\nx: " + b"a" * 11_000)).startswith(b"HTTP/1.1 431 ")


async def test_a_peer_that_says_nothing_is_dropped(autojump_clock: trio.testing.MockClock) -> None:
    autojump_clock.autojump_threshold = 0.02
    async with serving() as endpoint:
        began = trio.current_time()
        assert await say(endpoint, b"") == b""
        assert trio.current_time() - began == pytest.approx(CONNECTION_SECONDS, abs=0.5)


async def test_a_process_whose_other_loop_hangs_does_not_answer(autojump_clock: trio.testing.MockClock) -> None:
    autojump_clock.autojump_threshold = 0.02
    async with open_health(HERE, Checks(trio.sleep_forever, lambda: True)) as endpoint:
        assert await say(endpoint, b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n") == b""


async def test_an_address_that_is_taken_names_the_setting() -> None:
    async with serving() as endpoint:
        with pytest.raises(SettingsInvalid, match="health-endpoint"):
            async with open_health(endpoint, Checks(turns, lambda: True)):
                raise AssertionError("it must not start")
