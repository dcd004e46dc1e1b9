"""What the demonstration works with: a sandbox, a client for each half, and places to mount volumes."""

from dataclasses import dataclass
from pathlib import Path

from rdscsi.demo.telling import Telling
from rdscsi.sandbox.client import Client
from rdscsi.sandbox.supervisor import Sandbox

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class World:
    """Handed to every part of the story. `real` tells whether data goes through a real block device."""

    telling: Telling
    sandbox: Sandbox
    controller: Client
    node: Client
    node_id: str
    directory: Path
    real: bool


def mib(size_bytes: int) -> str:
    """A size for a person, exact where it is whole MiB."""
    return f"{size_bytes // MIB} MiB" if size_bytes % MIB == 0 else f"{size_bytes:,} bytes"
