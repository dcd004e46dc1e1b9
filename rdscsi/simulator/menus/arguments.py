"""Argument values made into what a menu stores: booleans, sizes, numbers, text. Refusals in the console's words.

The console's booleans are `yes` and `no` only (routeros.md §13.2); K, M, G, T after a file's size are binary (§1.5).
"""

import re

from rdscsi.simulator import texts
from rdscsi.simulator.console import literals
from rdscsi.simulator.console.failures import ConsoleError
from rdscsi.simulator.console.text import text_of
from rdscsi.simulator.console.values import Value

_SIZE = re.compile(r"(\d{1,18})([kKMGT])?(?:iB|B)?")
_POWERS = {None: 0, "k": 1, "K": 1, "M": 2, "G": 3, "T": 4}


def boolean(name: str, value: Value) -> bool:
    if isinstance(value, bool):
        return value
    if value == "yes":
        return True
    if value == "no":
        return False
    raise ConsoleError(texts.BAD_CHOICE(name=name, choices="yes or no"))


def number(name: str, value: Value, low: int, high: int) -> int:
    found = value if isinstance(value, int) and not isinstance(value, bool) else literals.number(text_of(value))
    if found is None:
        raise ConsoleError(texts.BAD_VALUE(name=name))
    if not low <= found <= high:
        raise ConsoleError(texts.OUT_OF_RANGE(name=name, low=low, high=high))
    return found


def size(name: str, value: Value, unit: int = 1024) -> int:
    """Bytes; `unit` is what a K stands for: 1024 for a file's size, 1000 for a partition's."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    found = _SIZE.fullmatch(text_of(value))
    if found is None:
        raise ConsoleError(texts.BAD_VALUE(name=name))
    return int(found[1]) * int(unit ** _POWERS[found[2]])


def choice(name: str, value: Value, words: tuple[str, ...]) -> str:
    found = text_of(value)
    if found not in words:
        raise ConsoleError(texts.BAD_CHOICE(name=name, choices=", ".join(words[:-1]) + " or " + words[-1]))
    return found


def text(value: Value) -> str:
    """Text as given; control characters are kept."""
    return text_of(value)
