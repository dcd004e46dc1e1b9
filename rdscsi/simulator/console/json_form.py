"""`:serialize to=json` and `:deserialize from=json`.

Keys come out in alphabetical order; a string that looks like a number becomes `123.000000` unless the option
`json.no-string-conversion` is given (routeros.md §4.4; captured on several versions).
"""

import json
import re
from json.encoder import encode_basestring
from typing import TypeAlias

from rdscsi.simulator import texts
from rdscsi.simulator.console.failures import ConsoleError
from rdscsi.simulator.console.literals import literal
from rdscsi.simulator.console.text import text_of
from rdscsi.simulator.console.times import json_text
from rdscsi.simulator.console.values import NOTHING, Absent, Array, Time, Value, saturated

OPTIONS = frozenset({"json.pretty", "json.no-string-conversion"})
_NUMERIC = re.compile(r"-?\d{1,300}(?:\.\d+)?")

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


def serialized(value: Value, options: frozenset[str]) -> str:
    """The JSON text of a value; bytes beyond ASCII pass through."""
    text = _json(value, "json.no-string-conversion" not in options)
    if "json.pretty" in options:
        return json.dumps(json.loads(text), indent=4, ensure_ascii=False)
    return text


def _json(value: Value, convert: bool) -> str:
    if isinstance(value, str):
        return f"{float(value):f}" if convert and _NUMERIC.fullmatch(value) else encode_basestring(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Array):
        return _array(value, convert)
    if isinstance(value, Absent):
        return "null"
    return encode_basestring(json_text(value) if isinstance(value, Time) else text_of(value))


def _array(array: Array, convert: bool) -> str:
    if not array.keyed:
        return "[" + ",".join(_json(item, convert) for item in array.items) + "]"
    members = array.keyed
    if array.items:
        numbered = {str(index): item for index, item in enumerate(array.items)}
        members = dict(sorted({**numbered, **array.keyed}.items()))
    return "{" + ",".join([f"{encode_basestring(key)}:{_json(item, convert)}" for key, item in members.items()]) + "}"


def deserialized(text: str, options: frozenset[str]) -> Value:
    try:
        parsed: Json = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConsoleError(texts.BAD_JSON()) from error
    return _value(parsed, "json.no-string-conversion" not in options)


def _value(parsed: Json, convert: bool) -> Value:
    if parsed is None:
        return NOTHING
    if isinstance(parsed, bool):
        return parsed
    if isinstance(parsed, int):
        return saturated(parsed)
    if isinstance(parsed, float):
        return f"{parsed:f}"
    if isinstance(parsed, str):
        return literal(parsed) if convert else parsed
    if isinstance(parsed, list):
        return Array([_value(item, convert) for item in parsed])
    return Array((), {key: _value(item, convert) for key, item in parsed.items()})
