"""`/disk/btrfs/filesystem` and `/disk/btrfs/subvolume` (7.18+), addressed by label as on the device (§2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rdscsi.simulator import texts
from rdscsi.simulator.console.evaluator import Request
from rdscsi.simulator.console.failures import ConsoleError
from rdscsi.simulator.console.text import text_of
from rdscsi.simulator.console.values import NOTHING, Id, Value
from rdscsi.simulator.menus import arguments
from rdscsi.simulator.menus.menu import ListMenu, Mutation
from rdscsi.simulator.menus.shown import Layout
from rdscsi.simulator.options import Behaviour
from rdscsi.simulator.storage.pool import Pool
from rdscsi.simulator.storage.subvolumes import FS_ROOT, Subvolume
from rdscsi.simulator.words import words

if TYPE_CHECKING:
    from rdscsi.simulator.storage.model import Storage


class SubvolumeMenu(ListMenu[Subvolume]):
    """The menu over `storage.subvolumes`."""

    layout = Layout(
        columns=("fs", "top-level", "name", "parent", "creation-time"),
        flag_columns=(
            (("*", "default"),),
            (("S", "snapshot"),),
            (("r", "read-only"),),
            (("D", "dead"),),
            (("M", "mounted"),),
        ),
        unquoted=frozenset({"fs", "creation-time", "top-level"}),
        hidden=frozenset({"default", "snapshot", "dead", "mounted"}),
    )
    _NAMES = words(
        "fs top-level name fullname parent read-only uuid received-uuid creation-time subvolume-id generation "
        "snapshots path snapshot dead mounted default"
    )

    def __init__(self, path: str, *, storage: Storage, behaviour: Behaviour, before: Mutation) -> None:
        super().__init__(path, before=before)
        self._storage = storage
        self._behaviour = behaviour

    def items(self) -> Iterable[Subvolume]:
        return self._storage.subvolumes

    def number(self, item: Subvolume) -> int:
        return item.number

    def by_number(self, number: int) -> Subvolume | None:
        return self._storage.subvolumes.get(number)

    def indexed(self, equalities: Mapping[str, str]) -> Iterable[Subvolume] | None:
        subvolumes = self._storage.subvolumes
        if "fullname" in equalities:
            found = subvolumes.by_fullname(equalities["fullname"])
            return () if found is None else (found,)
        return subvolumes.by_leaf(equalities["name"]) if "name" in equalities else None

    def property_names(self, item: Subvolume) -> Iterable[str]:
        return self._NAMES

    def flags(self, item: Subvolume) -> str:
        return ("S" if item.snapshot else "") + ("r" if item.read_only else "")

    def property(self, item: Subvolume, name: str) -> Value:
        plain: dict[str, Value] = {
            "name": item.name,
            "fullname": item.fullname,
            "uuid": item.uuid,
            "read-only": item.read_only,
            "snapshot": item.snapshot,
            "generation": item.generation,
            "subvolume-id": item.subvolume_id,
        }
        if name in plain:
            return plain[name]
        if name == "fs":
            return self._storage.pool.label
        if name == "top-level":
            return self._storage.subvolumes.top_level(item)
        if name == "parent":
            return self._parent(item)
        if name == "creation-time":
            return datetime.fromtimestamp(item.created, UTC).strftime("%Y-%m-%d %H:%M:%S")
        if name == "path":
            return f"{self._storage.pool.mount_point}/{item.fullname}"
        if name == "received-uuid":
            return ""
        return False if name in ("dead", "mounted", "default") else NOTHING

    def _parent(self, item: Subvolume) -> str:
        """Empty once the origin is gone, also for a snapshot of it (§2)."""
        origin = self._storage.subvolumes.get(item.parent)
        if origin is not None:
            return origin.fullname
        return "" if self._behaviour.orphan_parent_is_empty else item.parent_name

    def do_add(self, request: Request) -> Value:
        given = request.arguments
        missing = [name for name in ("fs", "name") if not given.get(name)]
        if missing:
            raise ConsoleError(texts.MISSING_VALUES(names=" ".join(missing)))
        read_only = arguments.boolean("read-only", given.get("read-only", False))
        self.before(request.path, given)
        made = self._storage.subvolumes.add(
            text_of(given["fs"]), text_of(given["name"]), self._origin(given), read_only=read_only
        )
        return Id(made.number)

    def _origin(self, given: Mapping[str, Value]) -> str:
        parent = given.get("parent", "")
        if isinstance(parent, Id):
            found = self.by_number(parent.number)
            return found.fullname if found else str(parent)
        return text_of(parent)

    def change(self, item: Subvolume, arguments_: Mapping[str, Value], request: Request) -> None:
        if set(arguments_) != {"read-only"}:
            raise ConsoleError(texts.NOT_SIMULATED(path=request.path))
        self._storage.subvolumes.set_read_only(item, arguments.boolean("read-only", arguments_["read-only"]))

    def discard(self, item: Subvolume, request: Request) -> None:
        if self._storage.subvolumes.get(item.number) is None:
            raise ConsoleError(texts.NO_SUCH_ITEM())
        self._storage.subvolumes.remove(item)


class FilesystemMenu(ListMenu[Pool]):
    """The one Btrfs file system of the pool, or none."""

    key = "label"
    layout = Layout(
        columns=("label", "dev-ids", "devs", "default-subvolume", "spaces", "balance-status", "uuid"),
        flag_columns=(
            (("I", "missing-devs"),),
            (("b", "balancing"),),
            (("r", "replacing"),),
            (("s", "scrubbing"),),
        ),
        hidden=frozenset({"missing-devs", "balancing", "replacing", "scrubbing"}),
    )

    def __init__(self, path: str, *, storage: Storage, before: Mutation) -> None:
        super().__init__(path, before=before)
        self._pool = storage.pool

    def items(self) -> Iterable[Pool]:
        return (self._pool,) if self._pool.fs == "btrfs" else ()

    def number(self, item: Pool) -> int:
        return 1

    def by_number(self, number: int) -> Pool | None:
        return next(iter(self.items()), None) if number == 1 else None

    def property_names(self, item: Pool) -> Iterable[str]:
        return ("label", "uuid", "default-subvolume", "total-devs", "dev-ids", "devs", "spaces", "balance-status",
                "replace-status", "scrub-status", "write-errors", "read-errors", "flush-errors", "corruption-errors",
                "generation-errors", "missing-devs", "balancing", "replacing", "scrubbing")  # fmt: skip

    def property(self, item: Pool, name: str) -> Value:
        used = item.space.used()
        values: dict[str, Value] = {
            "label": item.label,
            "uuid": item.uuid,
            "default-subvolume": FS_ROOT,
            "total-devs": 1,
            "dev-ids": "1",
            "devs": item.slot,
            "spaces": f"data,single:{used / 1e9:.2f}GB {item.slot}:{item.space.size / 1e9:.2f}GB",
            "balance-status": "done",
            "replace-status": "",
            "scrub-status": "",
        }
        if name.endswith("-errors"):
            return 0
        if name in ("missing-devs", "balancing", "replacing", "scrubbing"):
            return False
        return values.get(name, NOTHING)

    def change(self, item: Pool, arguments_: Mapping[str, Value], request: Request) -> None:
        if "label" in arguments_:
            item.change(label=text_of(arguments_["label"]))
