"""One controller process over two appliances, real SSH, real journals: one dies with SIGKILL and comes back."""

import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio

from rdscsi.config.values import Endpoint
from rdscsi.csi.loop import open_loop
from rdscsi.csi.pb.csi.v1 import GetCapacityRequest, ListVolumesRequest
from rdscsi.sandbox import calls, keys, readiness, settings
from rdscsi.sandbox.children import Child, Process, leashed, running
from rdscsi.sandbox.client import CallFailed, Client, open_client
from rdscsi.sandbox.layout import Layout
from rdscsi.sandbox.record import Ssh

NAMES = ("flash", "archive")
SIZE = 64 << 20
PATIENCE = 60.0


@dataclass
class Site:
    """Two simulated RDS, the controller before them, and its processes by name as they are now."""

    directory: Path
    client: Client
    processes: dict[str, Process] = field(default_factory=dict)


def _port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@asynccontextmanager
async def open_site(directory: Path) -> AsyncIterator[Site]:
    endpoint, settled = Endpoint(path=directory / "csi.sock"), trio.Event()
    async with open_loop(), open_client(str(endpoint)) as client, AsyncExitStack() as stack:
        site = Site(directory, client)

        async def keep(name: str, *arguments: str) -> None:
            def started(process: Process) -> None:
                site.processes[name] = process

            child = Child(name, leashed(*arguments), directory / f"{name}.log", 10.0)
            await stack.enter_async_context(running(child, started=started, died=lambda _: None, settled=settled))

        tables = []
        for name in NAMES:
            (directory / name).mkdir()
            layout = Layout(directory / name)
            keys.ensure_key_pair(layout.client_key, layout.client_public_key)
            ssh = Ssh("127.0.0.1", _port(), settings.USER, str(layout.client_key), str(layout.host_key))
            options = settings.Options(layout.state_dir, endpoint)
            await keep(name, *settings.simulator_arguments(options, layout, ssh))
            await readiness.wait_appliance(ssh)
            lines = directory / f"{name}.toml"
            settings.write(lines, settings.controller(layout, ssh))
            tables.append(f"[backends.{name}]\n{lines.read_text()}")
        file = directory / "settings.toml"
        settings.write(file, settings.process(Layout(directory), "journal", endpoint) | {"backend": NAMES[0]})
        file.write_text(file.read_text() + "\n".join(tables))
        await keep("controller", "controller", "--config", str(file))
        for name in NAMES:
            await client.settle(client.controller.get_capacity, _room(name), timeout=5.0)
        settled.set()
        yield site


def _room(name: str) -> GetCapacityRequest:
    return GetCapacityRequest(parameters={"backend": name})


async def _create(site: Site, name: str, backend: str) -> str:
    request = calls.create(name, SIZE, calls.block())
    request.parameters = {"backend": backend}
    made = await site.client.settle(site.client.controller.create_volume, request)
    assert made.volume is not None
    return made.volume.volume_id


def _files(directory: Path, name: str) -> list[Path]:
    return list((Layout(directory / name).simulator / "pool").rglob("v*"))


@pytest.mark.slow
async def test_one_appliance_dies_and_the_other_goes_on(tmp_path: Path) -> None:
    with trio.fail_after(PATIENCE):
        async with open_site(tmp_path) as site:
            controller = site.client.controller
            ids = [await _create(site, f"pvc-{name}", name) for name in NAMES]
            assert [one.split("/")[0] for one in ids] == list(NAMES)
            assert all(_files(tmp_path, name) for name in NAMES)
            listed = await site.client.settle(controller.list_volumes, ListVolumesRequest())
            assert {one.volume.volume_id for one in listed.entries if one.volume} == set(ids)

            os.kill(site.processes["archive"].pid, signal.SIGSTOP)  # it is there and answers nothing
            again = await _create(site, "pvc-more", "flash")
            await site.client.settle(controller.delete_volume, calls.delete(again))
            with pytest.raises(CallFailed) as refused:
                await site.client.call(controller.delete_volume, calls.delete(ids[1]), timeout=3.0)
            assert not refused.value.final

            site.processes["controller"].send(signal.SIGKILL)
            os.kill(site.processes["archive"].pid, signal.SIGKILL)
            await site.client.settle(controller.delete_volume, calls.delete(ids[1]), timeout=5.0)
            await site.client.settle(controller.delete_volume, calls.delete(ids[0]), timeout=5.0)
            listed = await site.client.settle(controller.list_volumes, ListVolumesRequest(), timeout=5.0)
            assert listed.entries == []
            assert not any(_files(tmp_path, name) for name in NAMES)
    assert {one.name for one in tmp_path.glob("*.db")} == {"journal.db", "journal.archive.db"}
