"""A simulated appliance behind its real SSH server, and the files by which a driver gets in.

No clock is virtual here; deadlines that must pass are short, and everything else ends as soon as it can.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncssh
import trio
import trio_asyncio

from rdscsi.routeros.pool import Pool, PoolSettings
from rdscsi.routeros.ssh import SshSettings, open_ssh
from rdscsi.simulator import Appliance
from rdscsi.simulator.server import ServerOptions
from rdscsi.simulator.serving import RunningSimulator, open_simulator

PATIENCE = 20.0  # seconds in which anything here is over, on a slow machine too
KEYS = [asyncssh.generate_private_key("ssh-ed25519") for _ in range(2)]
QUICK = PoolSettings(connections=2, connect_deadline=PATIENCE, first_backoff=0.01, longest_backoff=0.05)
HELLO = ':put "hello"'
ADD = '/disk/add type=file slot="made" file-path="pool1/made.img" file-size=1048576'


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
