"""The registration with kubelet, against a kubelet in a thread that speaks by grpcio and does what kubelet does."""

import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
import trio

from rdscsi.config import Endpoint
from rdscsi.csi.loop import open_loop
from rdscsi.csi.pb import pluginregistration as pb
from rdscsi.csi.pb.csi.v1 import NodeBase, NodeGetInfoRequest, NodeGetInfoResponse
from rdscsi.names import DRIVER_NAME
from rdscsi.registration import Registration, keep_registered, keeping
from rdscsi.registration.service import PlainCodec, open_service

ON_HOST = Path("/var/lib/kubelet/plugins/csi.rdscsi.io/csi.sock")
PATIENCE = 20.0


class Node(NodeBase):
    """The CSI socket's other end: kubelet and the registration ask it alone."""

    async def node_get_info(self, message: NodeGetInfoRequest) -> NodeGetInfoResponse:
        return NodeGetInfoResponse(node_id="n1")


@asynccontextmanager
async def csi_socket(path: Path) -> AsyncIterator[None]:
    from rdscsi.csi.connections import Connections
    from rdscsi.csi.drain import InFlight
    from rdscsi.csi.loop import crossed
    from rdscsi.csi.unix_socket import open_unix_socket

    connections = Connections(Node().__mapping__(), PlainCodec(), InFlight())
    async with open_unix_socket(path, mode=0o600, group="") as listener:
        await crossed(connections.listen, (listener,))
        try:
            yield
        finally:
            with trio.CancelScope(shield=True):  # else a test that fails leaves the listener to the next one
                await crossed(connections.close)


@dataclass(frozen=True, slots=True)
class Kubelet:
    """What kubelet does with a socket that it finds."""

    path: Path

    async def ask(self) -> pb.PluginInfo:
        return await trio.to_thread.run_sync(self._call, "GetInfo", pb.InfoRequest(), pb.PluginInfo)

    async def tell(self, *, registered: bool, error: str = "") -> None:
        status = pb.RegistrationStatus(plugin_registered=registered, error=error)
        await trio.to_thread.run_sync(self._call, "NotifyRegistrationStatus", status, pb.RegistrationStatusResponse)

    def _call(self, method: str, request: object, reply: type) -> pb.PluginInfo:
        with grpc.insecure_channel(f"unix:{self.path}") as channel:
            call = channel.unary_unary(
                f"/pluginregistration.Registration/{method}",
                request_serializer=bytes,
                response_deserializer=reply.parse,  # type: ignore[attr-defined]
            )
            answer: pb.PluginInfo = call(request, timeout=PATIENCE)
            return answer


async def appeared(path: Path) -> tuple[int, int]:
    with trio.fail_after(PATIENCE):
        while not path.exists():
            await trio.sleep(0.01)
    return identity(path)


def identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_ino, found.st_ctime_ns


async def replaced(path: Path, former: tuple[int, int]) -> None:
    with trio.fail_after(PATIENCE):
        while not path.exists() or identity(path) == former:
            await trio.sleep(0.01)


@pytest.fixture
def registration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registration:
    monkeypatch.setattr(keeping, "FIRST_PAUSE", 0.02)
    monkeypatch.setattr(keeping, "LOOK_SECONDS", 0.05)
    return Registration(tmp_path / "registry", ON_HOST)


@asynccontextmanager
async def kept(registration: Registration, csi: Path) -> AsyncIterator[Kubelet]:
    """Keep it registered while the body runs."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep_registered, registration, Endpoint(path=csi))
        yield Kubelet(registration.socket)
        nursery.cancel_scope.cancel()


async def test_kubelet_learns_the_driver_and_its_socket_on_the_host(registration: Registration, tmp_path: Path) -> None:
    csi = tmp_path / "csi.sock"
    async with open_loop(), csi_socket(csi), kept(registration, csi) as kubelet:
        await appeared(registration.socket)
        info = await kubelet.ask()
        assert (info.type, info.name, info.endpoint) == ("CSIPlugin", DRIVER_NAME, str(ON_HOST))
        assert info.supported_versions == ["1.0.0"]
        await kubelet.tell(registered=True)
        assert (await kubelet.ask()).name == DRIVER_NAME  # a kubelet that was started again
    assert not registration.socket.exists()  # by which kubelet deregisters


async def test_the_socket_waits_for_the_csi_socket(registration: Registration, tmp_path: Path) -> None:
    csi = tmp_path / "csi.sock"
    async with open_loop(), kept(registration, csi):
        await trio.sleep(0.2)
        assert not registration.socket.exists()
        async with csi_socket(csi):
            await appeared(registration.socket)


async def test_a_failed_registration_is_offered_anew(registration: Registration, tmp_path: Path) -> None:
    csi = tmp_path / "csi.sock"
    async with open_loop(), csi_socket(csi), kept(registration, csi) as kubelet:
        first = await appeared(registration.socket)
        await kubelet.ask()
        await kubelet.tell(registered=False, error="the name is taken")
        await replaced(registration.socket, first)
        assert (await kubelet.ask()).name == DRIVER_NAME


async def test_a_socket_that_somebody_removed_comes_back(registration: Registration, tmp_path: Path) -> None:
    csi = tmp_path / "csi.sock"
    async with open_loop(), csi_socket(csi), kept(registration, csi):
        first = await appeared(registration.socket)
        os.unlink(registration.socket)
        await replaced(registration.socket, first)


async def test_a_socket_that_is_removed_as_soon_as_it_appears_comes_back(
    registration: Registration, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed: list[Path] = []

    @asynccontextmanager
    async def open_and_lose(path: Path, info: pb.PluginInfo, told: Callable[[str], None]) -> AsyncIterator[None]:
        async with open_service(path, info, told):
            if not removed:
                path.unlink()
                removed.append(path)
            yield

    monkeypatch.setattr(keeping, "open_service", open_and_lose)
    csi = tmp_path / "csi.sock"
    async with open_loop(), csi_socket(csi), kept(registration, csi) as kubelet:
        await appeared(registration.socket)
        assert removed == [registration.socket]
        assert (await kubelet.ask()).name == DRIVER_NAME


async def test_a_stale_socket_is_replaced_and_a_live_one_waited_for(registration: Registration, tmp_path: Path) -> None:
    csi = tmp_path / "csi.sock"
    registration.directory.mkdir()
    other = socket.socket(socket.AF_UNIX)
    other.bind(str(registration.socket))
    other.listen()
    live = identity(registration.socket)
    async with open_loop(), csi_socket(csi), kept(registration, csi) as kubelet:
        await trio.sleep(0.2)
        assert identity(registration.socket) == live
        other.close()  # and its file stays, as after a kill
        await replaced(registration.socket, live)
        assert (await kubelet.ask()).name == DRIVER_NAME


async def test_bytes_that_are_no_message_are_an_invalid_argument(registration: Registration) -> None:
    async with open_loop(), open_service(registration.socket, registration.info(), lambda _: None):
        kubelet = Kubelet(registration.socket)
        with pytest.raises(grpc.RpcError) as raised:
            await trio.to_thread.run_sync(kubelet._call, "NotifyRegistrationStatus", b"\x0b\x0a\x99", pb.InfoRequest)
        assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
