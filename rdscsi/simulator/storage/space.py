"""How full the pool is: what each file takes, with clones sharing the extents of their origin.

`full` counts a file's whole size when it is made, `sparse` counts the host's blocks; which one RouterOS does is unknown
(routeros.md §1.5). A clone and its origin count once, as the larger of them.
"""

from pathlib import Path
from typing import Literal

from rdscsi.simulator.storage.store import Store

_RESERVED = 64 << 20  # what an empty file system of the pool takes


class Space:
    """Files of the pool by name, each in a group of files that share extents."""

    def __init__(self, store: Store, size: int, allocation: Literal["full", "sparse"]) -> None:
        self.size = size
        self._store = store
        self._allocation = allocation
        self._files: dict[str, tuple[int, int, Path]] = {}  # name -> group, size, host path
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
            self._files[name] = (groups.get(name) or self._number(), path.stat().st_size, path)

    def _number(self) -> int:
        self._next += 1
        return self._next

    def used(self) -> int:
        groups: dict[int, int] = {}
        for group, size, path in self._files.values():
            taken = size if self._allocation == "full" else _blocks(path)
            groups[group] = max(groups.get(group, 0), taken)
        return _RESERVED + sum(groups.values())

    def free(self) -> int:
        return max(self.size - self.used(), 0)

    def has_room(self, more: int) -> bool:
        """Whether `more` bytes fit now; a sparse file always does as long as anything is free."""
        if self._allocation == "sparse":
            return more <= 0 or self.free() > 0
        return more <= self.size - self.used()

    def put(self, name: str, size: int, path: Path) -> None:
        """A file was made or changed its size."""
        group = self._files[name][0] if name in self._files else self._number()
        self._files[name] = (group, size, path)

    def share(self, name: str, origin: str, path: Path) -> None:
        """A clone of `origin` was made."""
        group, size, _ = self._files[origin]
        self._files[name] = (group, size, path)
        for each in (origin, name):
            if each not in self._rows:
                self._rows[each] = self._number()
                self._store.put("extent", self._rows[each], {"name": each, "group": group})

    def drop(self, name: str) -> tuple[int, int, Path] | None:
        """A file is gone; what it was, for `restore`."""
        if name in self._rows:
            self._store.drop("extent", self._rows.pop(name))
        return self._files.pop(name, None)

    def restore(self, name: str, record: tuple[int, int, Path] | None) -> None:
        if record is not None:
            self._files[name] = record

    def below(self, prefix: str) -> list[str]:
        """Names of the files below a directory."""
        return [name for name in self._files if name.startswith(prefix + "/")]


def _blocks(path: Path) -> int:
    try:
        return path.stat().st_blocks * 512
    except OSError:
        return 0
