"""The SSH face, with a real client over loopback: what RouterOS does there and what it leaves out.

Real sockets, so a handful of tests; what commands mean is tested without them. asyncssh runs in asyncio loops of these
tests' own, beside the server's thread.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TypeVar

import asyncssh
import pytest

from rdscsi.simulator import Appliance, ApplianceOptions, Behaviour, loops
from rdscsi.simulator.faults import Fault, Faults
from rdscsi.simulator.options import User
from rdscsi.simulator.server import ServerOptions, SshServer
from rdscsi.simulator.sessions import Sessions

T = TypeVar("T")
SECONDS = 20.0
KEY = asyncssh.generate_private_key("ssh-ed25519")
OTHER_KEY = asyncssh.generate_private_key("ssh-ed25519")


def _public(key: asyncssh.SSHKey) -> str:
    return key.export_public_key().decode().strip()


class Bench:
    """A server and its clients, in one loop."""

    def __init__(self, server: SshServer) -> None:
        self.server = server
        self.appliance = server.sessions.appliance
        self.faults = server.sessions.faults

    @asynccontextmanager
    async def client(
        self, user: str = "admin", key: asyncssh.SSHKey | None = KEY, password: str | None = None
    ) -> AsyncIterator[asyncssh.SSHClientConnection]:
        async with asyncssh.connect(
            "127.0.0.1",
            self.server.port,
            username=user,
            client_keys=[key] if key else [],
            password=password,
            known_hosts=None,
            config=[],
            agent_path=None,
        ) as connection:
            yield connection

    async def run(self, line: str) -> str:
        async with self.client() as connection:
            return await run(connection, line)


async def run(connection: asyncssh.SSHClientConnection, line: str) -> str:
    result = await connection.run(line, encoding=None)
    assert isinstance(result.stdout, bytes)
    assert result.stderr == b""
    return result.stdout.decode()


@contextmanager
def _appliance(path: Path, behaviour: Behaviour, users: tuple[User, ...]) -> Iterator[Appliance]:
    with Appliance(path, ApplianceOptions(behaviour=behaviour, users=users)) as appliance:
        yield appliance


Scenario = Callable[[Bench], Awaitable[T]]


@pytest.fixture
def serve(tmp_path: Path) -> Callable[..., None]:
    """Run a scenario against a server of its own, with a deadline."""

    def served(
        scenario: Scenario[None],
        behaviour: Behaviour | None = None,
        users: tuple[User, ...] = (User("admin"),),
        host_key_type: str = "ssh-ed25519",
        faults: Faults | None = None,
    ) -> None:
        async def main() -> None:
            options = ServerOptions(authorized_keys=[_public(KEY)], host_key_type=host_key_type)
            async with asyncio.timeout(SECONDS):
                async with SshServer(Sessions(appliance, faults), options) as server:
                    await scenario(Bench(server))

        with _appliance(tmp_path / "rds", behaviour or Behaviour(), users) as appliance:
            loops.run(main())

    return served


def test_exec_answers_on_stdout_with_crlf_and_status_0_whatever_happened(serve: Callable[..., None]) -> None:
    async def scenario(bench: Bench) -> None:
        async with bench.client() as connection:
            for line, printed in ((":put ok", "ok\r\n"), ("/nope", "bad command name nope (line 1 column 2)\r\n")):
                result = await connection.run(line, encoding=None)
                assert (result.stdout, result.stderr, result.exit_status) == (printed.encode(), b"", 0)

    serve(scenario)


def test_a_terminal_is_not_given_and_a_shell_is_not_there(serve: Callable[..., None]) -> None:
    async def scenario(bench: Bench) -> None:
        async with bench.client() as connection:
            with pytest.raises(asyncssh.ChannelOpenError):
                await connection.create_process(":put ok", term_type="xterm")
            result = await connection.run(None, encoding=None)
            assert result.stdout == b"only exec is simulated\r\n"

    serve(scenario)


def test_the_default_host_key_is_rsa_2048_and_survives_a_restart(tmp_path: Path) -> None:
    async def fingerprint(appliance: Appliance) -> tuple[str, str]:
        async with SshServer(Sessions(appliance), ServerOptions()) as server:
            assert asyncssh.read_public_key(appliance.state_dir / "host_key.pub").public_data == (
                server.host_key.public_data
            )
            return server.host_key.get_algorithm(), server.fingerprint

    with Appliance(tmp_path) as appliance:
        first = loops.run(fingerprint(appliance))
    with Appliance(tmp_path) as appliance:
        assert loops.run(fingerprint(appliance)) == first
    assert first[0] == "ssh-rsa"


def test_the_host_key_can_be_made_anew_from_the_console(serve: Callable[..., None]) -> None:
    async def scenario(bench: Bench) -> None:
        before = bench.server.fingerprint
        await bench.run("/ip/ssh/set host-key-type=ed25519; /ip/ssh/regenerate-host-key")
        while bench.server.fingerprint == before:
            await asyncio.sleep(0.01)
        async with bench.client() as connection:
            shown = connection.get_server_host_key()
            assert shown is not None
            assert shown.get_fingerprint() == bench.server.fingerprint
            assert shown.get_algorithm() == "ssh-ed25519"

    serve(scenario, host_key_type="ssh-rsa")


def test_a_key_that_nobody_knows_does_not_open(serve: Callable[..., None]) -> None:
    async def scenario(bench: Bench) -> None:
        for user, key in (("admin", OTHER_KEY), ("stranger", KEY)):
            with pytest.raises(asyncssh.PermissionDenied):
                async with bench.client(user, key):
                    pass

    serve(scenario)


def test_users_of_the_appliance_come_in_by_their_own_keys_and_policies(serve: Callable[..., None]) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.run("/user/group/add name=viewer policy=ssh,read")
        await bench.run('/user/add name=eve group=viewer password="s3cret"')
        await bench.run(f'/user/ssh-keys/add user=eve key="{_public(OTHER_KEY)}"')
        async with bench.client("eve", OTHER_KEY) as connection:
            assert await run(connection, ":put [/disk/get pool1 slot]") == "pool1\r\n"
            assert await run(connection, "/disk/set pool1 comment=x") == (
                "not enough permissions (9) (/disk/set; line 1)\r\n"
            )
        with pytest.raises(asyncssh.PermissionDenied):  # a user with a key cannot log in by password
            async with bench.client("eve", None, "s3cret"):
                pass
        await bench.run("/user/group/set viewer policy=read")
        with pytest.raises(asyncssh.PermissionDenied):
            async with bench.client("eve", OTHER_KEY):
                pass

    serve(scenario)


def test_passwords_open_where_there_is_no_key_and_an_empty_one_takes_any(serve: Callable[..., None]) -> None:
    async def scenario(bench: Bench) -> None:
        async with bench.client("paul", None, "right") as connection:
            assert await run(connection, ":put in") == "in\r\n"
        async with bench.client("open", None, "whatever"):
            pass
        with pytest.raises(asyncssh.PermissionDenied):
            async with bench.client("paul", None, "wrong"):
                pass
        await bench.run("/ip/ssh/set password-authentication=no")
        with pytest.raises(asyncssh.PermissionDenied):
            async with bench.client("paul", None, "right"):
                pass

    serve(scenario, users=(User("admin"), User("paul", password="right"), User("open")))


def test_ecdsa_keys_of_users_are_refused(serve: Callable[..., None]) -> None:
    key = asyncssh.generate_private_key("ecdsa-sha2-nistp256")

    async def scenario(bench: Bench) -> None:
        answer = await bench.run(f'/user/ssh-keys/add user=admin key="{_public(key)}"')
        assert answer.startswith("unable to load key file (wrong format or bad passphrase)!")

    serve(scenario)


def test_keepalives_of_openssh_get_no_answer(serve: Callable[..., None]) -> None:
    async def scenario(bench: Bench) -> None:
        async with bench.client() as connection:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await connection._make_global_request(b"keepalive@openssh.com")
            assert await run(connection, ":put still") == "still\r\n"

    serve(scenario)


def test_keepalives_are_answered_when_that_is_switched_on(serve: Callable[..., None]) -> None:
    async def scenario(bench: Bench) -> None:
        async with bench.client() as connection:
            await connection._make_global_request(b"keepalive@openssh.com")

    serve(scenario, Behaviour(answer_keepalive=True))


def test_too_many_channels_at_once_on_one_connection_hang(serve: Callable[..., None]) -> None:
    async def scenario(bench: Bench) -> None:
        async with bench.client() as connection:
            held = [await connection.create_process(":delay 10s") for _ in range(3)]
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await connection.run(":put late")
            assert len(held) == 3
            async with bench.client() as other:
                assert await run(other, ":put fine") == "fine\r\n"

    serve(scenario, Behaviour(max_channels=3))


def test_channels_one_after_the_other_never_hang(serve: Callable[..., None]) -> None:
    async def scenario(bench: Bench) -> None:
        async with bench.client() as connection:
            for index in range(10):
                assert await run(connection, f":put {index}") == f"{index}\r\n"

    serve(scenario, Behaviour(max_channels=1))


def test_more_connections_than_max_sessions_are_turned_away(serve: Callable[..., None]) -> None:
    async def scenario(bench: Bench) -> None:
        async with bench.client() as first:
            await run(first, "/ip/service/set ssh max-sessions=2")
            async with bench.client():
                with pytest.raises((asyncssh.ConnectionLost, ConnectionError)):
                    async with bench.client():
                        pass
            assert await run(first, ":put [/ip/service/get ssh max-sessions]") == "2\r\n"

    serve(scenario)


def test_a_reboot_cuts_every_connection_and_the_log_tells_of_it(serve: Callable[..., None]) -> None:
    async def scenario(bench: Bench) -> None:
        async with bench.client() as bystander:
            async with bench.client() as connection:
                assert (await connection.run("/system/reboot")).exit_status is None
                await connection.wait_closed()
            await bystander.wait_closed()
        log = await bench.run(":foreach i in=[/log/find] do={:put [/log/get $i message]}")
        assert "router rebooted" in log
        assert "user admin logged in from 127.0.0.1 via ssh" in log

    serve(scenario)


def test_connections_can_be_refused_muted_or_greeted_with_garbage(serve: Callable[..., None]) -> None:
    async def scenario(bench: Bench) -> None:
        bench.faults.refuse_connections = True
        with pytest.raises((asyncssh.ConnectionLost, ConnectionError)):
            await bench.run(":put x")
        bench.faults.refuse_connections = False
        bench.faults.mute_connections = True
        reader, writer = await asyncio.open_connection("127.0.0.1", bench.server.port)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await reader.read(1)
        writer.close()
        bench.faults.mute_connections = False
        bench.faults.banner = b"MikroTik says hello\r\n"
        assert await bench.run(":put x") == "x\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", bench.server.port)
        assert await reader.readline() == b"MikroTik says hello\r\n"
        assert (await reader.readline()).startswith(b"SSH-2.0-")
        writer.close()

    serve(scenario)


def test_drop_after_runs_the_line_and_loses_the_answer(serve: Callable[..., None]) -> None:
    async def scenario(bench: Bench) -> None:
        bench.faults.add("drop-after", contains="comment=", times=1)
        async with bench.client() as connection:
            result = await connection.run("/disk/set pool1 comment=changed; :put done", encoding=None)
            assert result.exit_status is None
            assert result.stdout == b""
        assert await bench.run(":put [/disk/get pool1 comment]") == "changed\r\n"

    serve(scenario)


def test_a_late_line_runs_when_its_session_is_long_gone(serve: Callable[..., None]) -> None:
    async def scenario(bench: Bench) -> None:
        bench.faults.add(Fault("late", seconds=0.2), contains="comment=", times=1)
        async with bench.client() as connection:
            result = await connection.run("/disk/set pool1 comment=late", encoding=None)
            assert result.exit_status is None
        assert bench.appliance.storage.disks.by_comment("late") == []
        while not bench.appliance.storage.disks.by_comment("late"):
            await asyncio.sleep(0.02)

    serve(scenario)


def test_fifty_connections_at_once_leave_fifty_whole_items(serve: Callable[..., None]) -> None:
    async def add(bench: Bench, index: int) -> None:
        async with bench.client() as connection:
            line = f"/disk/add type=file slot=s{index} file-path=pool1/{index}.img file-size=1M comment=c{index}"
            assert await run(connection, line) == ""
            assert await run(connection, f':put [/disk/get [find where slot="s{index}"] comment]') == f"c{index}\r\n"

    async def scenario(bench: Bench) -> None:
        await asyncio.gather(*(add(bench, index) for index in range(50)))
        disks = [disk for disk in bench.appliance.storage.disks if disk.type == "file"]
        assert sorted(disk.slot for disk in disks) == sorted(f"s{index}" for index in range(50))
        assert len({disk.number for disk in disks}) == 50
        for disk in disks:
            assert bench.appliance.storage.disks.size_of(disk) == 1 << 20

    serve(scenario, Behaviour(max_sessions=64))


def test_the_port_is_free_again_after_the_server_is_gone(tmp_path: Path) -> None:
    async def port(appliance: Appliance) -> int:
        async with SshServer(Sessions(appliance), ServerOptions()) as server:
            return server.port

    with Appliance(tmp_path) as appliance:
        used = loops.run(port(appliance))
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", used))


def test_a_booting_appliance_takes_no_connections(serve: Callable[..., None]) -> None:
    async def scenario(bench: Bench) -> None:
        assert await bench.run(":put up") == "up\r\n"
        await asyncio.to_thread(bench.appliance.reboot)
        with pytest.raises((asyncssh.ConnectionLost, ConnectionError)):
            await bench.run(":put down")
        bench.appliance._booted_at -= 3600
        assert await bench.run(":put up") == "up\r\n"

    serve(scenario, Behaviour(boot_seconds=60))


def test_any_byte_that_was_stored_comes_back_over_ssh(serve: Callable[..., None]) -> None:
    async def scenario(bench: Bench) -> None:
        async with bench.client() as connection:
            line = '/disk/set pool1 comment="\\00\\80\\FF\\C3\\A4"; :put [/disk/get pool1 comment]'
            result = await connection.run(line, encoding=None)
            assert result.stdout == b"\x00\x80\xff\xc3\xa4\r\n"

    serve(scenario)
