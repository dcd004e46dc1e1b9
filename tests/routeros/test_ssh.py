"""SSH for real: the simulated appliance's server over loopback, and servers that misbehave in ways it does not.

No clock is virtual here; deadlines that must pass are short, and everything else ends as soon as it can.
"""

import asyncio
import getpass
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncssh
import pytest
import trio
import trio_asyncio

from rdscsi.errors import DeviceUnavailable, DriverError, SettingsInvalid
from rdscsi.routeros import ssh
from rdscsi.routeros.console import Console, RunTimeRefused
from rdscsi.routeros.link import Exchange, LinkLost
from rdscsi.routeros.pool import PING_LINE, Pool, PoolSettings
from rdscsi.routeros.ssh import HostKeyRefused, LoginRefused, SshSettings, open_ssh
from rdscsi.routeros.transport import AnswerLost
from rdscsi.simulator import Appliance, ApplianceOptions, Behaviour
from rdscsi.simulator.faults import Fault
from rdscsi.simulator.server import ServerOptions
from rdscsi.simulator.serving import RunningSimulator, open_simulator
from rdscsi.testing.logbook import Logbook, open_logbook

PATIENCE = 20.0  # seconds in which anything here is over, on a slow machine too
KEYS = [asyncssh.generate_private_key("ssh-ed25519") for _ in range(2)]
QUICK = PoolSettings(connections=2, connect_deadline=PATIENCE, first_backoff=0.01, longest_backoff=0.05)
HELLO = ':put "hello"'
ADD = '/disk/add type=file slot="made" file-path="pool1/made.img" file-size=1048576'


@pytest.fixture(autouse=True)
def logbook() -> Iterator[Logbook]:
    with open_logbook() as book:
        yield book


@pytest.fixture
def appliance(tmp_path: Path) -> Iterator[Appliance]:
    with Appliance(tmp_path / "appliance") as made:
        yield made


class Rig:
    """A simulated appliance that serves, and the files by which a driver gets in."""

    def __init__(self, simulator: RunningSimulator, directory: Path) -> None:
        self.simulator = simulator
        self.key_file = directory / "id"
        self.host_key_file = directory / "host.pub"
        self.key_file.write_bytes(KEYS[0].export_private_key())
        self.host_key_file.write_text(simulator.host_key + "\n")
        self.settings = SshSettings(
            host=simulator.host,
            port=simulator.port,
            username=simulator.user,
            key_file=self.key_file,
            host_key_file=self.host_key_file,
            pool=QUICK,
        )

    @property
    def ran(self) -> list[str]:
        """The lines that the appliance has run."""
        return [exchange.line for exchange in self.simulator.appliance.history]

    async def wait_deserted(self) -> None:
        """Wait until the appliance has no connection any more: on its side nothing is left."""
        server = self.simulator._thread.server
        assert server is not None
        while server.connections:
            await trio.sleep(0.005)


@asynccontextmanager
async def serving(appliance: Appliance, directory: Path, *keys: asyncssh.SSHKey) -> AsyncIterator[Rig]:
    options = ServerOptions(
        authorized_keys=[key.export_public_key().decode() for key in keys or KEYS[:1]], host_key_type="ssh-ed25519"
    )
    with trio.fail_after(PATIENCE * 2):
        async with trio_asyncio.open_loop(), open_simulator(appliance, options) as simulator:
            yield Rig(simulator, directory)


@asynccontextmanager
async def connected(rig: Rig, **changes: Any) -> AsyncIterator[Pool]:
    async with open_ssh(replace(rig.settings, **changes), random=lambda: 0.0) as pool:
        yield pool
    await rig.wait_deserted()


@pytest.fixture
async def rig(appliance: Appliance, tmp_path: Path) -> AsyncIterator[Rig]:
    async with serving(appliance, tmp_path) as made:
        yield made


class TestALine:
    async def test_it_gets_its_answer_and_the_connection_is_used_again(self, rig: Rig) -> None:
        async with connected(rig) as pool:
            for _ in range(3):
                assert await pool.run(HELLO, deadline=PATIENCE) == "hello\n"
            assert (pool.statistics().connects, pool.statistics().commands) == (1, 3)
        assert rig.ran == [HELLO] * 3

    async def test_nothing_connects_before_the_first_line(self, rig: Rig) -> None:
        async with connected(rig) as pool:
            assert pool.statistics().connects == 0

    async def test_several_run_side_by_side_over_a_connection_each(self, rig: Rig) -> None:
        rig.simulator.faults.add(Fault("hold", seconds=PATIENCE), nth=1)
        async with connected(rig) as pool, trio.open_nursery() as nursery:
            nursery.start_soon(lambda: pool.run(HELLO, deadline=PATIENCE))
            while not any(rule.holds for rule in rig.simulator.faults):
                await trio.sleep(0.005)
            assert await pool.run(":put 2", deadline=PATIENCE) == "2\n"
            rig.simulator.faults.release_all()
        assert pool.statistics().connects == 2

    @pytest.mark.parametrize("status", [0, 1, 255])
    async def test_the_exit_status_tells_nothing(self, tmp_path: Path, status: int) -> None:
        options = ApplianceOptions(behaviour=Behaviour(exit_status=status))
        with Appliance(tmp_path / "appliance", options) as appliance:
            async with serving(appliance, tmp_path) as rig, connected(rig) as pool:
                assert await pool.run(HELLO, deadline=PATIENCE) == "hello\n"

    async def test_a_console_over_it_tells_errors_from_success(self, rig: Rig) -> None:
        async with connected(rig) as pool:
            console = Console(pool)
            assert (await console.execute(HELLO, deadline=PATIENCE)).lines == ("hello",)
            with pytest.raises(RunTimeRefused, match="mine"):
                await console.execute(':put 1; :error "mine"', deadline=PATIENCE)
            await console.ping(deadline=PATIENCE)

    async def test_a_long_answer_comes_whole_and_a_longer_one_is_cut_off(self, rig: Rig) -> None:
        body = ':for i from=1 to=300 do={:put "' + "x" * 100 + '"}'
        async with connected(rig, output_limit=40_000) as pool:
            assert await pool.run(body, deadline=PATIENCE) == ("x" * 100 + "\n") * 300
        async with connected(rig, output_limit=20_000) as pool:
            with pytest.raises(AnswerLost, match="longer than 20000 bytes"):
                await pool.run(body, deadline=PATIENCE)
            assert await pool.run(HELLO, deadline=PATIENCE) == "hello\n"


class TestALoss:
    @pytest.mark.parametrize(
        ("kind", "runs"), [("drop-before", False), ("drop-after", True), ("truncate", True), ("reboot", True)]
    )
    async def test_a_line_that_left_has_an_unknown_outcome_and_is_not_sent_again(
        self, rig: Rig, kind: Any, runs: bool
    ) -> None:
        rig.simulator.faults.add(Fault(kind), contains="/disk/add", times=1)
        async with connected(rig) as pool:
            await pool.run(HELLO, deadline=PATIENCE)
            with pytest.raises(AnswerLost) as caught:
                await pool.run(f"{ADD}; :put done", deadline=PATIENCE)
            assert "don".startswith(caught.value.partial)
            assert bool(caught.value.partial) == (kind == "truncate")
            assert await pool.run(HELLO, deadline=PATIENCE) == "hello\n"
            assert pool.statistics().reconnects == 1
        assert [line for line in rig.ran if "/disk/add" in line] == [f"{ADD}; :put done"] * runs

    async def test_silence_ends_at_the_deadline_and_ends_the_connection(self, rig: Rig) -> None:
        rig.simulator.faults.add("stall", contains="hello", times=1)
        async with connected(rig) as pool:
            await pool.run(":put 1", deadline=PATIENCE)
            with pytest.raises(AnswerLost, match="no complete answer within 1 s"):
                await pool.run(HELLO, deadline=1.0)
            await rig.wait_deserted()
            assert await pool.run(HELLO, deadline=PATIENCE) == "hello\n"

    async def test_garbage_comes_as_it_is(self, rig: Rig) -> None:
        rig.simulator.faults.add(Fault("garbage", text="\x1b[0mbanner\r\n"), times=1)
        async with connected(rig) as pool:
            assert await pool.run(HELLO, deadline=PATIENCE) == "\x1b[0mbanner\nhello\n"

    async def test_connections_that_are_cut_while_idle_cost_nothing(self, rig: Rig, logbook: Logbook) -> None:
        async with connected(rig) as pool:
            await pool.run(HELLO, deadline=PATIENCE)
            rig.simulator.disconnect_all()
            await rig.wait_deserted()
            assert await pool.run(HELLO, deadline=PATIENCE) == "hello\n"
        assert rig.ran == [HELLO] * 2

    async def test_a_connection_that_went_silent_is_found_by_a_ping(self, rig: Rig) -> None:
        rig.simulator.faults.add("stall", contains="pong", times=1)
        patience = replace(QUICK, ping_after=0.0, ping_deadline=1.0)
        async with connected(rig, pool=patience) as pool:
            await pool.run(HELLO, deadline=PATIENCE)
            await pool.run(":put 2", deadline=PATIENCE)
            assert pool.statistics().connects == 2
            await pool.run(":put 3", deadline=PATIENCE)
        assert [line for line in rig.ran if line != PING_LINE] == [HELLO, ":put 2", ":put 3"]
        assert PING_LINE in rig.ran


class TestTheAppliancesAway:
    async def test_lines_wait_until_it_is_back(self, rig: Rig) -> None:
        rig.simulator.faults.refuse_connections = True
        async with connected(rig) as pool, trio.open_nursery() as nursery:

            async def send() -> None:
                assert await pool.run(HELLO, deadline=PATIENCE) == "hello\n"

            nursery.start_soon(send)
            while pool.statistics().failures < 3:
                await trio.sleep(0.005)
            rig.simulator.faults.refuse_connections = False
        assert rig.ran == [HELLO]

    async def test_a_closed_port_is_told_and_nothing_was_sent(self, rig: Rig) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        with pytest.raises(DeviceUnavailable, match=f"cannot connect to 127.0.0.1:{port}: "):
            await ssh._Door(replace(rig.settings, port=port)).connect()

    async def test_a_port_that_never_speaks_is_given_up(self, rig: Rig) -> None:
        with socket.create_server(("127.0.0.1", 0)) as mute:
            patience = replace(QUICK, connect_deadline=0.1)
            async with connected(rig, port=mute.getsockname()[1], pool=patience) as pool:
                with pytest.raises(DeviceUnavailable, match=r"no connection within 0\.1 s|Login timeout"):
                    await pool.run(HELLO, deadline=2.0)

    async def test_a_port_that_speaks_something_else_is_told(self, rig: Rig) -> None:
        async def chatter(stream: trio.SocketStream) -> None:
            await stream.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(trio.serve_tcp, chatter, 0)
            port = listeners[0].socket.getsockname()[1]
            with pytest.raises(DeviceUnavailable, match=r"cannot connect to 127\.0\.0\.1"):
                await ssh._Door(replace(rig.settings, port=port)).connect()
            nursery.cancel_scope.cancel()

    async def test_a_name_that_nobody_has_is_told(self, rig: Rig) -> None:
        with pytest.raises(DeviceUnavailable, match="cannot connect to no-such-host"):
            await ssh._Door(replace(rig.settings, host="no-such-host.invalid")).connect()


class TestTheHostKey:
    @pytest.mark.parametrize("form", ["{key}", "# a comment\n{key}\n", "[{host}]:{port} {key}", "* {key}"])
    async def test_it_is_pinned_in_any_form(self, rig: Rig, form: str) -> None:
        text = form.format(key=rig.simulator.host_key, host=rig.settings.host, port=rig.settings.port)
        rig.host_key_file.write_text(text)
        async with connected(rig) as pool:
            assert await pool.run(HELLO, deadline=PATIENCE) == "hello\n"

    @pytest.mark.parametrize("form", ["{other}", "[192.0.2.1]:22 {key}", "@revoked * {key}"])
    async def test_whoever_shows_another_is_told_nothing(self, rig: Rig, form: str) -> None:
        other = KEYS[1].export_public_key().decode().strip()
        rig.host_key_file.write_text(form.format(key=rig.simulator.host_key, other=other))
        async with connected(rig) as pool:
            with pytest.raises(HostKeyRefused, match="does not hold for it") as caught:
                await pool.run(HELLO, deadline=PATIENCE)
        assert "compare the key on its own console" in str(caught.value)
        if "revoked" not in form:
            assert rig.simulator.fingerprint in str(caught.value)
        assert rig.ran == []

    async def test_one_that_is_put_into_the_file_later_counts(self, rig: Rig) -> None:
        rig.host_key_file.write_bytes(KEYS[1].export_public_key())
        async with connected(rig) as pool:
            with pytest.raises(HostKeyRefused):
                await pool.run(HELLO, deadline=PATIENCE)
            rig.host_key_file.write_text(rig.simulator.host_key)
            while True:
                try:
                    assert await pool.run(HELLO, deadline=PATIENCE) == "hello\n"
                    break
                except HostKeyRefused:
                    await trio.sleep(0.01)

    async def test_a_file_that_is_gone_while_running_is_told(self, rig: Rig) -> None:
        async with connected(rig) as pool:
            rig.host_key_file.unlink()
            with pytest.raises(HostKeyRefused, match=r"cannot be used: .*No such file"):
                await pool.run(HELLO, deadline=PATIENCE)

    async def test_without_one_it_does_not_start(self, rig: Rig) -> None:
        with pytest.raises(SettingsInvalid, match="no host key of the appliance is pinned"):
            async with open_ssh(replace(rig.settings, host_key_file=None)):
                raise AssertionError

    async def test_any_will_do_only_on_request_and_with_a_warning_at_each_connect(
        self, rig: Rig, logbook: Logbook
    ) -> None:
        async with connected(rig, host_key_file=None, insecure=True) as pool:
            await pool.run(HELLO, deadline=PATIENCE)
            rig.simulator.disconnect_all()
            await rig.wait_deserted()
            await pool.run(HELLO, deadline=PATIENCE)
        warnings = [event for event in logbook.events() if "the host key is not checked" in event["event"]]
        assert [event["level"] for event in warnings] == ["warning"] * 2
        assert {event["host_key"] for event in warnings} == {rig.simulator.fingerprint}


class TestTheLogin:
    async def test_a_key_that_the_appliance_does_not_know_is_told(self, rig: Rig) -> None:
        rig.key_file.write_bytes(KEYS[1].export_private_key())
        async with connected(rig) as pool:
            with pytest.raises(LoginRefused, match="does not let user 'admin' in") as caught:
                await pool.run(HELLO, deadline=PATIENCE)
        assert "/user/ssh-keys" in str(caught.value)
        assert str(rig.key_file) in str(caught.value)

    async def test_a_user_that_it_does_not_know_is_told(self, rig: Rig) -> None:
        async with connected(rig, username="nobody") as pool:
            with pytest.raises(LoginRefused, match="user 'nobody'"):
                await pool.run(HELLO, deadline=PATIENCE)

    async def test_a_key_is_rotated_without_a_restart(self, appliance: Appliance, tmp_path: Path) -> None:
        async with serving(appliance, tmp_path, *KEYS) as rig, connected(rig) as pool:
            await pool.run(HELLO, deadline=PATIENCE)
            rig.key_file.write_bytes(KEYS[1].export_private_key())
            rig.simulator.disconnect_all()
            await rig.wait_deserted()
            assert await pool.run(HELLO, deadline=PATIENCE) == "hello\n"

    async def test_after_the_key_was_put_right_it_gets_in(self, rig: Rig) -> None:
        rig.key_file.write_bytes(KEYS[1].export_private_key())
        async with connected(rig) as pool:
            with pytest.raises(LoginRefused):
                await pool.run(HELLO, deadline=PATIENCE)
            rig.key_file.write_bytes(KEYS[0].export_private_key())
            while True:
                try:
                    assert await pool.run(HELLO, deadline=PATIENCE) == "hello\n"
                    break
                except LoginRefused:
                    await trio.sleep(0.01)

    async def test_all_mistakes_in_the_files_are_told_at_the_start(self, rig: Rig) -> None:
        rig.key_file.write_text("no key at all")
        rig.host_key_file.write_bytes(KEYS[1].export_private_key())
        with pytest.raises(SettingsInvalid) as caught:
            async with open_ssh(rig.settings):
                raise AssertionError
        first, second = caught.value.mistakes
        assert f"the private key {rig.key_file} cannot be used" in first
        assert f"the host key file {rig.host_key_file} cannot be used: it holds a private key" in second

    async def test_a_key_with_a_passphrase_is_a_mistake(self, rig: Rig) -> None:
        rig.key_file.write_bytes(KEYS[0].export_private_key("pkcs8-pem", passphrase="hush"))
        with pytest.raises(SettingsInvalid, match="cannot be used: Passphrase must be specified"):
            async with open_ssh(rig.settings):
                raise AssertionError

    async def test_key_material_never_reaches_the_log(self, rig: Rig, logbook: Logbook) -> None:
        async with connected(rig) as pool:
            await pool.run(HELLO, deadline=PATIENCE)
        secret = rig.key_file.read_text().splitlines()[3]
        assert secret not in logbook.text

    async def test_a_process_without_a_user_name_gets_in(self, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
        def nobody() -> str:
            if "LOGNAME" not in os.environ:
                raise KeyError("getpwuid(): uid not found: 12345")
            return os.environ["LOGNAME"]

        monkeypatch.delenv("LOGNAME", raising=False)
        monkeypatch.setattr(getpass, "getuser", nobody)
        async with connected(rig) as pool:
            assert await pool.run(HELLO, deadline=PATIENCE) == "hello\n"
        assert os.environ["LOGNAME"] == "rdscsi"


class TestCancellation:
    async def test_at_any_moment_it_leaves_nothing_on_either_side(self, rig: Rig) -> None:
        """Cut off at each step of a line's way: connecting, opening the channel, waiting, being done."""
        outcomes = set()
        async with connected(rig, pool=replace(QUICK, connections=1)) as pool:
            for steps in [*range(40), *range(40, 400, 15)]:
                with trio.CancelScope() as scope:
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(_cancel_after, steps, scope)
                        await pool.run(HELLO, deadline=PATIENCE)
                        nursery.cancel_scope.cancel()
                outcomes.add(scope.cancelled_caught)
            assert True in outcomes
            assert await pool.run(HELLO, deadline=PATIENCE) == "hello\n"
            assert pool.statistics().connections == 1
            server = rig.simulator._thread.server
            assert server is not None
            with trio.fail_after(PATIENCE):
                while server.connections != 1:
                    await trio.sleep(0.005)

    async def test_while_the_appliance_runs_the_line_it_ends_the_connection(self, rig: Rig) -> None:
        rule = rig.simulator.faults.add(Fault("hold", seconds=PATIENCE), contains="hello", times=1)
        async with connected(rig) as pool:
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_cancel_when, lambda: bool(rule.holds), scope)
                    await pool.run(HELLO, deadline=PATIENCE)
            assert scope.cancelled_caught
            assert pool.statistics().connections == 0
            rule.release()
            await rig.wait_deserted()
            assert await pool.run(":put 2", deadline=PATIENCE) == "2\n"
        assert rig.ran.count(HELLO) == 1


async def _cancel_when(condition: Callable[[], bool], scope: trio.CancelScope) -> None:
    while not condition():
        await trio.sleep(0.005)
    scope.cancel()


async def _cancel_after(steps: int, scope: trio.CancelScope) -> None:
    for _ in range(steps):
        await trio.lowlevel.checkpoint()
    scope.cancel()


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
