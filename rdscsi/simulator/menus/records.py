"""Lists whose items are plain records: packages, users, services, the log; and menus that are always empty."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from rdscsi.simulator import texts
from rdscsi.simulator.console.evaluator import Request
from rdscsi.simulator.console.failures import ConsoleError
from rdscsi.simulator.console.values import NOTHING, Value
from rdscsi.simulator.menus.menu import ListMenu, Mutation
from rdscsi.simulator.menus.printing import Layout

Record = tuple[int, dict[str, Value]]
_MANDATORY = {
    "/user": "name group password",
    "/ip/smb/shares": "name",
    "/disk/btrfs/transfer": "type",
    "/user/group": "name",
}


class RecordMenu(ListMenu[Record]):
    """A read-only list; `rows` is asked anew each time."""

    def __init__(
        self,
        path: str,
        *,
        before: Mutation,
        rows: Callable[[], Iterable[dict[str, Value]]] = tuple,
        columns: tuple[str, ...] = ("name",),
        flags: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(path, before=before)
        self.layout = Layout(columns=columns, flag_columns=(flags,) if flags else ())
        self._rows = rows
        self._flags = flags

    def items(self) -> Iterable[Record]:
        return list(enumerate(self._rows(), start=1))

    def number(self, item: Record) -> int:
        return item[0]

    def by_number(self, number: int) -> Record | None:
        return next((item for item in self.items() if item[0] == number), None)

    def property_names(self, item: Record) -> Iterable[str]:
        return item[1]

    def property(self, item: Record, name: str) -> Value:
        return item[1].get(name, NOTHING)

    def flags(self, item: Record) -> str:
        return "".join(letter for letter, name in self._flags if item[1].get(name) is True)

    def do_add(self, request: Request) -> Value:
        missing = [name for name in _MANDATORY.get(self.path, "").split() if name not in request.arguments]
        if missing:
            raise ConsoleError(texts.MISSING_VALUES(names=" ".join(missing)))
        raise ConsoleError(texts.NOT_SIMULATED(path=request.path))


def packages(version: str, *, rose_storage: bool, storage_disabled: bool) -> list[dict[str, Value]]:
    """Rows of `/system/package`."""
    names = ["routeros"] + (["rose-storage"] if rose_storage else [])
    return [
        {
            "name": name,
            "version": version,
            "build-time": "2026-09-16 10:00:00",
            "scheduled": "",
            "size": 12_000_000,
            "disabled": storage_disabled and name == "rose-storage",
            "available": False,
        }
        for name in names
    ]


def log_rows(entries: Iterable[Mapping[str, str]]) -> list[dict[str, Value]]:
    return [dict(entry) for entry in entries]
