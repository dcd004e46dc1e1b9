"""What `/disk` shows of an item: properties and their order by type, after the captures of `print detail` (§1.4).

There is no `status`. Which properties a version has is asked of the tree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from rdscsi.simulator.console.values import NOTHING, Value
from rdscsi.simulator.menus.shown import Layout
from rdscsi.simulator.storage.disks import Disk, Setting
from rdscsi.simulator.words import words

if TYPE_CHECKING:
    from rdscsi.simulator.menus.tree import Tree
    from rdscsi.simulator.storage.model import Storage

Reader = Callable[[Disk], Value]

_EXPORTS = (("t", "nvme-tcp-export"), ("i", "iscsi-export"), ("s", "smb-sharing"), ("n", "nfs-sharing"),
            ("m", "media-sharing"))  # fmt: skip
FLAGS: tuple[tuple[tuple[str, str], ...], ...] = (
    (("X", "disabled"), ("A", "acquired")),
    (("E", "empty"), ("B", "block-device")),
    (("M", "mounted"), ("F", "formatting"), ("S", "swap-enabled")),
    (("f", "raid-member-failed"), ("r", "raid-member")),
    (("c", "encrypted"),),
    (("g", "guid-partition-table"), ("p", "partition")),
    *((flag,) for flag in _EXPORTS),
)
_OLD_FLAGS = (
    (("X", "disabled"),),
    (("E", "empty"), ("B", "block-device")),
    (("M", ", F - FORMATTING"),),
    (("f", "raid-member-failed"), ("r", "raid-member")),
    *((flag,) for flag in _EXPORTS),
)
STATES = words("block-device empty formatting mounted raid-member swap-enabled partition")
_SHARING = "nvme-tcp-export {} iscsi-export nfs-sharing smb-sharing media-sharing media-interface swap"
_SERVER = "nvme-tcp-server-port nvme-tcp-server-nqn nvme-tcp-server-allow-host-name nvme-tcp-server-password"
_FILE_ORDER = words(
    "type slot slot-default parent fs-label fs-uuid fs model size mount-point mount-filesystem mount-read-only "
    f"compress sector-size raid-master {_SHARING.format(_SERVER)} file-path file-size file-offset comment"
)
_OTHER_ORDER = words(
    "type slot slot-default parent fs-label fs-uuid fs model serial interface size free total-inodes free-inodes use "
    "mount-point mount-filesystem mount-read-only compress sector-size raid-type raid-device-count "
    "raid-max-component-size raid-chunk-size raid-master raid-role raid-member-failed raid-member-state state "
    f"raid-uuid {_SHARING.format(_SERVER)} partition-number partition-offset partition-size tmpfs-max-size comment"
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
_VERSIONED = frozenset(
    words(
        "compress file-path file-size file-offset mount-filesystem mount-read-only swap nvme-tcp-server-nqn "
        "iscsi-server-iqn"
    )
)


def layout(version: tuple[int, int]) -> Layout:
    """Columns and flags: 7.16 prints fewer columns and does not spell out `M` (the manual's older sample)."""
    old = version < (7, 17)
    columns = "slot model serial interface size free fs" if old else (
        "slot mount-point model serial interface size free use fs")  # fmt: skip
    return Layout(
        columns=words(columns),
        flag_columns=_OLD_FLAGS if old else FLAGS,
        forms={
            "size": "grouped",
            "free": "grouped",
            "total-inodes": "grouped",
            "free-inodes": "grouped",
            "partition-size": "grouped",
            "tmpfs-max-size": "grouped",
            "use": "percent",
            "file-size": "binary",
        },
        unquoted=frozenset(
            words("type fs file-path raid-master media-interface raid-type raid-chunk-size raid-max-component-size")
        ),
        hidden=frozenset(STATES) | {"disabled"},
        expendable=("model", "interface", "serial", "use", "mount-point"),
    )


class DiskProperties:
    """Reads properties of items from the storage model."""

    def __init__(self, storage: Storage, tree: Tree) -> None:
        self._storage = storage
        self._tree = tree
        self._file: dict[str, Reader] = {
            "size": self._file_size,
            "file-size": self._file_size,
            "model": lambda disk: "/" + disk.file_name,
            "file-path": lambda disk: "/" + disk.file_name,
            "fs": lambda disk: storage.disks.signature(disk).kind,
            "fs-label": lambda disk: storage.disks.signature(disk).label or NOTHING,
            "fs-uuid": lambda disk: storage.disks.signature(disk).uuid or NOTHING,
            "formatting": _no,
            "partition": _no,
            "raid-member": _no,
            "swap-enabled": lambda disk: disk.attached and disk.setting("swap", False) is True,
            "block-device": lambda disk: disk.attached,
            "empty": lambda disk: not disk.attached,
            "mounted": lambda disk: disk.mounted,
            "mount-point": lambda disk: disk.slot if disk.mounted else NOTHING,
            "nvme-tcp-server-port": self._exported("nvme-tcp-server-port"),
            "nvme-tcp-server-allow-host-name": self._exported("nvme-tcp-server-allow-host-name"),
            "nvme-tcp-server-nqn": self._nqn,
            "file-offset": lambda disk: disk.setting("file-offset", 0),
        }
        self._hardware: dict[str, Reader] = {
            "block-device": lambda disk: disk.type != "tmpfs",
            "empty": _no,
            "formatting": _no,
            "swap-enabled": _no,
            "mounted": lambda disk: disk.type == "tmpfs",
            "partition": lambda disk: disk.type == "partition",
            "raid-member": lambda disk: "raid-master" in disk.facts,
            "raid-member-failed": lambda disk: False if "raid-master" in disk.facts else NOTHING,
            "raid-member-state": _member_state,
            "state": lambda disk: "clean" if disk.type == "raid" else NOTHING,
            "mount-point": lambda disk: disk.slot if disk.type == "tmpfs" else NOTHING,
            "nvme-tcp-server-port": self._exported("nvme-tcp-server-port"),
            "nvme-tcp-server-allow-host-name": self._exported("nvme-tcp-server-allow-host-name"),
            "nvme-tcp-server-nqn": self._nqn,
            "size": _declared_size,
            "free": lambda disk: _declared_size(disk) if disk.type == "tmpfs" else NOTHING,
            "fs": lambda disk: "tmpfs" if disk.type == "tmpfs" else disk.facts.get("fs", "-"),
        }
        self._pool = {**self._hardware, **self._pool_readers()}
        self._raid = {**self._pool, **self._raid_readers()}
        self._names = {"file": self._known(_FILE_ORDER), "": self._known(_OTHER_ORDER)}

    def _known(self, order: Iterable[str]) -> tuple[str, ...]:
        names = [name for name in order if name not in _VERSIONED or self._tree.has("/disk", "set", name)]
        return (*names, "disabled", *STATES)

    def names(self, disk: Disk) -> tuple[str, ...]:
        """All names in the order of `print detail`."""
        return self._names.get(disk.type) or self._names[""]

    def of(self, disk: Disk, name: str) -> Value:
        """One property; NOTHING when it is not set or does not exist."""
        if name == "slot":
            return disk.slot
        if name == "comment":
            return disk.settings.get("comment") or NOTHING
        if name == "type":
            return disk.type
        reader = self._readers(disk).get(name)
        found = NOTHING if reader is None else reader(disk)
        if found is NOTHING and reader is None:
            return disk.settings.get(name, disk.facts.get(name, _DEFAULTS.get(name, NOTHING)))
        return found

    def _readers(self, disk: Disk) -> Mapping[str, Reader]:
        if disk.type == "file":
            return self._file
        if disk.slot != self._storage.pool.slot:
            return self._hardware
        return self._raid if disk.type == "raid" else self._pool

    # -- file disks ------------------------------------------------------------------------------------------------

    def _file_size(self, disk: Disk) -> Value:
        """The size of the file as it is; what was declared when the file is gone under a running disk."""
        if not disk.attached:
            return NOTHING
        size = self._storage.disks.size_of(disk)
        return disk.settings.get("file-size", 0) if size is None else size

    def _exported(self, name: str) -> Reader:
        return lambda disk: disk.settings.get(name, _EXPORTED[name] if disk.exported else NOTHING)

    def _nqn(self, disk: Disk) -> Value:
        if "nvme-tcp-server-nqn" in disk.settings:
            return disk.settings["nvme-tcp-server-nqn"]
        return self._storage.disks.nqn_of(disk) if disk.exported else NOTHING

    # -- the pool --------------------------------------------------------------------------------------------------

    def _pool_readers(self) -> dict[str, Reader]:
        pool = self._storage.pool
        if_mounted = self._if_mounted
        return {
            "model": lambda _: pool.text("model"),
            "size": lambda _: pool.space.size,
            "fs": lambda _: pool.fs,
            "fs-label": lambda _: pool.label,
            "fs-uuid": lambda _: pool.uuid,
            "free": if_mounted(lambda _: pool.space.free()),
            "total-inodes": if_mounted(lambda _: NOTHING if pool.fs == "btrfs" else pool.number("inodes")),
            "free-inodes": if_mounted(lambda _: self._free_inodes()),
            "use": if_mounted(lambda _: self._use()),
            "mount-point": if_mounted(lambda _: pool.mount_point),
            "mount-filesystem": lambda disk: disk.setting("mount-filesystem", bool(pool.flag("mount-filesystem"))),
            "mount-read-only": lambda _: pool.read_only,
            "mounted": lambda _: pool.mounted,
        }

    def _raid_readers(self) -> dict[str, Reader]:
        pool = self._storage.pool
        return {
            "state": lambda _: pool.state,
            "raid-type": lambda _: pool.text("raid-type"),
            "raid-chunk-size": lambda _: pool.text("raid-chunk-size"),
            "raid-max-component-size": lambda _: "none",
            "raid-device-count": lambda _: pool.members,
            "raid-uuid": lambda _: pool.raid_uuid,
        }

    def _if_mounted(self, reader: Reader) -> Reader:
        return lambda disk: reader(disk) if self._storage.pool.mounted else NOTHING

    def _free_inodes(self) -> Value:
        """XFS needs three for itself (captured: four used with one file)."""
        if self._storage.pool.fs == "btrfs":
            return NOTHING
        return max(self._storage.pool.number("inodes") - 3 - self._storage.files.count_on_pool(), 0)

    def _use(self) -> int:
        """In percent, to the nearest; ext4 does not count what it took for itself (both captured)."""
        space = self._storage.pool.space
        used = space.used() - (space.overhead if self._storage.pool.fs == "ext4" else 0)
        return (200 * used + space.size) // (2 * space.size)


def _no(_disk: Disk) -> bool:
    return False


def _declared_size(disk: Disk) -> Value:
    name = {"partition": "partition-size", "tmpfs": "tmpfs-max-size"}.get(disk.type, "size")
    return disk.settings.get(name, disk.facts.get("size", NOTHING))


def _member_state(disk: Disk) -> Value:
    return f"{disk.facts.get('raid-role', 0)}:in_sync" if "raid-master" in disk.facts else NOTHING
