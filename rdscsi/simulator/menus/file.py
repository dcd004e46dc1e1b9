"""`/file`: the files of the storage model. Names have no leading slash; directories have no size (routeros.md §3)."""

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
from rdscsi.simulator.menus.printing import single
from rdscsi.simulator.menus.shown import Layout
from rdscsi.simulator.options import Behaviour
from rdscsi.simulator.storage.files import Entry, normalised

if TYPE_CHECKING:
    from rdscsi.simulator.storage.model import Storage

_MAX_CONTENTS = 61440  # §3: contents up to 60 KB


class FileMenu(ListMenu[Entry]):
    """The menu over `storage.files`."""

    layout = Layout(
        columns=("name", "type", "size", "last-modified"),
        forms={"size": "binary"},
        unquoted=frozenset({"type", "last-modified", "name"}),
    )

    def __init__(self, path: str, *, storage: Storage, behaviour: Behaviour, before: Mutation) -> None:
        super().__init__(path, before=before)
        self._files = storage.files
        self._storage = storage
        self._behaviour = behaviour

    def items(self) -> Iterable[Entry]:
        return self._files.listing()

    def number(self, item: Entry) -> int:
        return self._files.id_of(item.name)

    def by_number(self, number: int) -> Entry | None:
        name = self._files.by_id(number)
        return None if name is None else self._files.find(name)

    def indexed(self, equalities: Mapping[str, str]) -> Iterable[Entry] | None:
        if "name" not in equalities:
            return None
        found = self._files.find(equalities["name"])
        return () if found is None else (found,)

    def property_names(self, item: Entry) -> Iterable[str]:
        return ("name", "type", "size", "last-modified")

    def known_names(self, item: Entry) -> Iterable[str]:
        return ("name", "type", "size", "last-modified", "contents")

    def property(self, item: Entry, name: str) -> Value:
        if name == "name":
            return item.name
        if name == "type":
            return _type_of(item)
        if name == "size":
            return NOTHING if item.size is None else item.size
        if name == "last-modified":
            return datetime.fromtimestamp(item.modified, UTC).strftime("%Y-%m-%d %H:%M:%S")
        if name == "contents" and item.size is not None and item.size <= _MAX_CONTENTS:
            return item.path.read_bytes().decode("latin-1")
        return NOTHING

    def do_add(self, request: Request) -> Value:
        given = request.arguments
        if not given.get("name"):
            raise ConsoleError(texts.MISSING_VALUES(names="name"))
        name = normalised(text_of(given["name"]))
        kind = arguments.choice("type", given.get("type", "file"), ("file", "directory"))
        content = text_of(given.get("contents", "")).encode("latin-1")
        if len(content) > _MAX_CONTENTS:
            raise ConsoleError(texts.FILE_TOO_BIG())
        self._writable(name)
        if self._files.path(name).exists():
            raise ConsoleError(texts.FILE_EXISTS())
        self.before(request.path, given)
        if kind == "directory":
            self._files.make_directory(name)
        else:
            self._files.make_file(name, len(content), texts.FILE_NO_DIRECTORY(), content)
        return Id(self._files.id_of(name))

    def _writable(self, name: str) -> None:
        if self._files.on_pool(name) and self._storage.subvolumes.read_only_above(name):
            raise ConsoleError(texts.READ_ONLY_FILES())

    def change(self, item: Entry, arguments: Mapping[str, Value], request: Request) -> None:
        self._writable(item.name)
        if "contents" in arguments and item.kind == "file":
            self._files.write(item.name, text_of(arguments["contents"]).encode("latin-1"))
        if "name" in arguments:
            self._files.rename(item.name, normalised(text_of(arguments["name"])))

    def discard(self, item: Entry, request: Request) -> None:
        current = self._files.find(item.name)
        if current is None:
            raise ConsoleError(texts.NO_SUCH_ITEM())
        if current.kind == "disk":
            raise ConsoleError(texts.FILE_IS_MOUNT())
        self._writable(current.name)
        self._refuse_content(current)
        self._refuse_attached(current)
        subvolume = self._storage.subvolumes.by_fullname(current.name.partition("/")[2])
        if subvolume is not None and self._files.on_pool(current.name):
            self._storage.subvolumes.remove(subvolume)
        else:
            self._files.remove(current.name)

    def _refuse_content(self, entry: Entry) -> None:
        if entry.kind == "directory" and not self._behaviour.remove_full_directory and any(entry.path.iterdir()):
            raise ConsoleError(texts.FILE_NOT_EMPTY())

    def _refuse_attached(self, entry: Entry) -> None:
        if self._behaviour.remove_attached_file:
            return
        if any(disk.file_name == entry.name for disk in self._storage.disks):
            raise ConsoleError(texts.FILE_IN_USE())

    def do_copy(self, request: Request) -> Value:
        """`/file/copy src name=dst` (7.23+); files only here."""
        if "number" not in request.arguments or "name" not in request.arguments:
            raise ConsoleError(texts.MISSING_VALUES(names="number name"))
        source = self._single_file(request.arguments["number"])
        name = normalised(text_of(request.arguments["name"]))
        path = self._files.require_parent(name, texts.FILE_NO_DIRECTORY())
        if path.exists():
            raise ConsoleError(texts.FILE_EXISTS())
        self.before(request.path, request.arguments)
        self._files.copy(source.path, name)
        return NOTHING

    def _single_file(self, value: Value) -> Entry:
        found = self.resolve(value)
        if len(found) != 1 or found[0].size is None:
            raise ConsoleError(texts.NO_SUCH_ITEM())
        return found[0]

    def do_read(self, request: Request) -> Value:
        given = request.arguments
        entry = self._single_file(given.get("file", NOTHING))
        start = arguments.number("offset", given.get("offset", 0), 0, 2**62)
        count = arguments.number("chunk-size", given.get("chunk-size", 32768), 1, 32768)
        with open(entry.path, "rb") as file:
            file.seek(start)
            data = file.read(count).decode("latin-1")
        if request.wanted:
            return data
        request.interpreter.write(single({"data": data}))
        return NOTHING


def _type_of(entry: Entry) -> str:
    """`directory`, `disk`, `.img file` or `file`."""
    if entry.kind != "file":
        return entry.kind
    _, dot, extension = entry.name.rpartition("/")[2].rpartition(".")
    return f".{extension} file" if dot else "file"
