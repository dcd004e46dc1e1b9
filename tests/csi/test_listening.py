"""Where the edge listens: what may be in the way of a Unix socket, its permissions, its end; and TCP addresses."""

import errno
import fcntl
import grp
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio
from csi_edge import open_client, open_edge
from csi_logs import captured

from rdscsi.config import Endpoint
from rdscsi.csi import unix_socket
from rdscsi.csi.listening import open_listening
from rdscsi.csi.unix_socket import open_unix_socket
from rdscsi.errors import SettingsInvalid


@contextmanager
def umask(mask: int) -> Iterator[None]:
    former = os.umask(mask)
    try:
        yield
    finally:
        os.umask(former)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def stale(path: Path, kind: socket.SocketKind = socket.SOCK_STREAM) -> None:
    """Leave a socket as a killed process does."""
    with socket.socket(socket.AF_UNIX, kind) as dead:
        dead.bind(str(path))


async def refused(path: Path, *, mode: int = 0o600, group: str = "") -> str:
    """Try to listen, which must not work; what is said of it."""
    with pytest.raises(SettingsInvalid) as caught:
        async with open_unix_socket(path, mode=mode, group=group):
            pass
    (mistake,) = caught.value.mistakes
    return mistake


async def test_a_stale_socket_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "csi.sock"
    stale(path)
    with captured() as logged:
        async with open_edge(path) as edge, open_client(edge.server.endpoint) as client:
            assert await client.well()
    assert not path.exists()
    assert logged.records("endpoint.stale_socket_removed", path=str(path))


async def test_a_live_listener_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "csi.sock"
    async with open_edge(path) as edge, open_client(edge.server.endpoint) as client:
        assert "another process listens there" in await refused(path)
        assert await client.well()


async def test_a_listener_whose_backlog_is_full_is_a_live_one(tmp_path: Path) -> None:
    path = tmp_path / "csi.sock"
    with socket.socket(socket.AF_UNIX) as busy, socket.socket(socket.AF_UNIX) as waiting:
        busy.bind(str(path))
        busy.listen(0)
        waiting.connect(str(path))
        assert "another process listens there" in await refused(path)
        assert path.is_socket()


async def test_a_socket_of_another_type_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "csi.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(path))
        assert "another process listens there" in await refused(path)
        assert path.is_socket()


@pytest.mark.parametrize("kind", ["file", "directory", "symlink to a socket", "broken symlink"])
async def test_what_is_no_socket_is_left_alone(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "csi.sock"
    if kind == "file":
        path.write_text("precious")
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to(tmp_path / "target")
        if kind == "symlink to a socket":
            stale(tmp_path / "target")
    before = path.lstat().st_ino
    mistake = await refused(path)
    assert str(path) in mistake
    assert "no socket" in mistake
    assert path.lstat().st_ino == before


async def test_where_nobody_can_tell_whether_someone_listens_nothing_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "csi.sock"
    stale(path)
    monkeypatch.setattr(unix_socket, "_knock", lambda path: errno.EACCES)
    assert "cannot be told" in await refused(path)
    assert path.is_socket()


async def test_a_path_that_cannot_be_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "csi.sock"
    mistake = await refused(path)
    assert mistake.startswith(f"endpoint=unix://{path}: cannot listen there: ")


async def test_missing_directories_are_made_for_everybody_to_pass_and_stay(tmp_path: Path) -> None:
    path = tmp_path / "plugins" / "csi.rdscsi.io" / "csi.sock"
    with umask(0o022):
        async with open_unix_socket(path, mode=0o600, group=""):
            assert mode_of(path.parent) == mode_of(path.parent.parent) == 0o755
    assert path.parent.is_dir()
    assert not path.exists()


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077, 0o777])
@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666, 0o400])
async def test_the_mode_is_exactly_the_one_asked_for_whatever_the_umask(mode: int, mask: int, tmp_path: Path) -> None:
    with umask(mask):
        async with open_unix_socket(tmp_path / "csi.sock", mode=mode, group=""):
            assert mode_of(tmp_path / "csi.sock") == mode


async def test_the_socket_is_never_wider_than_asked_not_even_for_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, seen = tmp_path / "csi.sock", []
    chown, chmod = os.chown, os.chmod

    def spying_chown(*args: object, **how: object) -> None:
        seen.append((mode_of(path), path.stat().st_gid))
        chown(*args, **how)  # type: ignore[arg-type]

    def spying_chmod(*args: object, **how: object) -> None:
        seen.append((mode_of(path), path.stat().st_gid))
        chmod(*args, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "chown", spying_chown)
    monkeypatch.setattr(os, "chmod", spying_chmod)
    with umask(0):
        async with open_unix_socket(path, mode=0o660, group=str(os.getgid())):
            pass
    assert seen == [(0o600, os.getgid()), (0o600, os.getgid())]


@pytest.mark.skipif(os.getuid() != 0, reason="only root may give a file to a group that it is not in")
@pytest.mark.parametrize("group", ["4321", "daemon"])
async def test_the_group_may_be_a_name_or_a_number(group: str, tmp_path: Path) -> None:
    wanted = 4321 if group == "4321" else grp.getgrnam(group).gr_gid
    async with open_unix_socket(tmp_path / "csi.sock", mode=0o660, group=group):
        found = (tmp_path / "csi.sock").stat()
        assert (found.st_gid, found.st_uid) == (wanted, os.getuid())


async def test_a_group_that_does_not_exist_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    path = tmp_path / "new" / "csi.sock"
    assert "socket-group='no-such-group'" in await refused(path, group="no-such-group")
    assert not path.parent.exists()


async def test_a_socket_that_cannot_be_given_its_group_is_removed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no(*args: object, **how: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "chown", no)
    assert "Operation not permitted" in await refused(tmp_path / "csi.sock", group="1")
    assert list(tmp_path.iterdir()) == []


async def test_at_the_end_only_our_own_socket_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "csi.sock"
    with captured() as logged:
        async with open_unix_socket(path, mode=0o600, group=""):
            path.unlink()
            stale(path)
        assert path.is_socket()
        async with open_unix_socket(path, mode=0o600, group=""):
            path.unlink()
    assert len(logged.records("endpoint.socket_not_ours")) == 2


async def test_a_socket_that_cannot_be_removed_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "csi.sock"

    def no(self: Path) -> None:
        raise PermissionError(errno.EROFS, "Read-only file system")

    with captured() as logged:
        async with open_unix_socket(path, mode=0o600, group=""):
            monkeypatch.setattr(Path, "unlink", no)
        monkeypatch.undo()
    assert logged.records("endpoint.socket_not_removed", detail="Read-only file system")


async def test_the_socket_is_removed_while_it_still_listens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a successor could take it for stale, put its own there, and lose that."""
    path, knocks = tmp_path / "csi.sock", []
    unlink = Path.unlink

    def spying(self: Path) -> None:
        knocks.append(unix_socket._knock(self))
        unlink(self)

    async with open_edge(path) as edge:
        monkeypatch.setattr(Path, "unlink", spying)
        await edge.server.drain(0)
    assert knocks == [0]


async def test_two_that_start_at_once_do_not_take_each_others_socket(tmp_path: Path) -> None:
    path = tmp_path / "csi.sock"
    stale(path)
    serving, refusals = [], []
    end = trio.Event()

    async def serve() -> None:
        try:
            async with open_unix_socket(path, mode=0o600, group="") as listener:
                serving.append(listener)
                await end.wait()
        except SettingsInvalid as error:
            refusals.append(str(error))

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(serve)
            while len(serving) + len(refusals) < 5:
                await trio.sleep(0)
            assert unix_socket._knock(path) == 0
            end.set()
    assert len(serving) == 1
    assert all("another process listens there" in one for one in refusals)


HOLD = """
import fcntl, os, sys
fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX)
print("held", flush=True)
input()
"""


async def test_one_waits_until_another_has_made_its_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[bool] = []
    locked = unix_socket._locked

    def spying(handle: int) -> bool:
        tries.append(locked(handle))
        return tries[-1]

    monkeypatch.setattr(unix_socket, "_locked", spying)
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        await trio.to_thread.run_sync(process.stdout.readline)
        opened = trio.Event()

        async def listen() -> None:
            async with open_unix_socket(tmp_path / "csi.sock", mode=0o600, group=""):
                opened.set()

        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(listen)
                while len(tries) < 3:
                    await trio.sleep(0)
                assert not any(tries)
                assert not opened.is_set()
                process.communicate(b"\n")
                await opened.wait()
    finally:
        process.kill()
        process.communicate()


async def test_one_does_not_wait_for_ever_for_another(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    handle = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        assert "another process is making a socket" in await refused(tmp_path / "csi.sock")
    finally:
        os.close(handle)
    assert trio.current_time() == pytest.approx(5)


# --- TCP


@contextmanager
def taken_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


async def tcp_refused(endpoint: Endpoint) -> str:
    with pytest.raises(SettingsInvalid) as caught:
        async with open_listening(endpoint, mode=0o600, group=""):
            pass
    return str(caught.value)


async def test_a_port_that_is_taken_is_refused_by_name() -> None:
    with taken_port() as port:
        mistake = await tcp_refused(Endpoint(host="127.0.0.1", port=port))
    assert mistake == f"endpoint=tcp://127.0.0.1:{port}: cannot listen there: Address already in use"


async def test_an_address_that_this_machine_does_not_have_is_refused() -> None:
    assert "endpoint=tcp://192.0.2.1:0" in await tcp_refused(Endpoint(host="192.0.2.1"))


async def test_a_name_without_an_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def unknown(*args: object, **how: object) -> object:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(trio.socket, "getaddrinfo", unknown)
    assert "Name or service not known" in await tcp_refused(Endpoint(host="nowhere.invalid", port=1))


async def test_a_name_of_several_addresses_gets_one_port_on_those_that_are_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def several(host: str, port: int, **how: object) -> object:
        stream = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
        here, there, again = ("127.0.0.1", port), ("192.0.2.1", port), ("127.0.0.2", port)
        return [(*stream, here), (*stream, there), (*stream, again), (*stream, here)]

    monkeypatch.setattr(trio.socket, "getaddrinfo", several)
    async with open_listening(Endpoint(host="name"), mode=0o600, group="") as open_one:
        addresses = [one.getsockname() for one in open_one.sockets]
    assert [host for host, _ in addresses] == ["127.0.0.1", "127.0.0.2"]
    assert {port for _, port in addresses} == {open_one.endpoint.port}
    assert open_one.endpoint.port != 0
    assert all(one.fileno() == -1 for one in open_one.sockets)


async def test_a_name_is_refused_whose_port_is_taken_on_one_of_its_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    async def two(host: str, port: int, **how: object) -> object:
        stream = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
        return [(*stream, ("127.0.0.2", port)), (*stream, ("127.0.0.1", port))]

    monkeypatch.setattr(trio.socket, "getaddrinfo", two)
    with taken_port() as port:
        assert "Address already in use" in await tcp_refused(Endpoint(host="name", port=port))


async def test_a_name_of_no_address_at_all_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(*args: object, **how: object) -> object:
        return []

    monkeypatch.setattr(trio.socket, "getaddrinfo", nothing)
    assert "no address" in await tcp_refused(Endpoint(host="name"))


@pytest.mark.skipif(not socket.has_ipv6 or not Path("/proc/net/if_inet6").read_text(), reason="no IPv6 here")
async def test_ipv6_is_served_by_its_own_name_only() -> None:
    async with open_edge(Endpoint(host="::1")) as edge:
        assert str(edge.server.endpoint).startswith("tcp://[::1]:")
        async with open_client(edge.server.endpoint) as client:
            assert await client.well()
