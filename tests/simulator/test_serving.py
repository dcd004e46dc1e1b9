"""The simulator inside other programs: a Trio block, a Trio nursery, a plain thread, pytest fixtures."""

import subprocess
import sys
from pathlib import Path

import asyncssh
import pytest
import trio
import trio_asyncio

from rdscsi.simulator import Appliance
from rdscsi.simulator.faults import KINDS
from rdscsi.simulator.server import ServerOptions
from rdscsi.simulator.serving import RunningSimulator, open_simulator, running, serve_simulator

KEY = asyncssh.generate_private_key("ssh-ed25519")
OPTIONS = ServerOptions(authorized_keys=[KEY.export_public_key().decode()], host_key_type="ssh-ed25519")


async def _asked(host: str, port: int, line: str, key: object = KEY) -> str:
    async with trio_asyncio.open_loop():
        return str(await trio_asyncio.aio_as_trio(_ask)(host, port, line, key))


async def _ask(host: str, port: int, line: str, key: object) -> str:
    async with asyncssh.connect(
        host, port, username="admin", client_keys=[key], known_hosts=None, config=[], agent_path=None
    ) as connection:
        result = await connection.run(line)
        return str(result.stdout)


async def test_a_trio_block_has_a_server_and_leaves_none(appliance: Appliance) -> None:
    with trio.fail_after(20):
        async with open_simulator(appliance, OPTIONS) as simulator:
            assert simulator.fingerprint.startswith("SHA256:")
            assert await _asked(simulator.host, simulator.port, ":put trio") == "trio\r\n"
        with pytest.raises(OSError, match=r"."):
            await trio.open_tcp_stream(simulator.host, simulator.port)


async def test_a_nursery_starts_it_and_cancels_it(appliance: Appliance) -> None:
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            simulator: RunningSimulator = await nursery.start(serve_simulator, appliance, OPTIONS)
            assert await _asked(simulator.host, simulator.port, ":put nursery") == "nursery\r\n"
            simulator.faults.refuse_connections = True
            simulator.disconnect_all()
            nursery.cancel_scope.cancel()


async def test_a_port_that_is_taken_is_told(appliance: Appliance, tmp_path: Path) -> None:
    with trio.fail_after(20):
        async with open_simulator(appliance, OPTIONS) as first:
            with Appliance(tmp_path / "other") as other, pytest.raises(OSError, match="address already in use"):
                async with open_simulator(other, ServerOptions(port=first.port)):
                    pass


def test_a_program_without_a_loop_can_serve_too(appliance: Appliance) -> None:
    with running(appliance, OPTIONS) as simulator:
        assert trio.run(_asked, simulator.host, simulator.port, ":put thread") == "thread\r\n"


USER_TEST = """
import socket
from rdscsi.simulator import ApplianceOptions
import pytest

@pytest.fixture
def rds_options():
    return ApplianceOptions(version="7.21.5")

def test_it(rds, rds_over_ssh):
    assert rds.run(":put [/system/resource/get version]") == "7.21.5 (stable)\\r\\n"
    with socket.create_connection((rds_over_ssh.host, rds_over_ssh.port)) as client:
        assert client.recv(8) == b"SSH-2.0-"
    assert rds_over_ssh.key_file.exists()
    assert rds_over_ssh.host_key_file.read_text().startswith("ssh-ed25519 ")
"""


def test_other_projects_use_the_fixtures(tmp_path: Path) -> None:
    (tmp_path / "test_user.py").write_text(USER_TEST)
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["rdscsi.simulator.pytest_plugin"]\n')
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert "1 passed" in done.stdout, done.stdout


def test_importing_the_simulator_loads_no_ssh_server_and_nothing_of_the_driver() -> None:
    script = (
        "import sys, rdscsi.simulator; "
        "names = ('asyncssh', 'trio', 'rdscsi.routeros', 'rdscsi.csi'); "
        "print([name for name in sys.modules if name.startswith(names)])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_first_example_of_the_document_runs(tmp_path: Path) -> None:
    document = (Path(__file__).resolve().parents[2] / "docs/simulator.md").read_text(encoding="utf-8")
    example = document.split("```python\n")[1].split("```")[0]
    exec(compile(example, "docs/simulator.md", "exec"), {"tmp_path": tmp_path})


def test_the_document_names_every_kind_of_fault() -> None:
    document = (Path(__file__).resolve().parents[2] / "docs/simulator.md").read_text(encoding="utf-8")
    assert [kind for kind in KINDS if f"`{kind}`" not in document] == []
