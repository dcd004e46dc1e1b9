"""The parsed line: frozen nodes. `Script` holds statements; every statement is an expression or a command.

Made by `parser`, run by `evaluator`, shown by `parsed_text` (what `:parse` prints).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rdscsi.simulator.console.values import Value


@dataclass(frozen=True, slots=True)
class Literal:
    value: Value


@dataclass(frozen=True, slots=True)
class Slot:
    """A literal that differs between lines parsed alike: the `index`-th of the line. `typed`: read as a literal is."""

    index: int
    typed: bool


@dataclass(frozen=True, slots=True)
class Variable:
    name: str


@dataclass(frozen=True, slots=True)
class Property:
    """A bare word inside `where`: a property of the item that is looked at."""

    name: str


@dataclass(frozen=True, slots=True)
class Interpolated:
    """A quoted string with `$…` in it; the parts are joined as by the `.` operator."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Unary:
    operator: str
    operand: Expression


@dataclass(frozen=True, slots=True)
class Binary:
    operator: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class ArrayLiteral:
    """`{…}` as a value; a member has a key or not."""

    members: tuple[tuple[str | None, Expression], ...]


@dataclass(frozen=True, slots=True)
class Substitution:
    """`[…]`: runs the script, its value is that of the last command."""

    script: Script


@dataclass(frozen=True, slots=True)
class Defer:
    """`>[…]`: keeps the code as a value of type `op`."""

    operand: Expression
    text: str


@dataclass(frozen=True, slots=True)
class Block:
    """`{…}` as code."""

    script: Script
    text: str


Expression = (
    Literal | Slot | Variable | Property | Interpolated | Unary | Binary | ArrayLiteral | Substitution | Defer | Block
)


def spine(node: Binary) -> tuple[Expression, list[Binary]]:
    """The innermost left operand and the operators over it, innermost first: `a . b . c` nests to the left without end,
    and nobody who walks it may recurse that way."""
    operators = [node]
    while isinstance(node.left, Binary):
        node = node.left
        operators.append(node)
    operators.reverse()
    return operators[0].left, operators


@dataclass(frozen=True, slots=True)
class GlobalCall:
    """A command of the language itself: `:put`, `:local`, `:if` …"""

    name: str
    arguments: dict[str, Expression]
    line: int


@dataclass(frozen=True, slots=True)
class MenuCall:
    """A command of a menu: `/disk/add type=file …`. `menu` is the full path, `flags` are words without a value."""

    menu: str
    command: str
    arguments: dict[str, Expression]
    flags: frozenset[str]
    where: Expression | None
    line: int
    equalities: tuple[tuple[str, Expression], ...] = ()
    """Properties that must equal a literal or a variable for any match of `where`."""

    @property
    def path(self) -> str:
        return f"{self.menu}/{self.command}"


@dataclass(frozen=True, slots=True)
class FunctionCall:
    """`$f 1 2 a=3`."""

    function: Expression
    text: str
    positional: tuple[Expression, ...]
    named: dict[str, Expression]


@dataclass(frozen=True, slots=True)
class Evaluate:
    """An expression as a statement: `(1 + 2)`, `[…]`."""

    expression: Expression


@dataclass(frozen=True, slots=True)
class Complaint:
    """A part that the tree of menus does not know; on a console line it is a parse error, `:parse` shows it."""

    reason: str
    line: int
    column: int
    path: str = ""
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MenuSwitch:
    """A bare path: changes the menu for what follows in the same block. Nothing to run."""

    path: str


Statement = GlobalCall | MenuCall | FunctionCall | Evaluate | Block | Complaint | MenuSwitch


@dataclass(frozen=True, slots=True)
class Script:
    statements: tuple[Statement, ...]
    complaints: tuple[Complaint, ...] = field(default=())
