"""A look at the simulated RDS past the driver: what disks, subvolumes and files there are, over SSH.

For telling whether something was left behind; it changes nothing.
"""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from rdscsi.routeros.console import Console
from rdscsi.routeros.device import Executes
from rdscsi.routeros.pool import PoolSettings
from rdscsi.routeros.ssh import SshSettings, open_ssh
from rdscsi.sandbox.record import Ssh

_DEADLINE = 60.0
_LOOK = (
    ':foreach zi in=[/disk/find] do={:put ("D " . [/disk/get $zi slot])}; '
    ':foreach zi in=[/disk/btrfs/subvolume/find] do={:put ("S " . [/disk/btrfs/subvolume/get $zi fullname])}; '
    ':foreach zi in=[/file/find] do={:put ("F " . [/file/get $zi name])}'
)


@dataclass(frozen=True, slots=True)
class Holdings:
    """Everything on the appliance, by name. Two of them compare as wholes."""

    disks: frozenset[str]
    subvolumes: frozenset[str]
    files: frozenset[str]

    def beyond(self, other: "Holdings") -> list[str]:
        """What is here and not in the other, in words."""
        return [
            *(f"disk {name}" for name in sorted(self.disks - other.disks)),
            *(f"subvolume {name}" for name in sorted(self.subvolumes - other.subvolumes)),
            *(f"file {name}" for name in sorted(self.files - other.files)),
        ]


def parse_holdings(lines: tuple[str, ...]) -> Holdings:
    """Read what `_LOOK` prints."""
    named = [(line[0], line[2:]) for line in lines if line[1:2] == " "]
    found = {letter: frozenset(name for first, name in named if first == letter) for letter in "DSF"}
    return Holdings(found["D"], found["S"], found["F"])


@contextlib.asynccontextmanager
async def open_appliance(ssh: Ssh) -> AsyncIterator[Console]:
    """A console of our own on the simulated RDS. Needs an open trio-asyncio loop."""
    settings = SshSettings(
        host=ssh.host,
        port=ssh.port,
        username=ssh.user,
        key_file=Path(ssh.key),
        host_key_file=Path(ssh.host_key),
        pool=PoolSettings(connections=1),
    )
    async with open_ssh(settings) as transport:
        yield Console(transport)


async def look(console: Executes) -> Holdings:
    """List everything. Raises what `Console.execute` raises."""
    reply = await console.execute(_LOOK, deadline=_DEADLINE)
    return parse_holdings(reply.lines)
