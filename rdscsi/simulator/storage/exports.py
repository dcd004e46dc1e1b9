"""The contract with host back ends: one symbolic link for each disk that is exported over NVMe/TCP right now.

`exports/<subnqn percent-encoded>` points at the real backing file. Links are replaced atomically and made anew at start
from the records, so that a kill between record and link does no harm. An exporter (`rdscsi.simulator.nvmet`) hears of
the same changes and makes them real.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import quote


@dataclass(frozen=True, slots=True)
class Export:
    """An exported disk: the name initiators see, its file, its TCP port, and the host NQN let in ("": any)."""

    nqn: str
    backing: Path
    port: int = 4420
    allowed_host: str = ""


class Exporter(Protocol):
    """What makes exports reachable. Every call may be repeated."""

    def offer(self, export: Export) -> None:
        """Export a disk, or follow a change of its port, its host or its file's size."""

    def withdraw(self, nqn: str) -> None:
        """End an export; what is connected is cut before this returns."""

    def reset(self, exports: Iterable[Export]) -> None:
        """Export exactly these."""

    def power_off(self) -> None:
        """End all, as when the appliance loses power."""


class Exports:
    """The directory of links, and the exporter where there is one. What the exporter refuses has no link."""

    def __init__(self, directory: Path, exporter: Exporter | None = None) -> None:
        self._directory = directory
        self._exporter = exporter
        directory.mkdir(parents=True, exist_ok=True)

    def link_of(self, nqn: str) -> Path:
        return self._directory / quote(nqn, safe="")

    def offer(self, export: Export) -> None:
        if self._exporter is not None:
            self._exporter.offer(export)
        self._put_link(export)

    def _put_link(self, export: Export) -> None:
        fresh = self._directory / f".{os.getpid()}.new"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(export.backing.resolve())
        fresh.replace(self.link_of(export.nqn))

    def withdraw(self, nqn: str) -> None:
        self.link_of(nqn).unlink(missing_ok=True)
        if self._exporter is not None:
            self._exporter.withdraw(nqn)

    def reset(self, exports: Iterable[Export]) -> None:
        """Export exactly these."""
        wanted = list(exports)
        if self._exporter is not None:
            self._exporter.reset(wanted)
        names = {self.link_of(export.nqn).name for export in wanted}
        for entry in list(self._directory.iterdir()):
            if entry.name not in names:
                entry.unlink()
        for export in wanted:
            self._put_link(export)

    def power_off(self) -> None:
        """What a loss of power does: everything is cut. The links stay; `reset` sets them right at the next boot."""
        if self._exporter is not None:
            self._exporter.power_off()
