"""The common part of menus: lists of items with `find get print remove set enable disable`, and single-value menus.

A menu says what its items and their properties are; what `print` looks like is in `printing`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import Generic, Protocol, TypeVar

from rdscsi.simulator import texts
from rdscsi.simulator.console import literals
from rdscsi.simulator.console.evaluator import Request
from rdscsi.simulator.console.failures import ConsoleError
from rdscsi.simulator.console.syntax import Binary, Expression, MenuCall, Property, Substitution
from rdscsi.simulator.console.text import text_of
from rdscsi.simulator.console.values import NOTHING, Absent, Array, Id, Value
from rdscsi.simulator.menus import printing
from rdscsi.simulator.menus.shown import Layout

Item = TypeVar("Item")


def looks_for_id(node: Expression) -> bool:
    """Whether an argument is written `[find .id=…]`."""
    if not isinstance(node, Substitution) or len(node.script.statements) != 1:
        return False
    found = node.script.statements[0]
    if not isinstance(found, MenuCall) or not isinstance(found.where, Binary):
        return False
    return found.where.operator == "=" and found.where.left == Property(".id")


class Mutation(Protocol):
    """Told before each statement that changes something; may raise to cut the line there."""

    def __call__(self, path: str, arguments: Mapping[str, Value]) -> None: ...


class ListMenu(ABC, Generic[Item]):
    """A menu of items that have numbers (`.id`) and properties."""

    layout: Layout
    key = "name"  # the property by which a bare word names an item
    shows_comments = False  # `print` shows comments above the items

    def __init__(self, path: str, *, before: Mutation) -> None:
        self.path = path
        self.before = before

    # -- what a menu provides --------------------------------------------------------------------------------------

    @abstractmethod
    def items(self) -> Iterable[Item]:
        """All items in order."""

    @abstractmethod
    def number(self, item: Item) -> int:
        """The number behind `.id`."""

    @abstractmethod
    def by_number(self, number: int) -> Item | None:
        """The item with that `.id`."""

    @abstractmethod
    def property(self, item: Item, name: str) -> Value:
        """One property; NOTHING when it is not set or does not exist."""

    @abstractmethod
    def property_names(self, item: Item) -> Iterable[str]:
        """The names of all properties, in the order of `print detail`."""

    def flags(self, item: Item) -> str:
        """The letters in front of an item in `print`."""
        return ""

    def indexed(self, equalities: Mapping[str, str]) -> Iterable[Item] | None:
        """The few items that can match, when an index knows; None means all must be asked."""
        return None

    # -- commands --------------------------------------------------------------------------------------------------

    def call(self, request: Request) -> Value:
        command = getattr(self, "do_" + request.command.replace("-", "_"), None)
        if command is None:
            raise ConsoleError(texts.NOT_SIMULATED(path=request.path))
        value: Value = command(request)
        return value

    def selected(self, request: Request) -> Iterator[Item]:
        """The items that `where` lets through."""
        condition = request.condition
        if condition is None:
            yield from self.items()
            return
        hinted = self.indexed(condition.equalities())
        for item in self.items() if hinted is None else hinted:
            if condition.matches(lambda name, item=item: self.read(item, name)):  # type: ignore[misc]
                yield item

    def read(self, item: Item, name: str) -> Value:
        return Id(self.number(item)) if name == ".id" else self.property(item, name)

    def do_find(self, request: Request) -> Value:
        return Array([Id(self.number(item)) for item in self.selected(request)])

    def do_get(self, request: Request) -> Value:
        if "number" not in request.arguments:
            raise ConsoleError(texts.MISSING_VALUES(names="number"))
        found = self.resolve(request.arguments["number"])
        if not found:
            raise ConsoleError(texts.NO_SUCH_ITEM())
        if "value-name" not in request.arguments:
            return self.record(found[0])
        return self.value_named(found[0], text_of(request.arguments["value-name"]))

    def value_named(self, item: Item, name: str) -> Value:
        value = self.read(item, name)
        if value is NOTHING and name not in self.known_names(item):
            raise ConsoleError(texts.NO_MATCH_OF_VALUE(name="value-name"))
        return value

    def known_names(self, item: Item) -> Iterable[str]:
        """Names that `get` accepts although nothing may be set."""
        return self.property_names(item)

    def record(self, item: Item, names: Iterable[str] | None = None) -> Array:
        """An item as `get` and `as-value` show it: what is set, raw."""
        found: dict[str, Value] = {".id": Id(self.number(item))}
        for name in self.property_names(item) if names is None else names:
            value = self.read(item, name)
            if not isinstance(value, Absent):
                found[name] = value
        return Array((), found)

    def do_print(self, request: Request) -> Value:
        return printing.print_items(self, request)

    def do_comment(self, request: Request) -> Value:
        return self.do_set(request)

    def do_set(self, request: Request) -> Value:
        for item in self.required(request):
            self.before(request.path, request.arguments)
            self.change(item, {name: value for name, value in request.arguments.items() if name != "numbers"}, request)
        return NOTHING

    def change(self, item: Item, arguments: Mapping[str, Value], request: Request) -> None:
        raise ConsoleError(texts.NOT_SIMULATED(path=request.path))

    def do_enable(self, request: Request) -> Value:
        return self._switch(request, disabled=False)

    def do_disable(self, request: Request) -> Value:
        return self._switch(request, disabled=True)

    def _switch(self, request: Request, *, disabled: bool) -> Value:
        for item in self.required(request):
            self.before(request.path, request.arguments)
            self.change(item, {"disabled": disabled}, request)
        return NOTHING

    def do_remove(self, request: Request) -> Value:
        for item in self.required(request):
            self.before(request.path, request.arguments)
            self.discard(item, request)
        return NOTHING

    def discard(self, item: Item, request: Request) -> None:
        raise ConsoleError(texts.NOT_SIMULATED(path=request.path))

    # -- naming items ----------------------------------------------------------------------------------------------

    def required(self, request: Request) -> list[Item]:
        """The items that `numbers` names. None at all is no error when they came from an empty `find` (§4.2), unless
        it looked for an `.id` (§13.1.6)."""
        if "numbers" not in request.arguments:
            raise ConsoleError(texts.MISSING_VALUES(names="numbers"))
        found = self.resolve(request.arguments["numbers"])
        if not found and looks_for_id(request.nodes["numbers"]):
            raise ConsoleError(texts.EXPECTED_ITEM_ID())
        if not found and not request.interpreter.manners.empty_find_is_silent:
            raise ConsoleError(texts.NO_SUCH_ITEM())
        return found

    def resolve(self, value: Value) -> list[Item]:
        """Items by `.id`, by name, or by a list of either. Raises ConsoleError for what is not there."""
        if isinstance(value, Absent):
            return []
        if isinstance(value, Array):
            return [item for member in value.values() for item in self.resolve(member)]
        if isinstance(value, str) and "," in value and self.by_name(value) is None:
            return [item for part in value.split(",") for item in self.resolve(part)]
        found = self._one(value)
        if found is None:
            raise ConsoleError(texts.NO_SUCH_ITEM())
        return [found]

    def _one(self, value: Value) -> Item | None:
        if isinstance(value, Id):
            return self.by_number(value.number)
        name = text_of(value)
        found = self.by_name(name)
        if found is None and name.startswith("*"):
            number = literals.literal(name)
            found = self.by_number(number.number) if isinstance(number, Id) else None
        return found

    def by_name(self, name: str) -> Item | None:
        """The item that a bare word names."""
        hinted = self.indexed({self.key: name})
        return next(
            (item for item in (self.items() if hinted is None else hinted) if self.property(item, self.key) == name),
            None,
        )


class SingleMenu(ABC):
    """A menu of settings or readings without items: `get`, `print`, `set`."""

    layout = Layout(columns=())

    def __init__(self, path: str, *, before: Mutation) -> None:
        self.path = path
        self.before = before

    @abstractmethod
    def values(self) -> dict[str, Value]:
        """All values in the order of `print`."""

    def call(self, request: Request) -> Value:
        command = getattr(self, "do_" + request.command.replace("-", "_"), None)
        if command is None:
            raise ConsoleError(texts.NOT_SIMULATED(path=request.path))
        value: Value = command(request)
        return value

    def one(self, name: str) -> Value | None:
        """One value without the others, where that is quicker; None says to look among all."""
        return None

    def do_get(self, request: Request) -> Value:
        if "value-name" not in request.arguments:
            return Array((), self.values())
        name = text_of(request.arguments["value-name"])
        if (value := self.one(name)) is not None:
            return value
        values = self.values()
        if name not in values:
            raise ConsoleError(texts.NO_MATCH_OF_VALUE(name="value-name"))
        return values[name]

    def do_print(self, request: Request) -> Value:
        values = self.values()
        if "as-value" in request.flags:
            array = Array((), values)
            return array if request.wanted else printing.write_raw(request, array)
        request.interpreter.write(printing.single(values, self.layout))
        return NOTHING

    def do_set(self, request: Request) -> Value:
        self.before(request.path, request.arguments)
        self.change(request.arguments)
        return NOTHING

    def change(self, arguments: Mapping[str, Value]) -> None:
        raise ConsoleError(texts.NOT_SIMULATED(path=f"{self.path}/set"))
