"""How values look as text: `:tostr`, `:put`, and the `.` operator with its spreading over arrays.

Nested arrays are flattened with `;`, keyed members are `key=value`, nothing is quoted (captured: raw as-value).
"""

from collections.abc import Callable

from rdscsi.simulator.console.times import clock_text
from rdscsi.simulator.console.values import Absent, Array, Deferred, Function, Time, Value


def text_of(value: Value) -> str:
    """The text of a value, as `:put` prints it."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Time):
        return clock_text(value)
    if isinstance(value, Array):
        members = [text_of(item) for item in value.items]
        return ";".join(members + [f"{key}={text_of(item)}" for key, item in value.keyed.items()])
    if isinstance(value, Function | Deferred):
        return value.text
    return "" if isinstance(value, Absent) else str(value)


def written(value: Value) -> str:
    """A value as source text, as `:environment print` shows it: strings in quotes, arrays in braces."""
    if isinstance(value, Array):
        members = [written(item) for item in value.items]
        return "{" + ";".join(members + [f"{key}={written(item)}" for key, item in value.keyed.items()]) + "}"
    if isinstance(value, str):
        return '"' + escaped(value) + '"'
    return text_of(value)


_ESCAPES = {"\\": "\\\\", '"': '\\"', "$": "\\$", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def escaped(text: str) -> str:
    """Text as it stands between quotes."""
    return "".join(_ESCAPES.get(character, character) for character in text)


def concatenated(left: Value, right: Value) -> Value:
    """The `.` operator: text beside text, except that an array makes an array of the results."""
    if isinstance(left, Array):
        return _spread(left, lambda item: concatenated(item, right))
    if isinstance(right, Array):
        return _spread(right, lambda item: concatenated(left, item))
    return text_of(left) + text_of(right)


def _spread(array: Array, change: Callable[[Value], Value]) -> Array:
    return Array([change(item) for item in array.items], {key: change(item) for key, item in array.keyed.items()})
