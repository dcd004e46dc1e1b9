"""Runs parsed lines: expressions here, the language's commands in `flow` and `functions`, menus through `Device`.

Synchronous on purpose: a line is one thread's work from its first statement to its last; who wants pauses in the
middle puts them into the device (`:delay`, hooks before a mutation).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from rdscsi.simulator import texts
from rdscsi.simulator.console import flow, functions, operators
from rdscsi.simulator.console.failures import ConsoleError, ReturnSignal
from rdscsi.simulator.console.grammar import Grammar
from rdscsi.simulator.console.literals import literal
from rdscsi.simulator.console.scope import Scope
from rdscsi.simulator.console.syntax import (
    ArrayLiteral,
    Binary,
    Block,
    Defer,
    Evaluate,
    Expression,
    FunctionCall,
    GlobalCall,
    Interpolated,
    Literal,
    MenuCall,
    Property,
    Script,
    Slot,
    Statement,
    Substitution,
    Unary,
    Variable,
    spine,
)
from rdscsi.simulator.console.values import NOTHING, Array, Deferred, Function, Value

Getter = Callable[[str], Value]


class Device(Protocol):
    """The appliance behind the menus."""

    def call(self, request: Request) -> Value:
        """Run one command of a menu. Raises ConsoleError."""

    @property
    def random(self) -> random.Random:
        """Where `:rndnum` and `:rndstr` draw from."""

    def now(self) -> float:
        """Seconds since the epoch."""

    def pause(self, seconds: float) -> None:
        """`:delay`."""


@dataclass(slots=True, eq=False)
class Condition:
    """A `where` clause that can be asked about items."""

    expression: Expression
    hints: tuple[tuple[str, Expression], ...]
    interpreter: Interpreter
    scope: Scope

    def matches(self, item: Getter) -> bool:
        return self.interpreter.condition_of(self.expression, self.scope, item)

    def equalities(self) -> dict[str, str]:
        """Properties that must equal a known text for any match: a hint by which a menu may use an index."""
        values = {name: self.interpreter.value(node, self.scope) for name, node in self.hints}
        return {name: value for name, value in values.items() if isinstance(value, str)}


@dataclass(slots=True, eq=False)
class Request:
    """One menu command with its arguments evaluated."""

    menu: str
    command: str
    arguments: Mapping[str, Value]
    flags: frozenset[str]
    condition: Condition | None
    line: int
    wanted: bool  # inside [...]: the value is wanted, so nothing is printed
    interpreter: Interpreter
    nodes: Mapping[str, Expression]  # the arguments as they were written

    @property
    def path(self) -> str:
        return f"{self.menu}/{self.command}"


@dataclass(frozen=True, slots=True)
class Manners:
    """How a console behaves where versions or switches differ. `options.Behaviour` says what each means."""

    max_steps: int = 1_000_000
    suffixes: bool = True
    width: int = 80
    empty_find_is_silent: bool = True
    short_circuit: bool = False
    raw_as_value: bool = True


class Interpreter:
    """One console session's evaluator."""

    def __init__(
        self,
        *,
        device: Device,
        grammar: Grammar,
        write: Callable[[str], None],
        environment: dict[str, Value],
        manners: Manners,
        literals: tuple[str, ...] = (),
    ) -> None:
        self.device = device
        self.grammar = grammar
        self.write = write
        self.environment = environment
        self.manners = manners
        self._steps = manners.max_steps
        self._depth = 0
        self._item: Getter | None = None
        self.literals = literals
        self._evaluators: dict[type, Callable[..., Value]] = {
            Literal: self._literal,
            Slot: self._slot,
            Variable: self._variable,
            Property: self._property,
            Interpolated: self._interpolated,
            Unary: self._unary,
            Binary: self._binary,
            ArrayLiteral: self._array,
            Substitution: self._substitution,
            Defer: self._defer,
            Block: self._block,
        }

    def beside(self, write: Callable[[str], None]) -> Interpreter:
        """Another interpreter on the same device and globals, with what is left of this line's steps."""
        return Interpreter(
            device=self.device,
            grammar=self.grammar,
            write=write,
            environment=self.environment,
            manners=replace(self.manners, max_steps=max(self._steps, 0)),
        )

    # -- statements ------------------------------------------------------------------------------------------------

    def run(self, script: Script, scope: Scope, *, wanted: bool = False) -> Value:
        """Run the statements; the value is the last one's."""
        value: Value = NOTHING
        last = len(script.statements) - 1
        for index, statement in enumerate(script.statements):
            value = self._statement(statement, scope, wanted and index == last)
        return value

    def _statement(self, statement: Statement, scope: Scope, wanted: bool) -> Value:
        self.tick()
        if isinstance(statement, GlobalCall):
            return self._global(statement, scope)
        if isinstance(statement, MenuCall):
            return self._menu(statement, scope, wanted)
        if isinstance(statement, FunctionCall):
            return self._function(statement, scope)
        if isinstance(statement, Evaluate):
            return self.value(statement.expression, scope)
        if isinstance(statement, Block):
            return self.run(statement.script, scope.inner(), wanted=wanted)
        return NOTHING

    def tick(self) -> None:
        """Count one step; a line that would never end is interrupted (a bound of the simulator's own)."""
        self._steps -= 1
        if self._steps < 0:
            raise ConsoleError(texts.INTERRUPTED())

    def _global(self, statement: GlobalCall, scope: Scope) -> Value:
        control = flow.COMMANDS.get(statement.name)
        if control is not None:
            return control(self, statement, scope)
        arguments = {name: self.value(node, scope) for name, node in statement.arguments.items()}
        try:
            return functions.COMMANDS[statement.name](self, arguments)
        except ConsoleError as error:
            raise self._located(error, f":{statement.name}", statement.line) from error

    def _menu(self, statement: MenuCall, scope: Scope, wanted: bool) -> Value:
        arguments = {name: self.value(node, scope) for name, node in statement.arguments.items()}
        where = statement.where
        condition = None if where is None else Condition(where, statement.equalities, self, scope)
        request = Request(
            menu=statement.menu,
            command=statement.command,
            arguments=arguments,
            flags=statement.flags,
            condition=condition,
            line=statement.line,
            wanted=wanted,
            interpreter=self,
            nodes=statement.arguments,
        )
        try:
            return self.device.call(request)
        except ConsoleError as error:
            raise self._located(error, statement.path, statement.line) from error

    def _located(self, error: ConsoleError, path: str, line: int) -> ConsoleError:
        if error.origin or not self.manners.suffixes:
            return error
        return ConsoleError(f"{error.message} ({path}; line {line})", origin=path)

    def _function(self, statement: FunctionCall, scope: Scope) -> Value:
        function = self.value(statement.function, scope)
        positional = [self.value(node, scope) for node in statement.positional]
        named = {name: self.value(node, scope) for name, node in statement.named.items()}
        if isinstance(function, Deferred):
            return self.value(function.expression, scope)
        if not isinstance(function, Function):
            if positional or named:
                raise ConsoleError(texts.NO_FUNCTION())
            return function
        arguments: dict[str, Value] = {"0": statement.text}
        arguments.update({str(index + 1): value for index, value in enumerate(positional)})
        return self.call(function, scope, {**arguments, **named})

    def call(self, function: Function, scope: Scope, arguments: Mapping[str, Value]) -> Value:
        """Run a function in a scope of its own."""
        with self._deeper():
            try:
                self.run(function.body, scope.function(arguments))
            except ReturnSignal as signal:
                return signal.value
        return NOTHING

    def _deeper(self) -> _Depth:
        return _Depth(self)

    # -- expressions -----------------------------------------------------------------------------------------------

    def value(self, node: Expression, scope: Scope) -> Value:
        """The value of an expression."""
        return self._evaluators[type(node)](node, scope)

    def condition_of(self, node: Expression, scope: Scope, item: Getter) -> bool:
        """Whether the condition holds for the item."""
        outer, self._item = self._item, item
        try:
            return operators.condition(self.value(node, scope), of_item=True)
        finally:
            self._item = outer

    def _literal(self, node: Literal, _scope: Scope) -> Value:
        return node.value

    def _slot(self, node: Slot, _scope: Scope) -> Value:
        written = self.literals[node.index]
        if node.typed:
            return literal(written)
        return written[1:-1] if written[0] == '"' else written

    def _variable(self, node: Variable, scope: Scope) -> Value:
        return scope.get(node.name)

    def _property(self, node: Property, _scope: Scope) -> Value:
        return self._item(node.name) if self._item is not None else NOTHING

    def _interpolated(self, node: Interpolated, scope: Scope) -> Value:
        value: Value = ""
        for part in node.parts:
            value = operators.binary(".", value, self.value(part, scope))
        return value

    def _unary(self, node: Unary, scope: Scope) -> Value:
        return operators.unary(node.operator, self.value(node.operand, scope))

    def _binary(self, node: Binary, scope: Scope) -> Value:
        if isinstance(node.left, Binary):
            first, chain = spine(node)
            value = self.value(first, scope)
            for each in chain:
                value = self._applied(each, value, scope)
            return value
        return self._applied(node, self.value(node.left, scope), scope)

    def _applied(self, node: Binary, left: Value, scope: Scope) -> Value:
        if self.manners.short_circuit and node.operator in ("and", "or"):
            decided = operators.condition(left, of_item=True)
            if decided is (node.operator == "or"):
                return decided
        return operators.binary(node.operator, left, self.value(node.right, scope))

    def _array(self, node: ArrayLiteral, scope: Scope) -> Value:
        items = [self.value(member, scope) for key, member in node.members if key is None]
        keyed = {key: self.value(member, scope) for key, member in node.members if key is not None}
        return Array(items, keyed)

    def _substitution(self, node: Substitution, scope: Scope) -> Value:
        try:
            return self.run(node.script, scope, wanted=True)
        except ReturnSignal as signal:
            return signal.value

    def _defer(self, node: Defer, _scope: Scope) -> Value:
        return Deferred(node.operand, node.text)

    def _block(self, node: Block, _scope: Scope) -> Value:
        return Function(node.script, node.text)


class _Depth:
    """Counts nested calls; too many are an error instead of an exhausted stack."""

    _LIMIT = 40

    def __init__(self, interpreter: Interpreter) -> None:
        self._interpreter = interpreter

    def __enter__(self) -> None:
        self._interpreter._depth += 1
        if self._interpreter._depth > self._LIMIT:
            self._interpreter._depth -= 1
            raise ConsoleError(texts.INTERRUPTED())

    def __exit__(self, *_exc: object) -> None:
        self._interpreter._depth -= 1
