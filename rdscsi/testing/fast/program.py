"""The driver's lines as steps of the model: the twins of `rdscsi.routeros.lines` and `surveys`, statement by statement.

A step yields directly before each statement that changes something, between the statement's checks and the statement:
there a line may be cut, paused, refused, or lose its power.
"""

import json
from collections.abc import Callable, Iterator

from rdscsi.names import Backing, ImportedBacking
from rdscsi.routeros import lines
from rdscsi.routeros.lines import Guard, NewCopy, NewVolume, Origin, Place
from rdscsi.routeros.surveys import MARKER_BYTES, MARKER_CHANGED
from rdscsi.routeros.uptime import Window, render_uptime
from rdscsi.testing.fast.appliance import FS_UUID, LABEL, POOL_SLOT, FastAppliance, Item, Refusal

Steps = Callable[[FastAppliance, list[str]], Iterator[None]]


class FastLine(str):
    """A line for the model: what it is called, its steps, and under which token it was sent."""

    __slots__ = ("stamp", "steps")
    steps: Steps
    stamp: int

    @classmethod
    def of(cls, name: str, steps: Steps) -> "FastLine":
        """Make a line."""
        line = cls(name)
        line.steps = steps
        return line


class FastProgram:
    """A `Program` whose lines run on the model only; `adopting` adds the two that adopt a disk."""

    def look(self, pool_slot: str, marker_slot: str) -> str:
        def steps(at: FastAppliance, out: list[str]) -> Iterator[None]:
            out += [_uptime(at), "F version=7.24.4 (stable)", "F rose-storage=1", "F date=2026-01-01"]
            if pool_slot == POOL_SLOT:
                out.append(_pool(at))
            _print(at, out, marker_slot)
            yield from ()

        return FastLine.of("look", steps)

    def unguarded_inventory(self, place: Place, slot_prefix: str) -> str:
        def steps(at: FastAppliance, out: list[str]) -> Iterator[None]:
            out.append(_uptime(at))
            _check_pool(at, place)
            _print_all(at, out, slot_prefix)
            yield from ()

        return FastLine.of("unguarded inventory", steps)

    def inventory(self, guard: Guard, slot_prefix: str) -> str:
        def steps(at: FastAppliance, out: list[str]) -> Iterator[None]:
            _open(at, out, guard)
            _print_all(at, out, slot_prefix)
            out += [_pool(at), "F gmt-offset=+00:00"]
            yield from ()

        return FastLine.of("inventory", steps)

    def first_marker(self, place: Place, window: Window, marker_slot: str, file_path: str, marker: str) -> str:
        def steps(at: FastAppliance, out: list[str]) -> Iterator[None]:
            out.append(_uptime(at))
            _check_pool(at, place)
            _check_window(at, window)
            if marker_slot in at.items:
                raise Refusal(MARKER_CHANGED)
            if not at.base_directory:
                yield
                at.make_base_directory()
            _check_window(at, window)
            yield
            at.add_item(marker_slot, file_path, MARKER_BYTES, marker)
            _print(at, out, marker_slot)

        return FastLine.of(f"first marker {marker}", steps)

    def move_token(self, place: Place, window: Window, marker_slot: str, old: str, new: str) -> str:
        def steps(at: FastAppliance, out: list[str]) -> Iterator[None]:
            out.append(_uptime(at))
            _check_pool(at, place)
            _check_window(at, window)
            found = at.items.get(marker_slot)
            if found is None or found.comment != old:
                raise Refusal(MARKER_CHANGED)
            yield
            if found.comment == old:  # `set [find …]` looks and sets in one statement
                at.set_item(found, comment=new)
            _print(at, out, marker_slot)

        return FastLine.of(f"move token {new}", steps)

    def observe(self, guard: Guard, slot_name: str, backing: Backing | None, file_path: str) -> str:
        def steps(at: FastAppliance, out: list[str]) -> Iterator[None]:
            _open(at, out, guard)
            _print(at, out, slot_name)
            _print_leaf(at, out, backing)
            out.append(_pool(at))
            yield from ()

        return FastLine.of(f"observe {slot_name}", steps)

    def create(self, guard: Guard, volume: NewVolume) -> str:
        name = volume.backing.name

        def steps(at: FastAppliance, out: list[str]) -> Iterator[None]:
            _open(at, out, guard)
            if volume.slot not in at.items and (not volume.copied or name in at.leaves):
                if at.free() < volume.size_bytes + volume.keep_free_bytes:
                    raise Refusal(lines.NO_SPACE)
                if not volume.copied:
                    yield from _drop_leftover(at, guard, volume.backing, volume.file_path)
                    _again(at, guard)
                    yield
                    at.add_leaf(name)
                identity = _identity(at, name)
                _again(at, guard)
                yield
                size = None if volume.copied else volume.size_bytes
                at.add_item(volume.slot, volume.file_path, size, volume.creating + identity)
            if name in at.leaves:
                yield from _finish(at, guard, volume, at.leaves[name].identity)
            _print(at, out, volume.slot)
            _print_leaf(at, out, volume.backing)
            out.append(_pool(at))

        return FastLine.of(f"create /disk/add {volume.slot}", steps)

    def observe_copy(self, guard: Guard, backing: Backing) -> str:
        def steps(at: FastAppliance, out: list[str]) -> Iterator[None]:
            _open(at, out, guard)
            _print_leaf(at, out, backing)
            out += [_pool(at), "F gmt-offset=+00:00"]
            yield from ()

        return FastLine.of(f"observe {backing.slot}", steps)

    def copy(self, guard: Guard, new: NewCopy) -> str:
        def steps(at: FastAppliance, out: list[str]) -> Iterator[None]:
            _open(at, out, guard)
            if new.backing.name not in at.leaves:
                if at.free() < new.need_free_bytes:
                    raise Refusal(lines.NO_SPACE)
                _again(at, guard)
                if _is_there(at, new.origin):
                    yield
                    at.add_leaf(new.backing.name, new.origin.backing.name, read_only=new.read_only)
            _print(at, out, new.backing.slot)
            _print_leaf(at, out, new.backing)
            out += [_pool(at), "F gmt-offset=+00:00"]

        return FastLine.of(f"copy /disk/btrfs/subvolume/add {new.backing.slot}", steps)

    def publish(self, guard: Guard, slot_name: str, old_tag: str, new_tag: str, subnqn: str, trsvcid: int) -> str:
        def steps(at: FastAppliance, out: list[str]) -> Iterator[None]:
            _open(at, out, guard)
            _again(at, guard)
            found = _with(at, slot_name, old_tag, new_tag)
            if found is not None and found.export and found.nqn != subnqn:
                yield
                at.set_item(found, export=False)
            yield from _retag(at, guard, slot_name, old_tag, new_tag, lambda item: True)
            _again(at, guard)
            found = _with(at, slot_name, new_tag)
            if found is not None and not found.export:
                yield
                at.set_item(found, nqn=subnqn, port=trsvcid)
            _again(at, guard)
            found = _with(at, slot_name, new_tag)
            if found is not None and not found.export and found.nqn == subnqn:
                yield
                at.set_item(found, export=True)
            _print(at, out, slot_name)

        return FastLine.of(f"publish /disk/set {slot_name}", steps)

    def unpublish(self, guard: Guard, slot_name: str, old_tag: str, new_tag: str) -> str:
        def steps(at: FastAppliance, out: list[str]) -> Iterator[None]:
            _open(at, out, guard)
            _again(at, guard)
            found = _with(at, slot_name, old_tag, new_tag)
            if found is not None and found.export:
                yield
                at.set_item(found, export=False)
            yield from _retag(at, guard, slot_name, old_tag, new_tag, lambda item: not item.export)
            _print(at, out, slot_name)

        return FastLine.of(f"unpublish /disk/set {slot_name}", steps)

    def expand(
        self, guard: Guard, slot_name: str, old_tag: str, new_tag: str, size_bytes: int, need_free_bytes: int
    ) -> str:
        def steps(at: FastAppliance, out: list[str]) -> Iterator[None]:
            _open(at, out, guard)
            found = _with(at, slot_name, old_tag)
            if found is not None and found.size < size_bytes and at.free() < need_free_bytes:
                raise Refusal(lines.NO_SPACE)
            yield from _retag(at, guard, slot_name, old_tag, new_tag, lambda item: True)
            _again(at, guard)
            found = _with(at, slot_name, new_tag)
            if found is not None and found.size < size_bytes:
                yield
                at.grow(found, size_bytes)
            _print(at, out, slot_name)
            out.append(_pool(at))

        return FastLine.of(f"expand /disk/set {slot_name}", steps)

    def remove(self, guard: Guard, slot_name: str, backing: Backing, file_path: str, old_tag: str, new_tag: str) -> str:
        def steps(at: FastAppliance, out: list[str]) -> Iterator[None]:
            _open(at, out, guard)
            if new_tag:
                yield from _retag(at, guard, slot_name, old_tag, new_tag, lambda item: not item.export)
                _again(at, guard)
                found = _with(at, slot_name, new_tag)
                if found is not None and not found.export:
                    yield
                    at.remove_item(found)
            yield from _drop_leftover(at, guard, backing, file_path)
            _print(at, out, slot_name)
            _print_leaf(at, out, backing)
            out.append(_pool(at))

        return FastLine.of(f"remove /disk/remove {slot_name}", steps)

    def add_again(self, guard: Guard, slot_name: str, backing: Backing, file_path: str, tag: str) -> str:
        def steps(at: FastAppliance, out: list[str]) -> Iterator[None]:
            _open(at, out, guard)
            there = backing.name in at.leaves
            _again(at, guard)
            if slot_name not in at.items and not _used(at, file_path) and there:
                yield
                at.add_item(slot_name, file_path, None, tag)
            _print(at, out, slot_name)
            _print_leaf(at, out, backing)

        return FastLine.of(f"add again /disk/add {slot_name}", steps)


def _finish(at: FastAppliance, guard: Guard, volume: NewVolume, identity: str) -> Iterator[None]:
    """The second half of a create: grow a copy, look that all is as it must be, tag it ready."""
    creating = volume.creating + identity
    if _with(at, volume.slot, creating) is None:
        return
    if volume.copied:
        _again(at, guard)
        found = _with(at, volume.slot, creating)
        if found is not None and found.size < volume.size_bytes:
            yield
            at.grow(found, volume.size_bytes)
    _again(at, guard)
    found = _with(at, volume.slot, creating)
    if found is not None and found.size == volume.size_bytes and not found.export:
        yield
        at.set_item(found, comment=volume.ready + identity)


# --- checks and looks


def _is_there(at: FastAppliance, origin: Origin) -> bool:
    leaf, item = at.leaves.get(origin.backing.name), at.items.get(origin.backing.slot)
    if leaf is None or origin.read_only:
        return leaf is not None and leaf.read_only
    return item is not None and item.size == origin.size_bytes


def _open(at: FastAppliance, out: list[str], guard: Guard) -> None:
    out.append(_uptime(at))
    _again(at, guard)
    _check_pool(at, guard.place)


def _again(at: FastAppliance, guard: Guard) -> None:
    marker = at.items.get(guard.marker_slot)
    if marker is None or marker.comment != guard.marker:
        raise Refusal(lines.FENCED)
    _check_window(at, guard.window)


def _check_window(at: FastAppliance, window: Window) -> None:
    if not window.not_before <= at.uptime() <= window.not_after:
        raise Refusal(lines.OUT_OF_WINDOW)


def _check_pool(at: FastAppliance, place: Place) -> None:
    if place.pool_slot != POOL_SLOT or not at.mounted or place.fs_uuid != FS_UUID:
        raise Refusal(lines.POOL_GONE)


def _with(at: FastAppliance, slot: str, *comments: str) -> Item | None:
    item = at.items.get(slot)
    return item if item is not None and item.comment in comments else None


def _used(at: FastAppliance, file_path: str) -> bool:
    return any(item.file_path == file_path for item in at.items.values())


def _identity(at: FastAppliance, name: str) -> str:
    if name not in at.leaves:
        raise Refusal("no such item")
    return at.leaves[name].identity


def _retag(
    at: FastAppliance, guard: Guard, slot: str, old_tag: str, new_tag: str, where: Callable[[Item], bool]
) -> Iterator[None]:
    if old_tag == new_tag:
        return
    _again(at, guard)
    found = _with(at, slot, old_tag)
    if found is not None and where(found):
        yield
        at.set_item(found, comment=new_tag)


def _drop_leftover(at: FastAppliance, guard: Guard, backing: Backing, file_path: str) -> Iterator[None]:
    if _used(at, file_path):
        return
    there = at.holds(backing)
    _again(at, guard)
    if there:
        yield
        at.drop(backing)


# --- what is printed


def _uptime(at: FastAppliance) -> str:
    return f"U {render_uptime(at.uptime())}"


def _print(at: FastAppliance, out: list[str], slot: str) -> None:
    if slot in at.items:
        out.append(_item(at.items[slot], attached=at.items[slot].file_path in at.files))


def _print_all(at: FastAppliance, out: list[str], prefix: str) -> None:
    for slot in at.items:
        if slot.startswith(prefix):
            _print(at, out, slot)
    out += [_leaf(at, name) for name in at.leaves if name[1:].startswith(prefix[1:])]


def _item(item: Item, *, attached: bool) -> str:
    shown = {
        ".id": f"*{item.number:X}",
        "slot": item.slot,
        "type": "file",
        "size": item.size,
        "comment": item.comment,
        "file-path": f"/{item.file_path}",
        "fs": "-",
        "block-device": attached,
        "nvme-tcp-export": item.export,
        "nvme-tcp-server-nqn": item.nqn or (f"nqn.2000-02.com.mikrotik:{item.slot}" if item.export else ""),
        "nvme-tcp-server-port": item.port or (4420 if item.export else 0),
        "mount-filesystem": item.mount_filesystem,
        "disabled": False,
    }
    return f"I {json.dumps(shown)}"


def _print_leaf(at: FastAppliance, out: list[str], backing: Backing | None) -> None:
    if isinstance(backing, ImportedBacking):
        out += [f'L {{"name": "{backing.path}"}}'] if at.holds(backing) else []
    elif backing is not None and at.holds(backing):
        out.append(_leaf(at, backing.name))


def _leaf(at: FastAppliance, name: str) -> str:
    leaf = at.leaves[name]
    shown = {"name": name, "uuid": leaf.identity, "read-only": leaf.read_only, "creation-time": leaf.made}
    return f"L {json.dumps(shown)}"


def _pool(at: FastAppliance) -> str:
    shown = {
        "slot": POOL_SLOT,
        "fs": "btrfs",
        "fs-uuid": FS_UUID,
        "fs-label": LABEL,
        "mount-point": POOL_SLOT,
        "mounted": at.mounted,
        "size": at.size,
        "free": at.free(),
        "state": "clean",
    }
    return f"P {json.dumps(shown)}"
