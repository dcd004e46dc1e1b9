"""`/system/package`: what is installed, with a change of state that waits for the next boot."""

from __future__ import annotations

from collections.abc import Iterable

from rdscsi.simulator import texts
from rdscsi.simulator.console.evaluator import Request
from rdscsi.simulator.console.failures import ConsoleError
from rdscsi.simulator.console.values import NOTHING, Value
from rdscsi.simulator.menus.menu import ListMenu, Mutation
from rdscsi.simulator.menus.shown import Layout
from rdscsi.simulator.options import ApplianceOptions, Package
from rdscsi.simulator.storage.store import Store

Row = tuple[int, Package]
_SCHEDULED = "scheduled-packages"


class PackageMenu(ListMenu[Row]):
    """The menu over the packages of the options."""

    layout = Layout(
        columns=("name", "version", "scheduled", "build-time", "size"),
        flag_columns=((("X", "disabled"),), (("A", "available"),)),
        forms={"size": "binary"},
        unquoted=frozenset({"build-time"}),
        hidden=frozenset({"disabled", "available"}),
        widths={"name": 14, "version": 10, "scheduled": 29},
    )

    def __init__(self, path: str, *, store: Store, options: ApplianceOptions, before: Mutation) -> None:
        super().__init__(path, before=before)
        self._store = store
        self._packages = options.packages or default_packages(options)

    def items(self) -> Iterable[Row]:
        return list(enumerate(self._packages, start=1))

    def number(self, item: Row) -> int:
        return item[0]

    def by_number(self, number: int) -> Row | None:
        return (number, self._packages[number - 1]) if 0 < number <= len(self._packages) else None

    def property_names(self, item: Row) -> Iterable[str]:
        return ("name", "version", "scheduled", "build-time", "size", "disabled", "available")

    def property(self, item: Row, name: str) -> Value:
        package = item[1]
        values: dict[str, Value] = {
            "name": package.name,
            "version": package.version,
            "scheduled": self._scheduled().get(package.name, ""),
            "build-time": package.build_time,
            "size": package.size,
            "disabled": package.disabled,
            "available": package.available,
        }
        return values.get(name, NOTHING)

    def flags(self, item: Row) -> str:
        return ("X" if item[1].disabled else "") + ("A" if item[1].available else "")

    def _scheduled(self) -> dict[str, str]:
        kept = self._store.single(_SCHEDULED)
        return {name: str(text) for name, text in kept.items()} if isinstance(kept, dict) else {}

    def _schedule(self, request: Request, text: str) -> Value:
        """Noted only: which packages a simulated appliance has is said by its options."""
        for item in self.required(request):
            self.before(request.path, request.arguments)
            noted = {name: found for name, found in self._scheduled().items() if name != item[1].name}
            self._store.set_single(_SCHEDULED, {**noted, **({item[1].name: text} if text else {})})
        return NOTHING

    def do_disable(self, request: Request) -> Value:
        return self._schedule(request, "scheduled for disable")

    def do_enable(self, request: Request) -> Value:
        return self._schedule(request, "scheduled for enable")

    def do_uninstall(self, request: Request) -> Value:
        return self._schedule(request, "scheduled for uninstall")

    def do_unschedule(self, request: Request) -> Value:
        return self._schedule(request, "")

    def do_downgrade(self, request: Request) -> Value:
        raise ConsoleError(texts.NOT_SIMULATED(path=request.path))


def default_packages(options: ApplianceOptions) -> tuple[Package, ...]:
    """The system and, where it is installed, the package that the storage menus come with."""
    names = ("routeros", "rose-storage") if options.rose_storage else ("routeros",)
    return tuple(Package(name, options.version, options.board.build_time, 12_000_000) for name in names)
