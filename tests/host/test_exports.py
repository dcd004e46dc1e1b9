"""The exports of a simulated RDS as they are read: a link that is gone says something only where the links are kept."""

from pathlib import Path

import pytest
from trio.testing import MockClock

from rdscsi.errors import DeviceUnavailable
from rdscsi.host.exports import find_export, is_exported
from rdscsi.host.ports import Connection
from rdscsi.host.simulated import SimulatedHost, open_kernel
from rdscsi.testing.host import Exporter

SUBNQN = "nqn.2026-11.io.rdscsi:v/1:a"


def test_a_link_is_an_export_also_when_its_file_is_gone(tmp_path: Path) -> None:
    exporter = Exporter(tmp_path)
    file = exporter.file("disk", 1 << 20)
    exporter.export(SUBNQN, file)
    assert is_exported(exporter.exports, SUBNQN)
    file.unlink()
    assert find_export(exporter.exports, SUBNQN) is None
    assert is_exported(exporter.exports, SUBNQN)
    exporter.withdraw(SUBNQN)
    assert not is_exported(exporter.exports, SUBNQN)


def test_without_a_directory_of_exports_nothing_is_known(tmp_path: Path) -> None:
    with pytest.raises(DeviceUnavailable, match="no simulated RDS"):
        is_exported(tmp_path / "exports", SUBNQN)


async def test_a_machine_that_knows_of_no_exports_knows_nothing(autojump_clock: MockClock) -> None:
    host = SimulatedHost(None, open_kernel(None))
    with pytest.raises(DeviceUnavailable, match="no portal answers"):
        await host.offers(Connection(SUBNQN, (), "h", "h"))
