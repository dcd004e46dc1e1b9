"""`/disk`: items of the storage model with the properties, flags and prints of a ROSE Data Server.

Properties and their order follow the captures of `print detail` in routeros.md §1.4; which exist by version is asked of
the tree. There is no `status`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from rdscsi.simulator import texts
from rdscsi.simulator.console.evaluator import Request
from rdscsi.simulator.console.failures import ConsoleError
from rdscsi.simulator.console.text import text_of
from rdscsi.simulator.console.values import NOTHING, Id, Value
from rdscsi.simulator.menus import arguments
from rdscsi.simulator.menus.menu import ListMenu, Mutation
from rdscsi.simulator.menus.shown import Layout
from rdscsi.simulator.storage.disks import Disk, Setting
from rdscsi.simulator.words import words

if TYPE_CHECKING:
    from rdscsi.simulator.menus.tree import Tree
    from rdscsi.simulator.storage.model import Storage

_TYPES = ("raid", "nvme-tcp", "iscsi", "nfs", "smb", "partition", "tmpfs", "ramdisk", "crypted", "sshfs", "file",
          "hardware")  # fmt: skip
_BOOLEANS = frozenset(
    words(
        "compress disabled iscsi-export media-sharing mount-filesystem mount-read-only nfs-sharing "
        "nvme-tcp-export smb-sharing swap"
    )
)
_PORTS = frozenset({"nvme-tcp-server-port", "iscsi-server-port", "nvme-tcp-port", "iscsi-port"})
_SIZES = frozenset({"file-size", "file-offset"})
_FLAGS = (
    (("X", "disabled"),),
    (("E", "empty"), ("B", "block-device")),
    (("M", "mounted"), ("F", "formatting"), ("S", "swap-enabled")),
    (("f", "raid-member-failed"), ("r", "raid-member")),
    (("t", "nvme-tcp-export"), ("i", "iscsi-export")),
    (("s", "smb-sharing"), ("n", "nfs-sharing"), ("m", "media-sharing")),
)
_STATES = ("block-device", "empty", "formatting", "mounted", "raid-member", "swap-enabled")
_FILE_ORDER = words(
    "type slot slot-default parent fs-label fs-uuid fs model size mount-point mount-filesystem "
    "mount-read-only compress sector-size raid-master nvme-tcp-export nvme-tcp-server-port "
    "nvme-tcp-server-nqn nvme-tcp-server-allow-host-name nvme-tcp-server-password iscsi-export "
    "nfs-sharing smb-sharing media-sharing media-interface swap file-path file-size file-offset comment"
)
_POOL_ORDER = words(
    "type slot slot-default parent fs-label fs-uuid fs model serial interface size free use mount-point "
    "mount-filesystem mount-read-only compress sector-size raid-type raid-device-count raid-chunk-size "
    "raid-master raid-role state raid-uuid nvme-tcp-export iscsi-export nfs-sharing smb-sharing "
    "media-sharing media-interface swap comment"
)
_DEFAULTS: dict[str, Setting] = {
    "slot-default": "",
    "parent": "",
    "mount-filesystem": True,
    "mount-read-only": False,
    "compress": False,
    "sector-size": 512,
    "raid-master": "none",
    "nvme-tcp-export": False,
    "iscsi-export": False,
    "nfs-sharing": False,
    "smb-sharing": False,
    "media-sharing": False,
    "media-interface": "none",
    "swap": False,
    "disabled": False,
}
_EXPORTED: dict[str, Setting] = {"nvme-tcp-server-port": 4420, "nvme-tcp-server-allow-host-name": ""}
_READABLE_BUT_UNSET = frozenset(
    words(
        "comment nvme-tcp-server-nqn nvme-tcp-server-port nvme-tcp-server-allow-host-name free use state mount-point "
        "fs-label fs-uuid serial"
    )
)


class DiskMenu(ListMenu[Disk]):
    """The menu over `storage.disks`."""

    key = "slot"
    shows_comments = True
    layout = Layout(
        columns=("slot", "mount-point", "model", "serial", "interface", "size", "free", "use", "fs"),
        flag_columns=_FLAGS,
        forms={"size": "grouped", "free": "grouped", "use": "percent", "file-size": "binary"},
        unquoted=frozenset({"type", "fs", "file-path", "raid-master", "media-interface", "raid-type"}),
        hidden=frozenset(_STATES) | {"disabled"},
    )

    def __init__(self, path: str, *, storage: Storage, tree: Tree, before: Mutation) -> None:
        super().__init__(path, before=before)
        self._storage = storage
        self._tree = tree
        self._pool_facts: dict[str, Callable[[], Value]] = {
            "fs": lambda: storage.pool.fs,
            "fs-label": lambda: storage.pool.label,
            "fs-uuid": lambda: storage.pool.uuid,
            "free": lambda: storage.pool.space.free() if storage.pool.mounted else NOTHING,
            "use": self._pool_use,
            "mount-point": lambda: storage.pool.mount_point if storage.pool.mounted else NOTHING,
            "mount-read-only": lambda: storage.pool.read_only,
            "mounted": lambda: storage.pool.mounted,
        }
        self._raid_facts: dict[str, Callable[[], Value]] = {
            "state": lambda: storage.pool.state,
            "raid-type": lambda: "0",
            "raid-chunk-size": lambda: "1M",
            "raid-device-count": lambda: storage.pool.members,
            "raid-uuid": lambda: storage.pool.raid_uuid,
        }

    def _pool_use(self) -> Value:
        pool = self._storage.pool
        return pool.space.used() * 100 // pool.space.size if pool.mounted else NOTHING

    def items(self) -> Iterable[Disk]:
        return self._storage.disks

    def number(self, item: Disk) -> int:
        return item.number

    def by_number(self, number: int) -> Disk | None:
        return self._storage.disks.get(number)

    def indexed(self, equalities: Mapping[str, str]) -> Iterable[Disk] | None:
        if "slot" in equalities:
            found = self._storage.disks.by_slot(equalities["slot"])
            return () if found is None else (found,)
        return self._storage.disks.by_file(equalities["file-path"]) if "file-path" in equalities else None

    def property_names(self, item: Disk) -> Iterable[str]:
        order = _FILE_ORDER if item.type == "file" else _POOL_ORDER
        known = [name for name in order if name not in _VERSIONED or self._tree.has("/disk", "set", name)]
        return [*known, "disabled", *_STATES]

    def known_names(self, item: Disk) -> Iterable[str]:
        return {*self.property_names(item), *_READABLE_BUT_UNSET, *self._tree.commands("/disk")["set"].arguments}

    # -- properties ------------------------------------------------------------------------------------------------

    def property(self, item: Disk, name: str) -> Value:
        if name == "slot":
            return item.slot
        if name == "type":
            return item.type
        if name == "comment":
            return item.settings.get("comment") or NOTHING
        if item.slot == self._storage.pool.slot and item.type != "file":
            found = self._pool_property(item, name)
        else:
            found = self._file_property(item, name) if item.type == "file" else self._hardware_property(item, name)
        if found is not NOTHING:
            return found
        return item.settings.get(name, item.facts.get(name, _DEFAULTS.get(name, NOTHING)))

    def _pool_property(self, item: Disk, name: str) -> Value:
        if name in self._pool_facts:
            return self._pool_facts[name]()
        if item.type == "raid" and name in self._raid_facts:
            return self._raid_facts[name]()
        return self._hardware_property(item, name)

    def _hardware_property(self, item: Disk, name: str) -> Value:
        if name in ("empty", "formatting", "swap-enabled", "mounted"):
            return False
        if name == "block-device":
            return True
        if name == "raid-member":
            return "raid-master" in item.facts
        if name == "interface" and item.type == "hardware":
            return "PCIe 2x8 GT/s"
        return "-" if name == "fs" else NOTHING

    def _file_property(self, item: Disk, name: str) -> Value:
        if name in ("size", "file-size"):
            return self._file_size(item)
        if name in ("model", "file-path"):
            return "/" + item.file_name
        if name in ("fs", "fs-label", "fs-uuid"):
            return self._content(item, name)
        if name in ("formatting", "swap-enabled", "raid-member"):
            return False
        if name in ("block-device", "empty", "mounted", "mount-point"):
            return self._attachment(item, name)
        if name in _EXPORTED or name == "nvme-tcp-server-nqn":
            return self._export_property(item, name)
        return 0 if name == "file-offset" else NOTHING

    def _attachment(self, item: Disk, name: str) -> Value:
        if name == "mount-point":
            return item.slot if item.mounted else NOTHING
        return {"block-device": item.attached, "empty": not item.attached, "mounted": item.mounted}[name]

    def _export_property(self, item: Disk, name: str) -> Value:
        if name in item.settings:
            return item.settings[name]
        if not item.exported:
            return NOTHING
        return self._storage.disks.nqn_of(item) if name == "nvme-tcp-server-nqn" else _EXPORTED[name]

    def _file_size(self, item: Disk) -> Value:
        """The size of the file as it is; what was declared when the file is gone under a running disk."""
        if not item.attached:
            return NOTHING
        path = self._storage.disks.backing_path(item)
        declared = item.settings.get("file-size", 0)
        return path.stat().st_size if path.is_file() else declared

    def _content(self, item: Disk, name: str) -> Value:
        signature = self._storage.disks.signature(item)
        if name == "fs":
            return signature.kind
        return (signature.label if name == "fs-label" else signature.uuid) or NOTHING

    def flags(self, item: Disk) -> str:
        named = [(letter, name) for column in _FLAGS for letter, name in column]
        return "".join(letter for letter, name in named if self.property(item, name) is True)

    # -- changes ---------------------------------------------------------------------------------------------------

    def do_add(self, request: Request) -> Value:
        given = dict(request.arguments)
        if "type" not in given:
            raise ConsoleError(texts.MISSING_VALUES(names="type"))
        kind = arguments.choice("type", given.pop("type"), _TYPES)
        if kind != "file":
            raise ConsoleError(texts.NOT_SIMULATED(path=f"/disk/add type={kind}"))
        copied = self._copied(given.pop("copy-from", NOTHING))
        settings = {**copied, **self._settings(given)}
        slot = text_of(given.get("slot", "")) or _default_slot(settings)
        self.before(request.path, request.arguments)
        disk = self._storage.disks.add(slot, kind, settings)
        return Id(disk.number)

    def _copied(self, source: Value) -> dict[str, Setting]:
        """`copy-from`: defaults of another item, never its data (§1.7)."""
        found = self.resolve(source)
        kept = dict(found[0].settings) if found else {}
        kept.pop("file-path", None)
        return kept

    def _settings(self, given: Mapping[str, Value]) -> dict[str, Setting]:
        settings: dict[str, Setting] = {}
        for name, value in given.items():
            if name in ("slot", "numbers"):
                continue
            settings[name] = _converted(name, value)
        if settings.get("compress") is True and self._storage.pool.fs != "btrfs":
            raise ConsoleError(texts.COMPRESS_ONLY_BTRFS())
        return settings

    def change(self, item: Disk, arguments: Mapping[str, Value], request: Request) -> None:
        current = self._storage.disks.get(item.number)
        if current is None:
            raise ConsoleError(texts.NO_SUCH_ITEM())
        slot = text_of(arguments["slot"]) if "slot" in arguments else None
        settings = self._settings(arguments)
        if settings.pop("type", item.type) != item.type:
            raise ConsoleError(texts.BAD_VALUE(name="type"))
        self._storage.disks.set(current, slot, settings)

    def discard(self, item: Disk, request: Request) -> None:
        current = self._storage.disks.get(item.number)
        if current is None:
            raise ConsoleError(texts.NO_SUCH_ITEM())
        self._storage.disks.remove(current)


_VERSIONED = frozenset(
    words(
        "compress file-path file-size file-offset mount-filesystem mount-read-only swap nvme-tcp-server-nqn "
        "iscsi-server-iqn"
    )
)


def _converted(name: str, value: Value) -> Setting:
    if name in _BOOLEANS:
        return arguments.boolean(name, value)
    if name in _PORTS:
        return arguments.number(name, value, 1, 65535)
    if name in _SIZES:
        return arguments.size(name, value)
    return arguments.text(value)


def _default_slot(settings: Mapping[str, Setting]) -> str:
    return "file-" + str(settings.get("file-path", "")).strip("/").replace("/", "-")
