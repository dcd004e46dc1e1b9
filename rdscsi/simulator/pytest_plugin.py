"""Fixtures for tests of other projects: a simulated RDS, with or without SSH.

Enable them in your conftest.py with `pytest_plugins = ["rdscsi.simulator.pytest_plugin"]`. Override `rds_options` to
set up another appliance. There is no entry point, so that nobody's test run loads an SSH server unasked.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncssh
import pytest

from rdscsi.simulator.appliance import Appliance
from rdscsi.simulator.faults import Faults
from rdscsi.simulator.options import ApplianceOptions
from rdscsi.simulator.server import ServerOptions
from rdscsi.simulator.serving import running


@dataclass(frozen=True, slots=True)
class RdsOverSsh:
    """How to reach a simulated RDS, and the strings to pull."""

    host: str
    port: int
    user: str
    key_file: Path
    host_key_file: Path
    appliance: Appliance
    faults: Faults


@pytest.fixture
def rds_options() -> ApplianceOptions:
    """How the simulated RDS is to be; override it."""
    return ApplianceOptions()


@pytest.fixture
def rds(tmp_path: Path, rds_options: ApplianceOptions) -> Iterator[Appliance]:
    """A simulated RDS without a network: `rds.run("/disk/print")`."""
    with Appliance(tmp_path / "rds", rds_options) as appliance:
        yield appliance


@pytest.fixture
def rds_over_ssh(rds: Appliance, tmp_path: Path) -> Iterator[RdsOverSsh]:
    """The same RDS behind an SSH server on loopback, with a key that opens it."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    key_file, host_key_file = tmp_path / "client_key", tmp_path / "rds" / "host_key.pub"
    key.write_private_key(key_file)
    options = ServerOptions(authorized_keys=[key.export_public_key().decode()], host_key_type="ssh-ed25519")
    with running(rds, options) as simulator:
        yield RdsOverSsh(simulator.host, simulator.port, simulator.user, key_file, host_key_file, rds, simulator.faults)
