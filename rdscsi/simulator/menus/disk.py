"""`/disk`: adding, changing and removing items of the storage model. What is shown of them is in `disk_properties`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from rdscsi.simulator import texts
from rdscsi.simulator.console.evaluator import Request
from rdscsi.simulator.console.failures import ConsoleError
from rdscsi.simulator.console.text import text_of
from rdscsi.simulator.console.values import NOTHING, Id, Value
from rdscsi.simulator.menus import arguments
from rdscsi.simulator.menus.disk_properties import FLAGS, DiskProperties, layout
from rdscsi.simulator.menus.menu import ListMenu, Mutation
from rdscsi.simulator.menus.printing import output_lines, single
from rdscsi.simulator.options import Behaviour
from rdscsi.simulator.storage.disks import Disk, Setting
from rdscsi.simulator.words import words

if TYPE_CHECKING:
    from rdscsi.simulator.menus.tree import Tree
    from rdscsi.simulator.storage.model import Storage

_TYPES = words("raid nvme-tcp iscsi nfs smb partition tmpfs ramdisk crypted sshfs file hardware")
_SIMULATED = ("file", "partition", "tmpfs")
_FORMATS = words("fat32 ext4 btrfs xfs wipe wipe-quick exfat ntfs discard discard-secure")
_BOOLEANS = frozenset(
    words(
        "compress disabled iscsi-export media-sharing mount-filesystem mount-read-only nfs-sharing "
        "nvme-tcp-export smb-sharing swap"
    )
)
_PORTS = frozenset({"nvme-tcp-server-port", "iscsi-server-port", "nvme-tcp-port", "iscsi-port"})
_FILE_SIZES = frozenset({"file-size", "file-offset"})
_DECIMAL_SIZES = frozenset({"partition-size", "partition-offset", "tmpfs-max-size"})
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

    def __init__(
        self, path: str, *, storage: Storage, tree: Tree, behaviour: Behaviour, memory: int, before: Mutation
    ) -> None:
        super().__init__(path, before=before)
        self.layout = layout(tree.version)
        self._storage = storage
        self._tree = tree
        self._behaviour = behaviour
        self._memory = memory
        self._properties = DiskProperties(storage, tree)

    def items(self) -> Iterable[Disk]:
        return self._storage.disks

    def number(self, item: Disk) -> int:
        return item.number

    def by_number(self, number: int) -> Disk | None:
        return self._storage.disks.get(number)

    def indexed(self, equalities: Mapping[str, str]) -> Iterable[Disk] | None:
        disks = self._storage.disks
        if "slot" in equalities:
            found = disks.by_slot(equalities["slot"])
            return () if found is None else (found,)
        if "file-path" in equalities:
            return disks.by_file(equalities["file-path"])
        return disks.by_comment(equalities["comment"]) if "comment" in equalities else None

    def property_names(self, item: Disk) -> Iterable[str]:
        return self._properties.names(item)

    def known_names(self, item: Disk) -> Iterable[str]:
        return {*self.property_names(item), *_READABLE_BUT_UNSET, *self._tree.commands("/disk")["set"].arguments}

    def property(self, item: Disk, name: str) -> Value:
        return self._properties.of(item, name)

    def read(self, item: Disk, name: str) -> Value:
        return Id(item.number) if name == ".id" else self._properties.of(item, name)

    def flags(self, item: Disk) -> str:
        of = self._properties.of
        return "".join(letter for column in FLAGS for letter, name in column if of(item, name) is True)

    # -- changes ---------------------------------------------------------------------------------------------------

    def do_add(self, request: Request) -> Value:
        given = dict(request.arguments)
        if "type" not in given:
            raise ConsoleError(texts.MISSING_VALUES(names="type"))
        kind = arguments.choice("type", given.pop("type"), _TYPES)
        if kind not in _SIMULATED:
            raise ConsoleError(texts.NOT_SIMULATED(path=f"/disk/add type={kind}"))
        copied = self._copied(given.pop("copy-from", NOTHING))
        settings = {**copied, **self._settings(given)}
        if not self._behaviour.default_mount_filesystem:
            settings = {"mount-filesystem": False, **settings}
        self._check_kind(kind, settings)
        slot = text_of(given.get("slot", "")) or self._default_slot(kind, settings)
        self.before(request.path, request.arguments)
        return Id(self._storage.disks.add(slot, kind, settings).number)

    def _check_kind(self, kind: str, settings: Mapping[str, Setting]) -> None:
        if kind == "tmpfs" and int(settings.get("tmpfs-max-size", 0)) > self._memory:
            raise ConsoleError(texts.TOO_MUCH_MEMORY())
        if kind == "partition" and self._storage.disks.by_slot(str(settings.get("parent", ""))) is None:
            raise ConsoleError(texts.NO_SUCH_ITEM())

    def _default_slot(self, kind: str, settings: Mapping[str, Setting]) -> str:
        if kind == "file":
            return "file-" + str(settings.get("file-path", "")).strip("/").replace("/", "-")
        stem = f"{settings['parent']}-part" if kind == "partition" else "tmpfs"
        wanted = settings.get("partition-number")
        number = int(wanted) if isinstance(wanted, str) and wanted.isdigit() else 1
        while self._storage.disks.by_slot(f"{stem}{number}") is not None:
            number += 1
        return f"{stem}{number}"

    def _copied(self, source: Value) -> dict[str, Setting]:
        """`copy-from`: defaults of another item, never its data (§1.7)."""
        found = self.resolve(source)
        kept = dict(found[0].settings) if found else {}
        kept.pop("file-path", None)
        return kept

    def _settings(self, given: Mapping[str, Value]) -> dict[str, Setting]:
        settings = {name: self._converted(name, value) for name, value in given.items() if name != "slot"}
        if settings.get("compress") is True and self._storage.pool.fs != "btrfs":
            raise ConsoleError(texts.COMPRESS_ONLY_BTRFS())
        return settings

    def _converted(self, name: str, value: Value) -> Setting:
        if name in _BOOLEANS:
            return arguments.boolean(name, value)
        if name in _PORTS:
            return arguments.number(name, value, 1, 65535)
        if name in _FILE_SIZES:
            return arguments.size(name, value, 1024 if self._behaviour.binary_file_size else 1000)
        return arguments.size(name, value, 1000) if name in _DECIMAL_SIZES else arguments.text(value)

    def _current(self, item: Disk) -> Disk:
        current = self._storage.disks.get(item.number)
        if current is None:
            raise ConsoleError(texts.NO_SUCH_ITEM())
        return current

    def change(self, item: Disk, arguments: Mapping[str, Value], request: Request) -> None:
        current = self._current(item)
        slot = text_of(arguments["slot"]) if "slot" in arguments else None
        settings = self._settings(arguments)
        if settings.pop("type", item.type) != item.type:
            raise ConsoleError(texts.BAD_VALUE(name="type"))
        self._storage.disks.set(current, slot, settings)

    def do_unset(self, request: Request) -> Value:
        name = text_of(request.arguments.get("value-name", ""))
        for item in self.required(request):
            self.before(request.path, request.arguments)
            self._storage.disks.unset(self._current(item), name)
        return NOTHING

    def discard(self, item: Disk, request: Request) -> None:
        self._storage.disks.remove(self._current(item))

    # -- the file system on an item --------------------------------------------------------------------------------

    def do_check(self, request: Request) -> Value:
        for item in self.required(request):
            busy = self._storage.is_busy(item)
            line = texts.COULD_NOT_UNMOUNT() if busy else texts.CHECK_DONE(slot=item.slot)
            request.interpreter.write(output_lines([line]))
        return NOTHING

    def do_format(self, request: Request) -> Value:
        """Asks on 7.24 and later; older versions only tell how far they are (§1.8, §13.2)."""
        asks = self._tree.version >= (7, 24)
        kind = arguments.choice("file-system", request.arguments.get("file-system", "ext4"), _FORMATS)
        for item in self.required(request):
            if asks:
                answer = self._behaviour.format_answer
                request.interpreter.write(texts.ALL_DATA_LOST() + (answer if answer == "y" else "") + "\n")
                if answer != "y":
                    return NOTHING
            label = text_of(request.arguments.get("label", "")) or f"{item.slot}-fs"
            self.before(request.path, request.arguments)
            text = self._storage.format(self._current(item), kind, label)
            lines = [f"{item.slot}: {line}" for line in text]
            request.interpreter.write(output_lines(lines) if asks else single({"formatted": "100%"}))
        return NOTHING

    do_format_drive = do_format

    def do_monitor_traffic(self, request: Request) -> Value:
        """Nothing moves on a simulated disk, so all rates are zero."""
        for _ in self.required(request):
            rates = dict.fromkeys(words("read-rate write-rate read-ops-per-second write-ops-per-second"), "0bps")
            request.interpreter.write(single({**rates, "in-flight-ops": "0"}))
        return NOTHING
