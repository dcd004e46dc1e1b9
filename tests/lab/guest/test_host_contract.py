"""What every Host promises (tests/host/test_contract.py), asked of the kernel backend over real NVMe/TCP."""

import importlib.util
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lab.guest.initiator import HOST, HOST_ID
from lab.guest.target import Target, sh
from rdscsi.host.calls import open_calls
from rdscsi.host.kernel import KernelHost
from rdscsi.host.local import Deadlines
from rdscsi.host.ports import Connection
from rdscsi.model import Portal
from rdscsi.simulator.storage.exports import Export
from rdscsi.testing.host import clear_machine, open_processes

CONTRACT = Path(__file__).parents[2] / "host" / "test_contract.py"
PORTAL = Portal("192.0.2.1", 4420)
DEADLINES = Deadlines(connect=8, mount=30, mkfs=60)

pytest.register_assert_rewrite("host_contract")
_spec = importlib.util.spec_from_file_location("host_contract", CONTRACT)
assert _spec is not None
assert _spec.loader is not None
contract = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(contract)
globals().update({name: test for name, test in vars(contract).items() if name.startswith("test_")})


class KernelExporter:
    """`rdscsi.testing.host.Exporter` by the kernel's target."""

    def __init__(self, target: Target) -> None:
        self._target = target

    def file(self, name: str, size_bytes: int) -> Path:
        """Make a backing file, sparse, or give it another size."""
        file = self._target.pool / f"{name}.img"
        with file.open("ab") as opened:
            opened.truncate(size_bytes)
        return file

    def export(self, subnqn: str, file: Path) -> None:
        """Export a file under an NQN."""
        self._target.nvmet.offer(Export(subnqn, file))

    def withdraw(self, subnqn: str) -> None:
        """End an export."""
        self._target.nvmet.withdraw(subnqn)


def connection(_bench: object, subnqn: str = contract.SUBNQN) -> Connection:
    """As the contract's own, with names that a kernel takes."""
    return Connection(subnqn, (PORTAL,), HOST, HOST_ID)


KernelBench = type("KernelBench", (contract.Bench,), {"connection": connection})


@pytest.fixture(scope="session")
def portal() -> None:
    """The address of the contract's appliance is this machine."""
    sh("ip", "address", "replace", f"{PORTAL.traddr}/32", "dev", "lo")


@pytest.fixture
async def bench(target: Target, portal: None, tmp_path: Path) -> AsyncIterator[object]:
    directory = Path(os.path.realpath(tmp_path)) / "paths"
    directory.mkdir()
    target.volume()  # with no export at all the port would be closed, and nobody would say what is not offered
    async with open_processes() as processes, open_calls(processes) as calls:
        host = KernelHost(processes=processes, calls=calls, deadlines=DEADLINES)
        try:
            yield KernelBench(host, KernelExporter(target), directory)
        finally:
            await clear_machine(host, tmp_path)
