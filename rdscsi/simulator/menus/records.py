"""Lists whose items are plain records: kept ones that can be added to (users, scripts …), and ones that are only read.

What a row needs and which names are taken is said by a `Kind`; what rows mean elsewhere is not known here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from rdscsi.simulator import texts
from rdscsi.simulator.console import literals
from rdscsi.simulator.console.evaluator import Request
from rdscsi.simulator.console.failures import ConsoleError
from rdscsi.simulator.console.text import text_of
from rdscsi.simulator.console.values import NOTHING, Id, Value
from rdscsi.simulator.menus import arguments
from rdscsi.simulator.menus.menu import ListMenu, Mutation
from rdscsi.simulator.menus.shown import Layout
from rdscsi.simulator.storage.records import Records
from rdscsi.simulator.storage.store import Plain

Record = tuple[int, Mapping[str, Value]]
_BOOLEANS = frozenset({"disabled", "dynamic", "available", "dont-require-permissions", "read-only"})


@dataclass(frozen=True, slots=True)
class Kind:
    """What rows of a menu are like. `key`: the property that names one and must not come twice."""

    columns: tuple[str, ...]
    flags: tuple[tuple[str, str], ...] = ()
    mandatory: tuple[str, ...] = ()
    key: str = "name"
    defaults: Mapping[str, Plain] = field(default_factory=dict)
    secret: frozenset[str] = frozenset()
    numbers: frozenset[str] = frozenset()
    derived: Callable[[Mapping[str, Plain]], Mapping[str, Plain]] = lambda row: row
    """Fills in what follows from the rest of a row. Raises ConsoleError for a row that cannot be."""


class RowsMenu(ListMenu[Record]):
    """A list that is read from elsewhere each time."""

    def __init__(
        self,
        path: str,
        *,
        before: Mutation,
        layout: Layout,
        rows: Callable[[], Iterable[Mapping[str, Value]]] = tuple,
        flags: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(path, before=before)
        self.layout = layout
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


class KeptMenu(RowsMenu):
    """A list of kept rows: `add`, `set`, `remove`, `enable`, `disable`, `unset`."""

    shows_comments = True

    def __init__(self, path: str, *, before: Mutation, records: Records, kind: Kind) -> None:
        hidden = kind.secret | {name for _, name in kind.flags}
        layout = Layout(
            columns=kind.columns, flag_columns=tuple((flag,) for flag in kind.flags), hidden=frozenset(hidden)
        )
        super().__init__(path, before=before, layout=layout, flags=kind.flags)
        self.key = kind.key
        self._kind = kind
        self._records = records

    def items(self) -> Iterable[Record]:
        return [(number, self._values(row)) for number, row in self._records.rows(self.path).items()]

    def by_number(self, number: int) -> Record | None:
        row = self._records.rows(self.path).get(number)
        return None if row is None else (number, self._values(row))

    def property_names(self, item: Record) -> Iterable[str]:
        columns = self._kind.columns
        rest = [name for name in item[1] if name not in columns and name not in self._kind.secret]
        return [*(name for name in columns if name in item[1]), *rest]

    def known_names(self, item: Record) -> Iterable[str]:
        return {*self.property_names(item), *self._kind.columns, *self._kind.defaults, "comment"}

    def property(self, item: Record, name: str) -> Value:
        value = item[1].get(name, NOTHING)
        return NOTHING if name == "comment" and value == "" else value

    def do_add(self, request: Request) -> Value:
        missing = [name for name in self._kind.mandatory if name not in request.arguments]
        if missing:
            raise ConsoleError(texts.MISSING_VALUES(names=" ".join(missing)))
        given = {name: value for name, value in request.arguments.items() if name != "copy-from"}
        row = self._kind.derived({**self._kind.defaults, **self._plain(given)})
        self._check_name(row, None)
        self.before(request.path, request.arguments)
        return Id(self._records.add(self.path, row))

    def change(self, item: Record, arguments: Mapping[str, Value], request: Request) -> None:
        row = self._records.rows(self.path).get(item[0])
        if row is None:
            raise ConsoleError(texts.NO_SUCH_ITEM())
        changed = self._kind.derived({**row, **self._plain(arguments)})
        self._check_name(changed, item[0])
        self._records.put(self.path, item[0], changed)

    def discard(self, item: Record, request: Request) -> None:
        if item[0] not in self._records.rows(self.path):
            raise ConsoleError(texts.NO_SUCH_ITEM())
        self._records.put(self.path, item[0], None)

    def do_unset(self, request: Request) -> Value:
        name = text_of(request.arguments.get("value-name", ""))
        for item in self.required(request):
            self.before(request.path, request.arguments)
            row = {key: value for key, value in self._records.rows(self.path)[item[0]].items() if key != name}
            self._records.put(self.path, item[0], {**self._kind.defaults, **row})
        return NOTHING

    def _check_name(self, row: Mapping[str, Plain], number: int | None) -> None:
        key = self._kind.key
        for other, existing in self._records.rows(self.path).items():
            if key and other != number and existing.get(key) == row.get(key):
                raise ConsoleError(texts.DUPLICATE_ENTRY())

    def _values(self, row: Mapping[str, Plain]) -> dict[str, Value]:
        whole = {**self._kind.defaults, **row}
        return {name: value for name, value in whole.items() if isinstance(value, str | bool | int)}

    def _plain(self, given: Mapping[str, Value]) -> dict[str, Plain]:
        found: dict[str, Plain] = {}
        for name, value in given.items():
            if name in _BOOLEANS:
                found[name] = arguments.boolean(name, value)
            elif name in self._kind.numbers:
                found[name] = arguments.number(name, value, 1, 65535)
            else:
                found[name] = text_of(value)
        return found


def network_of(row: Mapping[str, Plain]) -> Mapping[str, Plain]:
    """The network of an address, as `/ip/address` shows it."""
    found = literals.literal(str(row.get("address", "")))
    network = getattr(found, "network_address", None)
    if network is None:
        raise ConsoleError(texts.BAD_VALUE(name="address"))
    return {**row, "network": str(row.get("network") or network)}
