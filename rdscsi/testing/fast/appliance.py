"""What the model keeps: disk items, backing objects, space, and what a power loss would take back."""

import itertools
import uuid
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime

from rdscsi.names import Backing, ImportedBacking
from rdscsi.simulator.storage.undo import UndoLog
from rdscsi.testing.clock import TrioClock

POOL_SLOT, LABEL, FS_UUID = "pool1", "pool1", "40437dbc-2318-45dc-817b-b3bb95cf48ab"
RESERVED = 64 << 20  # as the simulator's pool


@dataclass(slots=True, eq=False)
class Item:
    """A disk item; the console would show these as its properties."""

    number: int
    slot: str
    file_path: str
    comment: str
    size: int
    export: bool = False
    nqn: str = ""
    port: int = 0
    mount_filesystem: bool = False


@dataclass(frozen=True, slots=True)
class Leaf:
    """A subvolume: its identity, and whether it is a snapshot that nobody can write to. `made` as the console shows.

    `origin`: the name of what it was copied from.
    """

    identity: str
    made: str
    read_only: bool = False
    origin: str = ""


class Refusal(Exception):
    """A statement that failed; the text is the console's."""


class FastAppliance:
    """One appliance with one Btrfs pool."""

    def __init__(self, clock: TrioClock, *, size: int, flush_delay: float, uptime: float = 3600.0) -> None:
        self.clock = clock
        self.size = size
        self.items: dict[str, Item] = {}
        self.leaves: dict[str, Leaf] = {}
        self.files: dict[str, int] = {}
        self._shared: dict[str, str] = {}
        self.base_directory = False
        self.mounted = True
        self.boots = 0
        self.undo = UndoLog(clock, {"config": flush_delay, "pool": flush_delay})
        self._booted_at = clock.now() - uptime
        self._numbers = itertools.count(1)
        self._uuids = itertools.count(1)

    def uptime(self) -> int:
        """Whole seconds since the last boot, as the console prints them."""
        return int(max(self.clock.now() - self._booted_at, 0.0))

    def free(self) -> int:
        """What the pool has left: declared sizes count in full, those of copies of one another once."""
        largest: dict[str, int] = defaultdict(int)
        for path, size in self.files.items():
            family = self._shared.get(path, path)
            largest[family] = max(largest[family], size)
        return max(0, self.size - RESERVED - sum(largest.values()))

    def reboot(self) -> int:
        """Power cycle: what was not persistent is taken back; lines that are under way are gone."""
        lost = self.undo.revert()
        self._booted_at = self.clock.now()
        self.boots += 1
        return lost

    def change(self, slot: str, **settings: object) -> None:
        """What an operator sets by hand."""
        item = self.items[slot]
        before = {name: getattr(item, name) for name in settings}
        for name, value in settings.items():
            setattr(item, name, value)

        def put_back() -> None:
            for name, value in before.items():
                setattr(item, name, value)

        self.undo.record("config", put_back)

    # --- the effects of statements; each can be taken back until it is persistent

    def add_item(self, slot: str, file_path: str, size: int | None, comment: str) -> None:
        """`/disk/add type=file`. Attaches a file that is there, with its size when none is given."""
        if slot in self.items:
            raise Refusal("failure: already have disk with such slot")
        directory = file_path.rpartition("/")[0].rpartition("/")[2]
        if file_path not in self.files:
            if size is None:
                raise Refusal("failure: file-size must be specified")
            if not self._directory_is_there(directory):
                raise Refusal("failure: could not open file: No such file or directory")
            if size > self.free():
                raise Refusal("failure: not enough space")
            self._set_file(file_path, size)
        elif size is not None and size > self.files[file_path]:
            self._set_file(file_path, size)
        item = Item(next(self._numbers), slot, file_path, comment, self.files[file_path])
        self.items[slot] = item
        self.undo.record("config", lambda: void(self.items.pop(slot, None)))

    def _directory_is_there(self, directory: str) -> bool:
        return directory in self.leaves or (directory == "rdscsi" and self.base_directory)

    def remove_item(self, item: Item) -> None:
        """`/disk/remove`: the file stays."""
        self._must_be_there(item)
        del self.items[item.slot]
        self.undo.record("config", lambda: self.items.update({item.slot: item}))

    def set_item(self, item: Item, **settings: object) -> None:
        """`/disk/set` on the item that a look found; it may be gone by now."""
        self._must_be_there(item)
        nqn = settings.get("nqn", item.nqn)
        if settings.get("export", item.export) and any(
            other is not item and other.export and other.nqn == nqn for other in self.items.values()
        ):
            raise Refusal("failure: nvme-tcp-server-nqn already in use")
        self.change(item.slot, **settings)

    def grow(self, item: Item, size: int) -> None:
        """`/disk/set file-size=`."""
        self._must_be_there(item)
        if size - item.size > self.free():
            raise Refusal("failure: not enough space")
        self._set_file(item.file_path, size)
        self.change(item.slot, size=size)

    def _must_be_there(self, item: Item) -> None:
        if self.items.get(item.slot) is not item:
            raise Refusal("no such item")

    def add_leaf(self, name: str, origin: str = "", *, read_only: bool = False) -> None:
        """`/disk/btrfs/subvolume/add`; with an origin a copy of that, its file and all."""
        if origin and origin not in self.leaves:
            raise Refusal("failure: no such parent subvolume")
        if not self.base_directory:
            raise Refusal("failure: could not create subvolume: No such file or directory")
        if name in self.leaves:
            raise Refusal("failure: could not create subvolume: File exists")
        made = datetime.fromtimestamp(self.clock.now(), UTC).strftime("%Y-%m-%d %H:%M:%S")
        self.leaves[name] = Leaf(str(uuid.UUID(int=next(self._uuids))), made, read_only, origin)
        source, copy = _file_in(origin), _file_in(name)
        if source in self.files:
            self.files[copy] = self.files[source]
            self._shared[copy] = self._shared.setdefault(source, f"{source} of {self.leaves[origin].identity}")
        self.undo.record("pool", lambda: self._drop_leaf(name))

    def remove_leaf(self, name: str) -> None:
        """`/disk/btrfs/subvolume/remove`, with the file in it."""
        if name not in self.leaves:
            raise Refusal("no such item")
        leaf, path = self.leaves[name], _file_in(name)
        size, family = self.files.get(path), self._shared.get(path)
        self._drop_leaf(name)

        def bring_back() -> None:
            self.leaves[name] = leaf
            if size is not None:
                self.files[path] = size
            if family is not None:
                self._shared[path] = family

        self.undo.record("pool", bring_back)

    def holds(self, backing: Backing) -> bool:
        """Tell whether a backing object is there: a subvolume, or the plain file of an imported volume."""
        return backing.path in self.files if isinstance(backing, ImportedBacking) else backing.name in self.leaves

    def drop(self, backing: Backing) -> None:
        """`/disk/btrfs/subvolume/remove`, or `/file/remove`."""
        if not isinstance(backing, ImportedBacking):
            self.remove_leaf(backing.name)
            return
        path = backing.path
        if path not in self.files:
            raise Refusal("no such item")
        size = self.files.pop(path)
        self.undo.record("pool", lambda: self.files.update({path: size}))

    def add_file(self, path: str, size: int) -> None:
        """What an operator put on the pool."""
        self._set_file(path, size)

    def move_item(self, item: Item, slot: str) -> None:
        """`/disk/set slot=`."""
        self._must_be_there(item)
        if slot in self.items:
            raise Refusal("failure: already have disk with such slot")
        before = item.slot
        self._move(item, slot)
        self.undo.record("config", lambda: self._move(item, before))

    def _move(self, item: Item, slot: str) -> None:
        del self.items[item.slot]
        self.items[slot] = item
        item.slot = slot

    def _drop_leaf(self, name: str) -> None:
        self.leaves.pop(name, None)
        self.files.pop(_file_in(name), None)
        self._shared.pop(_file_in(name), None)

    def make_base_directory(self) -> None:
        """The directory or subvolume that holds everything of the driver."""
        self.base_directory = True

        def unmake() -> None:
            self.base_directory = False

        self.undo.record("pool", unmake)

    def _set_file(self, path: str, size: int) -> None:
        before = self.files.get(path)
        self.files[path] = size

        def put_back() -> None:
            if before is None:
                self.files.pop(path, None)
            elif path in self.files:
                self.files[path] = before

        self.undo.record("pool", put_back)


def _file_in(leaf: str) -> str:
    return f"{POOL_SLOT}/rdscsi/{leaf}/disk.img"


def void(_value: object) -> None:
    """Nobody wants the value."""
