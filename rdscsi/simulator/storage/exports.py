"""The contract with host back ends: one symbolic link for each disk that is exported over NVMe/TCP right now.

`exports/<subnqn percent-encoded>` points at the real backing file. Links are replaced atomically and made anew at start
from the records, so that a kill between record and link does no harm.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote


class Exports:
    """The directory of links."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)

    def link_of(self, nqn: str) -> Path:
        return self._directory / quote(nqn, safe="")

    def publish(self, nqn: str, target: Path) -> None:
        link = self.link_of(nqn)
        fresh = self._directory / f".{os.getpid()}.new"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(target.resolve())
        fresh.replace(link)

    def withdraw(self, nqn: str) -> None:
        self.link_of(nqn).unlink(missing_ok=True)

    def reset(self, exported: Iterable[tuple[str, Path]]) -> None:
        """Make the directory hold exactly these."""
        wanted = dict(exported)
        names = {self.link_of(nqn).name for nqn in wanted}
        for entry in list(self._directory.iterdir()):
            if entry.name not in names:
                entry.unlink()
        for nqn, target in wanted.items():
            self.publish(nqn, target)
