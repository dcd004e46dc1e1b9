"""Disk items: hardware, raid and file disks, with their settings, kept as rows and written through.

Adding a file disk makes or attaches the file; removing one keeps the file (routeros.md §1.5). An exported disk has its
link in `exports`. What the properties look like to the console is in `menus.disk`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from rdscsi.simulator import texts
from rdscsi.simulator.console.failures import ConsoleError
from rdscsi.simulator.options import Behaviour, Drive
from rdscsi.simulator.storage.exports import Export, Exports
from rdscsi.simulator.storage.files import FileTree, normalised
from rdscsi.simulator.storage.index import discard_from
from rdscsi.simulator.storage.pool import Pool
from rdscsi.simulator.storage.signatures import NOTHING_THERE, Signature, recognise
from rdscsi.simulator.storage.store import Plain, Store
from rdscsi.simulator.storage.undo import UndoLog

Setting = str | int | bool


@dataclass(frozen=True, slots=True)
class Disk:
    """One item. `settings` holds what was set, `facts` what the hardware says; `attached` is a file disk's content."""

    number: int
    type: str
    slot: str
    settings: dict[str, Setting] = field(default_factory=dict)
    facts: dict[str, Setting] = field(default_factory=dict)
    attached: bool = True
    mounted: bool = False

    @property
    def file_name(self) -> str:
        """The backing file's name in `/file`, "" for other types."""
        return normalised(str(self.settings.get("file-path", ""))) if self.type == "file" else ""

    @property
    def exported(self) -> bool:
        return self.settings.get("nvme-tcp-export") is True

    def setting(self, name: str, default: Setting) -> Setting:
        return self.settings.get(name, default)


class Disks:
    """All items by number and by slot."""

    def __init__(
        self,
        *,
        store: Store,
        files: FileTree,
        pool: Pool,
        exports: Exports,
        undo: UndoLog,
        behaviour: Behaviour,
        nqn_prefix: str,
        drives: tuple[Drive, ...] = (),
    ) -> None:
        self._store = store
        self._files = files
        self._pool = pool
        self._exports = exports
        self._undo = undo
        self._behaviour = behaviour
        self._nqn_prefix = nqn_prefix
        self._disks: dict[int, Disk] = {}
        self._slots: dict[str, int] = {}
        self._by_file: dict[str, set[int]] = {}
        self._by_comment: dict[str, set[int]] = {}
        self._next = int(str(store.single("next-disk") or 1))
        for number, body in store.load("disk"):
            self._remember(_disk_of(number, body))
        if not self._disks:
            for kind, slot, facts in hardware_of(pool, drives):
                self._add_hardware(kind, slot, facts)
        self._reset_exports()

    def __iter__(self) -> Iterator[Disk]:
        return iter(list(self._disks.values()))

    def get(self, number: int) -> Disk | None:
        return self._disks.get(number)

    def by_slot(self, slot: str) -> Disk | None:
        number = self._slots.get(slot)
        return None if number is None else self._disks[number]

    def by_file(self, path: str) -> list[Disk]:
        """The file disks over one backing file, named with or without a leading slash."""
        return [self._disks[number] for number in sorted(self._by_file.get(normalised(path), ()))]

    def by_comment(self, comment: str) -> list[Disk]:
        """The items that bear a comment."""
        return [self._disks[number] for number in sorted(self._by_comment.get(comment, ()))]

    def nqn_of(self, disk: Disk) -> str:
        """The name initiators see: what was set, otherwise a default made of the slot (§6; the prefix is a guess)."""
        return str(disk.setting("nvme-tcp-server-nqn", "")) or self._nqn_prefix + disk.slot

    def _is_served(self, disk: Disk) -> bool:
        """Whether initiators find it: exported, and its file is there."""
        return disk.exported and disk.attached and self.size_of(disk) is not None

    def _reset_exports(self) -> None:
        self._exports.reset(self._export_of(disk) for disk in self if self._is_served(disk))

    def _export_of(self, disk: Disk) -> Export:
        return Export(
            nqn=self.nqn_of(disk),
            backing=self._files.path(disk.file_name),
            port=int(disk.setting("nvme-tcp-server-port", 4420)),
            allowed_host=str(disk.setting("nvme-tcp-server-allow-host-name", "")),
        )

    # -- changes ---------------------------------------------------------------------------------------------------

    def add(self, slot: str, kind: str, settings: dict[str, Setting]) -> Disk:
        """A new item. Raises ConsoleError and changes nothing when it is refused."""
        self._check_slot(slot)
        disk = Disk(self._next, kind, slot, settings)
        self._check_nqn(disk)
        if kind == "file":
            self._attach(disk)
            disk = self._settled(disk)
        self._next += 1
        self._store.set_single("next-disk", self._next)
        self._change(None, disk)
        return disk

    def _check_slot(self, slot: str) -> None:
        if len(slot) > self._behaviour.max_slot:
            raise ConsoleError(texts.SLOT_TOO_LONG())
        if slot in self._slots:
            raise ConsoleError(texts.DUPLICATE_SLOT())

    def _check_nqn(self, disk: Disk) -> None:
        if not disk.exported or self._behaviour.same_nqn_twice:
            return
        nqn = self.nqn_of(disk)
        for other in self._disks.values():
            if other.number != disk.number and other.exported and self.nqn_of(other) == nqn:
                raise ConsoleError(texts.DUPLICATE_NQN())

    def _attach(self, disk: Disk) -> None:
        """Make the file, or take the one that is there with its content."""
        name = disk.file_name
        if not name:
            raise ConsoleError(texts.NO_FILE_PATH())
        if self._behaviour.create_directories:
            self._files.make_parents(name)
        path = self._files.require_parent(name, texts.NO_SUCH_DIRECTORY())
        if path.is_dir():
            raise ConsoleError(texts.NOT_A_FILE())
        size = disk.settings.get("file-size")
        if path.exists():
            if not self._behaviour.attach_existing_file:
                raise ConsoleError(texts.FILE_EXISTS())
            self._check_twice(disk, name)
            if isinstance(size, int) and size > path.stat().st_size:
                self._files.resize(name, size)
            return
        if not isinstance(size, int) or size <= 0:
            raise ConsoleError(texts.NO_FILE_SIZE())
        self._files.make_file(name, size, texts.NO_SUCH_DIRECTORY())

    def _check_twice(self, disk: Disk, name: str) -> None:
        if self._behaviour.same_file_twice:
            return
        if any(other.number != disk.number for other in self.by_file(name)):
            raise ConsoleError(texts.FILE_EXISTS())

    def _settled(self, disk: Disk, *, boot: bool = False) -> Disk:
        """A file disk as it is once attached: its size, and mounted when its content is a file system and it may be."""
        path = self._files.path(disk.file_name)
        if not path.is_file() or disk.setting("disabled", False) is True:
            return replace(disk, attached=False, mounted=False)
        settings = {**disk.settings, "file-size": path.stat().st_size}
        may_mount = disk.setting("mount-filesystem", True) is True and (self._behaviour.mount_at_boot or not boot)
        mounted = may_mount and recognise(path) != NOTHING_THERE
        return replace(disk, settings=settings, attached=True, mounted=mounted)

    def set(self, disk: Disk, slot: str | None, settings: dict[str, Setting]) -> None:
        """Change settings of one item."""
        if slot is not None and slot != disk.slot:
            self._check_slot(slot)
        changed = replace(disk, slot=slot or disk.slot, settings={**disk.settings, **settings})
        self._check_nqn(changed)
        if disk.type == "file":
            changed = self._reattached(disk, changed, settings)
        self._change(disk, changed)

    def _reattached(self, disk: Disk, changed: Disk, settings: dict[str, Setting]) -> Disk:
        """What settings do to the file behind a disk: another file, another size, attached or let go."""
        if "file-path" in settings and changed.file_name != disk.file_name:
            self._attach(changed)
            return self._settled(changed)
        size = settings.get("file-size")
        if isinstance(size, int) and disk.attached:
            if size < (self.size_of(disk) or 0) and not self._behaviour.shrink:
                raise ConsoleError(texts.NO_SHRINKING())
            self._files.resize(disk.file_name, size)
        return self._settled(changed) if settings.keys() & {"mount-filesystem", "disabled"} else changed

    def unset(self, disk: Disk, name: str) -> None:
        """Take a setting back to its default."""
        self._change(disk, replace(disk, settings={key: kept for key, kept in disk.settings.items() if key != name}))

    def remove(self, disk: Disk) -> None:
        """Forget the item; the backing file stays."""
        if disk.type not in ("file", "partition", "tmpfs"):
            raise ConsoleError(texts.NOT_REMOVABLE())
        if disk.exported and not self._behaviour.remove_exported_disk:
            raise ConsoleError(texts.DISK_IN_USE())
        self._change(disk, None)
        if not self._behaviour.remove_keeps_file and disk.file_name and self._files.find(disk.file_name):
            self._files.remove(disk.file_name)

    def _change(self, before: Disk | None, after: Disk | None) -> None:
        self._apply(before, after)
        self._undo.record("config", lambda: self._apply(after, before))

    def _apply(self, before: Disk | None, after: Disk | None) -> None:
        """Exchange one item for another, in memory, on disk and among the exports."""
        if before is not None:
            stays = (
                after is not None and after.exported and after.attached and self.nqn_of(after) == self.nqn_of(before)
            )
            if before.exported and not stays:
                self._exports.withdraw(self.nqn_of(before))
            self._slots.pop(before.slot, None)
            discard_from(self._by_file, before.file_name, before.number)
            discard_from(self._by_comment, str(before.settings.get("comment", "")), before.number)
            if after is None:
                self._disks.pop(before.number, None)
        if after is None:
            if before is not None:
                self._store.drop("disk", before.number)
            return
        self._remember(after)
        self._store.put("disk", after.number, _body_of(after))
        if self._is_served(after):
            self._exports.offer(self._export_of(after))

    def _remember(self, disk: Disk) -> None:
        self._disks[disk.number] = disk
        self._slots[disk.slot] = disk.number
        if disk.type == "file":
            self._by_file.setdefault(disk.file_name, set()).add(disk.number)
        if comment := str(disk.settings.get("comment", "")):
            self._by_comment.setdefault(comment, set()).add(disk.number)

    # -- the machine -----------------------------------------------------------------------------------------------

    def signature(self, disk: Disk) -> Signature:
        """What the content of a file disk is recognised as; a file without blocks on the host holds nothing."""
        found = self._stat(disk)
        if not disk.attached or found is None or found.st_blocks == 0:
            return NOTHING_THERE
        return recognise(self._files.path(disk.file_name))

    def size_of(self, disk: Disk) -> int | None:
        """The size of the file behind a disk, None when it is gone."""
        found = self._stat(disk)
        return None if found is None else found.st_size

    def _stat(self, disk: Disk) -> os.stat_result | None:
        try:
            found = os.stat(self._files.host_path(disk.file_name))
        except OSError:
            return None
        return found if stat.S_ISREG(found.st_mode) else None

    def rescan(self) -> None:
        """What a boot does: attach what is there, mount what is recognised where `mount-filesystem=yes`."""
        for disk in self:
            if disk.type == "file":
                settled = self._settled(disk, boot=True)
                self._remember(settled)
                self._store.put("disk", settled.number, _body_of(settled))
        self._reset_exports()

    def _add_hardware(self, kind: str, slot: str, facts: dict[str, Setting]) -> None:
        disk = Disk(self._next, kind, slot, {}, facts)
        self._next += 1
        self._store.set_single("next-disk", self._next)
        self._apply(None, disk)


def hardware_of(pool: Pool, drives: tuple[Drive, ...]) -> Iterator[tuple[str, str, dict[str, Setting]]]:
    """Type, slot and facts of what the appliance comes with: drives, the pool's members, the pool."""
    for drive in drives:
        facts: dict[str, Setting] = {"model": drive.model, "size": drive.size, "fs": drive.fs}
        if drive.raid_master:
            facts |= {"raid-master": drive.raid_master, "raid-role": drive.raid_role}
        if drive.type == "hardware":
            facts |= {"serial": drive.serial, "interface": drive.interface}
        yield drive.type, drive.slot, facts
    if pool.kind == "hardware":
        yield "hardware", pool.slot, {"serial": pool.text("serial"), "interface": pool.text("interface")}
        return
    for index in range(pool.members):
        yield (
            "hardware",
            f"nvme{index + 1}",
            {
                "model": "SIMULATED NVME",
                "serial": f"SIM{index:06}",
                "interface": pool.text("interface"),
                "size": pool.space.size // pool.members,
                "raid-master": pool.slot,
                "raid-role": index,
            },
        )
    yield "raid", pool.slot, {}


def _body_of(disk: Disk) -> dict[str, Plain]:
    return {
        "type": disk.type,
        "slot": disk.slot,
        "settings": dict(disk.settings),
        "facts": dict(disk.facts),
        "attached": disk.attached,
        "mounted": disk.mounted,
    }


def _disk_of(number: int, body: dict[str, Plain]) -> Disk:
    return Disk(
        number=number,
        type=str(body["type"]),
        slot=str(body["slot"]),
        settings=_settings(body["settings"]),
        facts=_settings(body["facts"]),
        attached=bool(body["attached"]),
        mounted=bool(body["mounted"]),
    )


def _settings(plain: Plain) -> dict[str, Setting]:
    items = plain.items() if isinstance(plain, dict) else ()
    return {name: value for name, value in items if isinstance(value, str | int | bool)}
