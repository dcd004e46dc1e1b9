"""The target side of the facts: volumes on a Btrfs pool, exported by the simulated RDS's exporter."""

import itertools
import subprocess
from dataclasses import dataclass
from pathlib import Path

from rdscsi.simulator.nvmet import CONFIGFS, EVERYWHERE, Backing, Growth, Nvmet, Uuids
from rdscsi.simulator.storage.exports import Export

MIB = 1 << 20
PORT = 4420


def sh(*command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, within a minute."""
    return subprocess.run(command, check=check, capture_output=True, text=True, timeout=60)


@dataclass(frozen=True, slots=True)
class Volume:
    """An exported file."""

    nqn: str
    file: Path

    @property
    def export(self) -> Export:
        return Export(self.nqn, self.file)

    def head(self) -> bytes:
        """The first block of the file, as the target has it."""
        with self.file.open("rb") as file:
            return file.read(4096)


class Target:
    """Volumes by order; what a real RDS does beyond its console is done by hand in configfs."""

    def __init__(self, pool: Path, addresses: tuple[str, ...] = (EVERYWHERE,)) -> None:
        self.pool = pool
        self.addresses = addresses
        self.nvmet = Nvmet(pool, addresses=addresses)
        self._numbers = itertools.count(1)

    def exporter(
        self, backing: Backing = Backing.FILE, growth: Growth = Growth.RESCAN, uuids: Uuids = Uuids.DRAWN
    ) -> Nvmet:
        """An exporter over the same pool."""
        return Nvmet(self.pool, addresses=self.addresses, backing=backing, growth=growth, uuids=uuids)

    def volume(self, size: int = 384 * MIB) -> Volume:
        """A new volume, exported. 384 MiB is enough for every filesystem."""
        volume = self.file(size)
        self.nvmet.offer(volume.export)
        return volume

    def file(self, size: int = 384 * MIB) -> Volume:
        """A new file for a volume, not exported."""
        number = next(self._numbers)
        path = self.pool / f"volume-{number}.img"
        path.unlink(missing_ok=True)
        with path.open("wb") as file:
            file.truncate(size)
        return Volume(f"nqn.2026-01.io.example:volume-{number}", path)

    def subsystem(self, volume: Volume) -> Path:
        return CONFIGFS / "subsystems" / volume.nqn

    def namespace(self, volume: Volume) -> Path:
        return self.subsystem(volume) / "namespaces" / "1"

    def link(self, volume: Volume, port: int = PORT) -> Path:
        """The link by which a port offers the subsystem."""
        return CONFIGFS / "ports" / str(port) / "subsystems" / volume.nqn

    def cut(self, volume: Volume) -> None:
        """Take the subsystem off its port; the last one closes the listener."""
        self.link(volume).unlink()

    def restore(self, volume: Volume) -> None:
        """Put it back."""
        self.link(volume).symlink_to(self.subsystem(volume))
