"""What the operators do: arithmetic that wraps at 64 bits, comparisons with their conversions, logic, arrays.

`and` and `or` do not short-circuit: the evaluator computes both sides before it comes here (routeros.md §4.2).
"""

import operator as py
import re
from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

from rdscsi.simulator import texts
from rdscsi.simulator.console import literals
from rdscsi.simulator.console.failures import ConsoleError
from rdscsi.simulator.console.text import concatenated, text_of
from rdscsi.simulator.console.values import NOTHING, Absent, Array, Time, Value, type_name, wrapped

MAX_TEXT = 1 << 20
MAX_MEMBERS = 1 << 16


def _refuse(operator: str, left: Value, right: Value) -> ConsoleError:
    return ConsoleError(texts.BAD_OPERANDS(operator=operator, left=type_name(left), right=type_name(right)))


def as_number(value: Value) -> int | None:
    """A number where arithmetic wants one: absent values count as 0, numeric strings convert (captured, 7.21+)."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, Absent):
        return 0
    return literals.number(value) if isinstance(value, str) else None


def _divide(left: int, right: int) -> int:
    if right == 0:
        raise ConsoleError(texts.DIVISION_BY_ZERO())
    quotient = abs(left) // abs(right)
    return quotient if (left < 0) == (right < 0) else -quotient


def _remainder(left: int, right: int) -> int:
    return left - _divide(left, right) * right


def _shift_left(left: int, right: int) -> int:
    return left << (right & 63)


def _shift_right(left: int, right: int) -> int:
    return left >> (right & 63)


_ARITHMETIC: dict[str, Callable[[int, int], int]] = {
    "+": py.add,
    "-": py.sub,
    "*": py.mul,
    "/": _divide,
    "%": _remainder,
    "&": py.and_,
    "|": py.or_,
    "^": py.xor,
    "<<": _shift_left,
    ">>": _shift_right,
}
_ORDER: dict[str, Callable[[Any, Any], bool]] = {"<": py.lt, ">": py.gt, "<=": py.le, ">=": py.ge}


def binary(operator: str, left: Value, right: Value) -> Value:
    """The value of `left operator right`."""
    if operator == "=":
        return equal(left, right)
    if operator == "!=":
        return not equal(left, right)
    if operator == ".":
        return _bounded(concatenated(left, right))
    if operator in _ORDER:
        return _ordered(operator, left, right)
    if operator == "~":
        return _matches(left, right)
    if operator == "->":
        return left.member(right) if isinstance(left, Array) else NOTHING
    if operator == ",":
        return _joined(left, right)
    if operator in ("and", "or"):
        return _logic(operator, left, right)
    if operator == "in":
        return _contained(left, right)
    return _arithmetic(operator, left, right)


def _bounded(value: Value) -> Value:
    if isinstance(value, str) and len(value) > MAX_TEXT:
        raise ConsoleError(texts.TOO_BIG())
    if isinstance(value, Array) and sum(len(text_of(item)) for item in value.values()) > MAX_TEXT:
        raise ConsoleError(texts.TOO_BIG())
    return value


def equal(left: Value, right: Value) -> bool:
    """`=`: a string compares as text with anything; absent equals only absent (`where comment=""` matches nothing)."""
    if isinstance(left, Absent) or isinstance(right, Absent):
        return isinstance(left, Absent) and isinstance(right, Absent)
    if isinstance(left, str) or isinstance(right, str):
        return text_of(left) == text_of(right)
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    return left == right


def _ordered(operator: str, left: Value, right: Value) -> bool:
    if isinstance(left, Absent) or isinstance(right, Absent):
        return False
    if isinstance(left, str) and isinstance(right, str):
        return _ORDER[operator](left, right)
    numbers = as_number(left), as_number(right)
    if numbers[0] is not None and numbers[1] is not None:
        return _ORDER[operator](*numbers)
    if type(left) is type(right) and isinstance(left, Time | IPv4Address | IPv6Address):
        return _ORDER[operator](left, right)
    raise ConsoleError(texts.NOT_COMPARABLE(left=type_name(left), right=type_name(right)))


_CLASSES = re.compile(r"\[:(\w+):\]|[\[&~|-](?=[\[&~|-])|\[")
_BRACKETS = re.compile(r"\\.|\[\^?\]?(?:\[:\w+:\]|\\.|[^\]\\])*\]", re.DOTALL)
_POSIX = {"alpha": "A-Za-z", "digit": "0-9", "alnum": "A-Za-z0-9", "upper": "A-Z", "lower": "a-z", "space": r"\s",
          "xdigit": "0-9A-Fa-f", "blank": r" \t", "punct": r"!-/:-@\[-`{-~"}  # fmt: skip


def _bracket(match: re.Match[str]) -> str:
    """A bracket expression of POSIX in Python's form: named classes, and brackets inside that mean themselves."""
    text = match[0]
    if text[0] == "\\":
        return text
    inside = _CLASSES.sub(lambda found: _POSIX.get(found[1] or "", "\\" + found[0]), text[1:-1])
    return f"[{inside}]"


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(_BRACKETS.sub(_bracket, pattern))
    except (re.error, RecursionError, OverflowError) as error:
        raise ConsoleError(texts.BAD_REGEX()) from error


def _matches(left: Value, right: Value) -> bool:
    if isinstance(left, Absent):
        return False
    pattern = text_of(right)
    if len(pattern) > 512:
        raise ConsoleError(texts.BAD_REGEX())
    return _compiled(pattern).search(text_of(left)[:4096]) is not None


def _joined(left: Value, right: Value) -> Value:
    items: list[Value] = []
    keyed: dict[str, Value] = {}
    for side in (left, right):
        items.extend(side.items if isinstance(side, Array) else (side,))
        keyed.update(side.keyed if isinstance(side, Array) else {})
    if len(items) > MAX_MEMBERS:
        raise ConsoleError(texts.TOO_BIG())
    return Array(items, keyed)


def condition(value: Value, *, of_item: bool = False) -> bool:
    """A value where true or false is wanted. In `where` a bare property means that it is set."""
    if isinstance(value, bool):
        return value
    if isinstance(value, Absent):
        return False
    if of_item:
        return value != ""
    raise ConsoleError(texts.BAD_CONDITION())


def _logic(operator: str, left: Value, right: Value) -> bool:
    sides = condition(left, of_item=True), condition(right, of_item=True)
    return all(sides) if operator == "and" else any(sides)


def _contained(left: Value, right: Value) -> bool:
    if isinstance(left, IPv4Address) and isinstance(right, IPv4Network):
        return left in right
    if isinstance(left, IPv6Address) and isinstance(right, IPv6Network):
        return left in right
    if isinstance(left, IPv4Network) and isinstance(right, IPv4Network):
        return left.subnet_of(right)
    return False


def _arithmetic(operator: str, left: Value, right: Value) -> Value:
    if isinstance(left, Time) or isinstance(right, Time):
        return _time_arithmetic(operator, left, right)
    if isinstance(left, IPv4Address) or isinstance(right, IPv4Address):
        return _address_arithmetic(operator, left, right)
    numbers = as_number(left), as_number(right)
    if numbers[0] is None or numbers[1] is None or operator not in _ARITHMETIC:
        raise _refuse(operator, left, right)
    return wrapped(_ARITHMETIC[operator](numbers[0], numbers[1]))


def _time_arithmetic(operator: str, left: Value, right: Value) -> Value:
    if isinstance(left, Time) and isinstance(right, Time):
        if operator in ("+", "-"):
            return Time(wrapped(_ARITHMETIC[operator](left.nanoseconds, right.nanoseconds)))
        raise _refuse(operator, left, right)
    if isinstance(left, Absent) and isinstance(right, Time) and operator in ("+", "-"):
        return _time_arithmetic(operator, Time(0), right)
    number = as_number(right) if isinstance(left, Time) else as_number(left)
    if number is None or operator not in ("*", "/") or (operator == "/" and not isinstance(left, Time)):
        raise _refuse(operator, left, right)
    nanoseconds = left.nanoseconds if isinstance(left, Time) else right.nanoseconds if isinstance(right, Time) else 0
    return Time(wrapped(_ARITHMETIC[operator](nanoseconds, number)))


def _address_arithmetic(operator: str, left: Value, right: Value) -> Value:
    ours = int(left) if isinstance(left, IPv4Address) else as_number(left)
    other = int(right) if isinstance(right, IPv4Address) else as_number(right)
    if ours is None or other is None or operator not in ("+", "-", "&", "|", "^"):
        raise _refuse(operator, left, right)
    result = _ARITHMETIC[operator](ours, other)
    if operator == "-" and isinstance(left, IPv4Address) and isinstance(right, IPv4Address):
        return result
    return IPv4Address(result % 2**32)


def unary(operator: str, value: Value) -> Value:
    """`!x`, `-x`, `~x`."""
    if operator == "!":
        return not condition(value, of_item=True)
    if isinstance(value, Time) and operator == "-":
        return Time(-value.nanoseconds)
    if isinstance(value, IPv4Address) and operator == "~":
        return IPv4Address(int(value) ^ 0xFFFFFFFF)
    number = as_number(value)
    if number is None:
        raise ConsoleError(texts.BAD_OPERANDS(operator=operator, left=type_name(value), right="nothing"))
    return wrapped(-number if operator == "-" else ~number)
