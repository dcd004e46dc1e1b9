"""How full the pool is: what each file takes, with clones sharing the extents of their origin.

`full` counts a file's whole size when it is made, `sparse` counts the host's blocks; which one RouterOS does is unknown
(routeros.md §1.5). A clone and its origin count once, as the larger of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rdscsi.simulator.storage.store import Store


@dataclass(frozen=True, slots=True)
class Extent:
    """What a file takes: the group that it shares with its clones, its size in bytes, where it is on the host."""

    group: int
    size: int
    path: Path


class Space:
    """Files of the pool by name, each in a group of files that share extents."""

    def __init__(self, store: Store, size: int, allocation: Literal["full", "sparse"], overhead: int) -> None:
        self.size = size
        self.overhead = overhead
        self._store = store
        self._allocation = allocation
        self._files: dict[str, Extent] = {}
        self._under: dict[str, dict[str, None]] = {}  # directory -> names of the files in and below it
        self._groups: dict[int, dict[str, int]] = {}  # group -> size by name
        self._declared = 0  # sum over the groups of their largest size
        self._rows: dict[str, int] = {}
        self._next = 1

    def load(self, files: dict[str, Path]) -> None:
        """Start from the files that are there; records of shared groups for files that are gone are dropped."""
        groups: dict[str, int] = {}
        for number, body in self._store.load("extent"):
            name, group = str(body["name"]), body["group"]
            self._next = max(self._next, number + 1, (group if isinstance(group, int) else 0) + 1)
            if name in files and isinstance(group, int):
                groups[name] = group
                self._rows[name] = number
            else:
                self._store.drop("extent", number)
        for name, path in files.items():
            self._enter(name, Extent(groups.get(name) or self._number(), path.stat().st_size, path))

    def _enter(self, name: str, extent: Extent) -> None:
        self._leave(name)
        self._files[name] = extent
        for directory in _above(name):
            self._under.setdefault(directory, {})[name] = None
        group = self._groups.setdefault(extent.group, {})
        before = max(group.values(), default=0)
        group[name] = extent.size
        self._declared += max(group.values()) - before

    def _leave(self, name: str) -> Extent | None:
        extent = self._files.pop(name, None)
        if extent is not None:
            self._leave_directories(name)
            group = self._groups[extent.group]
            before = max(group.values())
            del group[name]
            self._declared += max(group.values(), default=0) - before
            if not group:
                del self._groups[extent.group]
        return extent

    def _leave_directories(self, name: str) -> None:
        for directory in _above(name):
            names = self._under[directory]
            del names[name]
            if not names:
                del self._under[directory]

    def _number(self) -> int:
        self._next += 1
        return self._next

    def used(self) -> int:
        if self._allocation == "full":
            return self.overhead + self._declared
        return self.overhead + sum(
            max(_blocks(self._files[name].path) for name in names) for names in self._groups.values()
        )

    def free(self) -> int:
        return max(self.size - self.used(), 0)

    def has_room(self, more: int) -> bool:
        """Whether `more` bytes fit now; a sparse file always does as long as anything is free."""
        if self._allocation == "sparse":
            return more <= 0 or self.free() > 0
        return more <= self.size - self.used()

    def has_blocks(self, more: int) -> bool:
        """Whether `more` bytes can be written into files that are there; a full one has its blocks already."""
        return self._allocation == "full" or more <= self.free()

    def put(self, name: str, size: int, path: Path) -> None:
        """A file was made or changed its size."""
        group = self._files[name].group if name in self._files else self._number()
        self._enter(name, Extent(group, size, path))

    def share(self, name: str, origin: str, path: Path) -> None:
        """A clone of `origin` was made."""
        source = self._files[origin]
        self._enter(name, Extent(source.group, source.size, path))
        for each in (origin, name):
            if each not in self._rows:
                self._rows[each] = self._number()
                self._store.put("extent", self._rows[each], {"name": each, "group": source.group})

    def drop(self, name: str) -> Extent | None:
        """A file is gone; what it was, for `restore`."""
        if name in self._rows:
            self._store.drop("extent", self._rows.pop(name))
        return self._leave(name)

    def restore(self, name: str, extent: Extent | None) -> None:
        if extent is not None:
            self._enter(name, extent)

    def below(self, prefix: str) -> list[str]:
        """Names of the files below a directory."""
        return list(self._under.get(prefix, ()))

    @property
    def count(self) -> int:
        """How many files there are."""
        return len(self._files)

    def clear(self) -> None:
        """Every file is gone for good."""
        for name in list(self._files):
            self.drop(name)


def _above(name: str) -> list[str]:
    """The directories above a name."""
    parts = name.split("/")
    return ["/".join(parts[:length]) for length in range(1, len(parts))]


def _blocks(path: Path) -> int:
    try:
        return path.stat().st_blocks * 512
    except OSError:
        return 0
