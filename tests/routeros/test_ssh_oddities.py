"""SSH for real: ends of a session that the simulator has no fault for, and the door between the loops."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest
import trio
import trio_asyncio
from ssh_rig import KEYS, PATIENCE, QUICK, Rig, serving

from rdscsi.errors import DeviceUnavailable, DriverError
from rdscsi.routeros import ssh
from rdscsi.routeros.link import Exchange, LinkLost
from rdscsi.routeros.ssh import SshSettings, open_ssh
from rdscsi.routeros.transport import AnswerLost
from rdscsi.simulator import Appliance
from rdscsi.testing.logbook import Logbook, open_logbook


@pytest.fixture(autouse=True)
def logbook() -> Iterator[Logbook]:
    with open_logbook() as book:
        yield book


@pytest.fixture
def appliance(tmp_path: Path) -> Iterator[Appliance]:
    with Appliance(tmp_path / "appliance") as made:
        yield made


@pytest.fixture
async def rig(appliance: Appliance, tmp_path: Path) -> AsyncIterator[Rig]:
    async with serving(appliance, tmp_path) as made:
        yield made


Handler = Callable[[asyncssh.SSHServerProcess[bytes]], Awaitable[None]]


class Open(asyncssh.SSHServer):
    """Lets everybody in."""

    def begin_auth(self, username: str) -> bool:
        return False


async def _listen(handler: Handler | None, server: type[asyncssh.SSHServer]) -> asyncssh.SSHAcceptor:
    return await asyncssh.listen(
        "127.0.0.1", 0, server_factory=server, server_host_keys=[KEYS[1]], process_factory=handler, encoding=None
    )


class TestAnOddServer:
    """Ends of a session that the simulator has no fault for."""

    async def _run(
        self, tmp_path: Path, handler: Handler | None, server: type[asyncssh.SSHServer] | None = None
    ) -> str:
        """Send one line to a server that serves it so."""
        (tmp_path / "id").write_bytes(KEYS[0].export_private_key())
        (tmp_path / "host.pub").write_bytes(KEYS[1].export_public_key())
        outcome: str | DriverError = ""
        with trio.fail_after(PATIENCE * 2):
            async with trio_asyncio.open_loop():
                acceptor = await trio_asyncio.aio_as_trio(_listen)(handler, server or Open)
                settings = SshSettings(
                    host="127.0.0.1",
                    port=acceptor.get_port(),
                    username="u",
                    key_file=tmp_path / "id",
                    host_key_file=tmp_path / "host.pub",
                    pool=QUICK,
                )
                async with open_ssh(settings) as pool:
                    try:
                        outcome = await pool.run("line", deadline=2.0)
                    except DriverError as error:
                        outcome = error
                acceptor.close()
                await trio_asyncio.aio_as_trio(acceptor.wait_closed)()
        if isinstance(outcome, DriverError):
            raise outcome
        return outcome

    async def test_what_stands_on_standard_error_belongs_to_the_answer(self, tmp_path: Path) -> None:
        async def handler(process: asyncssh.SSHServerProcess[bytes]) -> None:
            process.stderr.write(b"error ")
            await process.stderr.drain()
            process.stdout.write(b"answer\xff\r\n")
            process.exit(3)

        assert sorted((await self._run(tmp_path, handler)).split()) == ["answer\ufffd", "error"]

    async def test_a_session_that_is_closed_without_a_status_was_cut_off(self, tmp_path: Path) -> None:
        async def handler(process: asyncssh.SSHServerProcess[bytes]) -> None:
            process.stdout.write(b"half an answ")
            process.channel.close()

        with pytest.raises(AnswerLost, match="the session ended without an exit status") as caught:
            await self._run(tmp_path, handler)
        assert caught.value.partial == "half an answ"

    async def test_a_command_that_was_killed_was_cut_off(self, tmp_path: Path) -> None:
        async def handler(process: asyncssh.SSHServerProcess[bytes]) -> None:
            process.stdout.write(b"half an answ")
            process.exit_with_signal("KILL")

        with pytest.raises(AnswerLost, match="without an exit status"):
            await self._run(tmp_path, handler)

    async def test_a_status_whose_output_never_came_is_no_end(self, tmp_path: Path) -> None:
        async def handler(process: asyncssh.SSHServerProcess[bytes]) -> None:
            channel: Any = process.channel  # a private method: nothing public sends a status without the end
            channel._send_request(b"exit-status", (0).to_bytes(4, "big"))
            await asyncio.sleep(0)
            channel.get_connection().abort()

        with pytest.raises(AnswerLost, match="Connection lost"):
            await self._run(tmp_path, handler)

    async def test_a_status_and_the_end_of_output_are_an_end_though_the_connection_dies(self, tmp_path: Path) -> None:
        async def handler(process: asyncssh.SSHServerProcess[bytes]) -> None:
            channel: Any = process.channel  # a private method: nothing public sends a status without the end
            process.stdout.write(b"answer")
            channel._send_request(b"exit-status", (0).to_bytes(4, "big"))
            process.stdout.write_eof()
            await process.stdout.drain()
            await asyncio.sleep(0.05)
            channel.get_connection().abort()

        assert await self._run(tmp_path, handler) == "answer"

    async def test_a_channel_that_is_refused_was_not_sent_to(self, tmp_path: Path) -> None:
        class Refusing(Open):
            def session_requested(self) -> bool:
                return False

        with pytest.raises(DeviceUnavailable, match=r"not sent within 2 s: .*failed attempts"):
            await self._run(tmp_path, None, Refusing)


class TestTheDoor:
    async def test_somebody_elses_cancellation_becomes_an_error_of_the_system(self) -> None:
        async def cancelled() -> None:
            raise asyncio.CancelledError

        async with trio_asyncio.open_loop():
            with pytest.raises(OSError, match="cancelled on the asyncio side"):
                await ssh._cross(cancelled)

    async def test_dead_connections_show_by_the_kernels_own_probes(self, rig: Rig) -> None:
        link = await ssh._Door(rig.settings).connect()
        sock = link._connection.get_extra_info("socket")
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 15
        assert link.usable
        await link.close()
        link.abort()
        assert not link.usable
        with pytest.raises(LinkLost):
            await link.run(Exchange("line"))
        await rig.wait_deserted()

    def test_an_error_without_words_is_told_by_its_class(self) -> None:
        assert ssh._text(TimeoutError()) == "TimeoutError"
        assert ssh._text(OSError("words")) == "words"
