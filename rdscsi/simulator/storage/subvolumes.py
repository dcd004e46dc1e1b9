"""Btrfs subvolumes of the pool: records over directories, snapshots as copies that share what the host can share.

Order of writes: a row is written first and the directory renamed into place after it; removal renames the directory
away and drops the row after it. A row without a directory is dropped at start; a directory never exists without a row.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rdscsi.simulator import texts
from rdscsi.simulator.clock import Clock
from rdscsi.simulator.console.failures import ConsoleError
from rdscsi.simulator.storage.copying import copy_tree
from rdscsi.simulator.storage.files import FileTree, normalised
from rdscsi.simulator.storage.index import discard_from
from rdscsi.simulator.storage.pool import Pool
from rdscsi.simulator.storage.store import Store
from rdscsi.simulator.storage.undo import UndoLog

_FIRST_ID = 256  # btrfs gives subvolumes ids from 256 on
FS_ROOT = "<FS_ROOT>"


@dataclass(frozen=True, slots=True)
class Subvolume:
    """`fullname` is the path inside the file system; `parent` is the number of the origin, 0 without one."""

    number: int
    fullname: str
    uuid: str
    subvolume_id: int
    parent: int
    snapshot: bool
    read_only: bool
    generation: int
    created: float
    parent_name: str = ""

    @property
    def name(self) -> str:
        """The leaf: what `name` holds for nested ones too (§2)."""
        return self.fullname.rpartition("/")[2]


class Subvolumes:
    """All subvolumes of the one pool, by number and by full name."""

    def __init__(self, *, state: Path, store: Store, files: FileTree, pool: Pool, undo: UndoLog, clock: Clock) -> None:
        self._staging = state / "staging"
        self._store = store
        self._files = files
        self._pool = pool
        self._undo = undo
        self._clock = clock
        self._items: dict[int, Subvolume] = {}
        self._names: dict[str, int] = {}
        self._leaves: dict[str, set[int]] = {}
        self._nested: dict[str, set[int]] = {}  # directory -> numbers of the subvolumes in and below it
        self._next = int(str(store.single("next-subvolume") or 1))
        self._generation = int(str(store.single("generation") or 10))
        shutil.rmtree(self._staging, ignore_errors=True)
        self._staging.mkdir()
        for number, body in store.load("subvolume"):
            item = Subvolume(number=number, **body)  # type: ignore[arg-type]
            if (pool.directory / item.fullname).is_dir():
                self._remember(item)
            else:
                store.drop("subvolume", number)

    @property
    def _visible(self) -> bool:
        return self._pool.fs == "btrfs" and self._pool.mounted

    def __iter__(self) -> Iterator[Subvolume]:
        return iter(list(self._items.values()) if self._visible else ())

    def get(self, number: int) -> Subvolume | None:
        return self._items.get(number)

    def by_fullname(self, fullname: str) -> Subvolume | None:
        number = self._names.get(fullname)
        return None if number is None or not self._visible else self._items[number]

    def by_leaf(self, name: str) -> list[Subvolume]:
        """Those whose last part is `name`; not unique across directories."""
        return [self._items[number] for number in sorted(self._leaves.get(name, ()))] if self._visible else []

    def top_level(self, item: Subvolume) -> str:
        """The nearest subvolume above, or the root."""
        above = item.fullname.rpartition("/")[0]
        while above:
            if above in self._names:
                return above
            above = above.rpartition("/")[0]
        return FS_ROOT

    def _resolve(self, name: str) -> Subvolume:
        found = self.by_fullname(normalised(name))
        if found is None:
            matches = self.by_leaf(name)
            found = matches[0] if len(matches) == 1 else None
        if found is None:
            raise ConsoleError(texts.NO_SUCH_PARENT())
        return found

    def add(self, fs: str, fullname: str, parent: str, *, read_only: bool) -> Subvolume:
        """A new subvolume, or with `parent` a snapshot of it. Raises ConsoleError and changes nothing."""
        if self._pool.fs != "btrfs" or not self._pool.mounted or fs != self._pool.label:
            raise ConsoleError(texts.NO_SUCH_FILESYSTEM())
        origin = self._resolve(parent) if parent else None
        fullname = normalised(fullname)
        file_name = f"{self._pool.mount_point}/{fullname}"
        path = self._files.require_parent(file_name, texts.SUBVOLUME_NO_DIRECTORY())
        if path.exists():
            raise ConsoleError(texts.SUBVOLUME_EXISTS())
        item = self._new(fullname, origin, read_only)
        staged = self._staged(item, origin)
        self._store.put("subvolume", item.number, _body(item))
        staged.rename(path)
        self._files.touch(path, path.parent)
        self._remember(item)
        self._share(item, origin)
        self._undo.record("pool", lambda: self._take_back(item, path))
        return item

    def _new(self, fullname: str, origin: Subvolume | None, read_only: bool) -> Subvolume:
        self._generation += 1
        number, self._next = self._next, self._next + 1
        with self._store.transaction():
            self._store.set_single("next-subvolume", self._next)
            self._store.set_single("generation", self._generation)
        return Subvolume(
            number=number,
            fullname=fullname,
            uuid=str(uuid.uuid4()),
            subvolume_id=_FIRST_ID + number - 1,
            parent=origin.number if origin else 0,
            snapshot=origin is not None,
            read_only=read_only,
            generation=self._generation,
            created=self._clock.now(),
            parent_name=origin.fullname if origin else "",
        )

    def _staged(self, item: Subvolume, origin: Subvolume | None) -> Path:
        staged = self._staging / str(item.number)
        if origin is None:
            staged.mkdir()
        else:
            inner = self._nested.get(origin.fullname, ())
            nested = frozenset(self._pool.directory / self._items[number].fullname for number in inner)
            copy_tree(self._pool.directory / origin.fullname, staged, nested)
        return staged

    def _share(self, item: Subvolume, origin: Subvolume | None) -> None:
        if origin is None:
            return
        base, copy = (f"{self._pool.mount_point}/{each.fullname}" for each in (origin, item))
        for name in self._pool.space.below(base):
            twin = copy + name[len(base) :]
            if self._files.path(twin).is_file():
                self._pool.space.share(twin, name, self._files.path(twin))

    def _take_back(self, item: Subvolume, path: Path) -> None:
        self._forget(item)
        shutil.rmtree(path, ignore_errors=True)
        name = f"{self._pool.mount_point}/{item.fullname}"
        for each in self._pool.space.below(name):
            self._pool.space.drop(each)

    def remove(self, item: Subvolume) -> None:
        """Remove with everything in it; snapshots of it lose their `parent` (§2)."""
        if self._nested.get(item.fullname):
            raise ConsoleError(texts.SUBVOLUME_NOT_EMPTY())
        if self._pool.read_only:
            raise ConsoleError(texts.READ_ONLY_FILES())
        self._files.discard(f"{self._pool.mount_point}/{item.fullname}", self._pool.directory / item.fullname)
        self._forget(item)
        self._undo.record("pool", lambda: self._bring_back(item))

    def _bring_back(self, item: Subvolume) -> None:
        self._remember(item)
        self._store.put("subvolume", item.number, _body(item))

    def set_read_only(self, item: Subvolume, read_only: bool) -> None:
        changed = replace(item, read_only=read_only)
        self._bring_back(changed)
        self._undo.record("pool", lambda: self._bring_back(item))

    def _remember(self, item: Subvolume) -> None:
        self._items[item.number] = item
        self._names[item.fullname] = item.number
        self._leaves.setdefault(item.name, set()).add(item.number)
        for above in _above(item.fullname):
            self._nested.setdefault(above, set()).add(item.number)

    def forget_all(self) -> None:
        """The file system is made anew."""
        for item in list(self._items.values()):
            self._forget(item)

    def _forget(self, item: Subvolume) -> None:
        self._items.pop(item.number, None)
        self._names.pop(item.fullname, None)
        discard_from(self._leaves, item.name, item.number)
        for above in _above(item.fullname):
            discard_from(self._nested, above, item.number)
        self._store.drop("subvolume", item.number)

    def read_only_above(self, name: str) -> bool:
        """Whether a file's name lies in a read-only subvolume."""
        inside = normalised(name).partition("/")[2]
        while inside:
            found = self.by_fullname(inside)
            if found is not None:
                return found.read_only
            inside = inside.rpartition("/")[0]
        return False


def _above(fullname: str) -> list[str]:
    parts = fullname.split("/")
    return ["/".join(parts[:length]) for length in range(1, len(parts))]


def _body(item: Subvolume) -> dict[str, str | int | float | bool]:
    return {name: value for name, value in asdict(item).items() if name != "number"}
