"""What the demonstration works with: a sandbox, a client for each half, and places to mount volumes."""

from dataclasses import dataclass
from pathlib import Path

from rdscsi.demo.telling import Telling
from rdscsi.sandbox.appliance import Holdings
from rdscsi.sandbox.client import Client
from rdscsi.sandbox.supervisor import Sandbox

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class World:
    """Handed to every part of the story. `real` tells whether data goes through a real block device.

    `holdings` is what was on the appliance at the beginning.
    """

    telling: Telling
    sandbox: Sandbox
    controller: Client
    node: Client
    node_id: str
    directory: Path
    real: bool
    holdings: Holdings


def mib(size_bytes: int) -> str:
    """A size for a person, exact where it is whole MiB."""
    return f"{size_bytes // MIB} MiB" if size_bytes % MIB == 0 else f"{size_bytes:,} bytes"
