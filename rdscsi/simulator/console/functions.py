"""The language's functions: printing, lengths, conversions, searching, pauses, and the doors to JSON and DSV.

All take evaluated arguments; control commands are in `flow`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from rdscsi.simulator import texts
from rdscsi.simulator.console import extras, json_form, literals, operators, separated
from rdscsi.simulator.console.failures import ConsoleError, ParseError
from rdscsi.simulator.console.parsed_text import parsed_text
from rdscsi.simulator.console.parser import parse_source
from rdscsi.simulator.console.text import text_of
from rdscsi.simulator.console.times import SECOND, parse_time
from rdscsi.simulator.console.values import NIL, NOTHING, Absent, Array, Function, Id, Time, Value, type_name

if TYPE_CHECKING:
    from rdscsi.simulator.console.evaluator import Interpreter

Arguments = Mapping[str, Value]


def _needed(arguments: Arguments, *names: str) -> list[Value]:
    missing = [name for name in names if name not in arguments]
    if missing:
        raise ConsoleError(texts.MISSING_VALUES(names=" ".join(missing)))
    return [arguments[name] for name in names]


def _put(interpreter: Interpreter, arguments: Arguments) -> Value:
    (message,) = _needed(arguments, "message")
    text = text_of(message)
    interpreter.write(text + "\n")
    return text


def _len(_interpreter: Interpreter, arguments: Arguments) -> Value:
    (value,) = _needed(arguments, "value")
    return len(value) if isinstance(value, Array) else len(text_of(value))


def _typeof(_interpreter: Interpreter, arguments: Arguments) -> Value:
    return type_name(_needed(arguments, "value")[0])


def _tostr(_interpreter: Interpreter, arguments: Arguments) -> Value:
    value = _needed(arguments, "value")[0]
    return value if isinstance(value, Absent) else text_of(value)


def _tonum(_interpreter: Interpreter, arguments: Arguments) -> Value:
    (value,) = _needed(arguments, "value")
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    found = literals.number(value) if isinstance(value, str) else None
    return NIL if found is None else found


def _tobool(_interpreter: Interpreter, arguments: Arguments) -> Value:
    (value,) = _needed(arguments, "value")
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value in ("yes", "true", "no", "false"):
        return value in ("yes", "true")
    return value != 0 if isinstance(value, int) else NIL


def _toid(_interpreter: Interpreter, arguments: Arguments) -> Value:
    (value,) = _needed(arguments, "value")
    if isinstance(value, Id):
        return value
    found = literals.literal(value) if isinstance(value, str) else None
    return found if isinstance(found, Id) else NIL


def _toip(_interpreter: Interpreter, arguments: Arguments) -> Value:
    (value,) = _needed(arguments, "value")
    found = literals.address(value) if isinstance(value, str) else value
    return found if found is not None and type_name(found) in ("ip", "ip6") else NIL


def _toip6(_interpreter: Interpreter, arguments: Arguments) -> Value:
    (value,) = _needed(arguments, "value")
    found = literals.address(value) if isinstance(value, str) else value
    return found if found is not None and type_name(found) == "ip6" else NIL


def _totime(_interpreter: Interpreter, arguments: Arguments) -> Value:
    (value,) = _needed(arguments, "value")
    if isinstance(value, Time):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return Time(value * SECOND)
    return (parse_time(value) or NIL) if isinstance(value, str) else NIL


def _toarray(_interpreter: Interpreter, arguments: Arguments) -> Value:
    (value,) = _needed(arguments, "value")
    if isinstance(value, Array):
        return value
    text = text_of(value)
    delimiter = text_of(arguments.get("delimiter", ",")) or ","
    return Array([literals.literal(part.strip()) for part in text.split(delimiter)] if text else ())


def _bounds(length: int, arguments: Arguments) -> tuple[int, int]:
    begin = operators.as_number(arguments.get("begin", 0)) or 0
    end = operators.as_number(arguments["end"]) if "end" in arguments else begin + 1
    return max(begin, 0), length if end is None else min(end, length)


def _pick(_interpreter: Interpreter, arguments: Arguments) -> Value:
    value, _begin = _needed(arguments, "counter", "begin")
    if isinstance(value, Array):
        begin, end = _bounds(len(value.items), arguments)
        if "end" not in arguments:
            return value.member(begin)
        return Array(value.items[begin:end])
    text = text_of(value)
    begin, end = _bounds(len(text), arguments)
    return text[begin:end] if begin < len(text) else NOTHING


def _find(_interpreter: Interpreter, arguments: Arguments) -> Value:
    where, key = _needed(arguments, "in", "key")
    start = operators.as_number(arguments["from"]) if "from" in arguments else -1
    after = -1 if start is None else start
    if isinstance(where, Array):
        for index, item in enumerate(where.items):
            if index > after and operators.equal(item, key):
                return index
        return next((name for name, item in where.keyed.items() if operators.equal(item, key)), NIL)
    position = text_of(where).find(text_of(key), after + 1)
    return NIL if position < 0 else position


def _delay(interpreter: Interpreter, arguments: Arguments) -> Value:
    value = arguments.get("delay-time", 1)
    if isinstance(value, str):
        value = literals.literal(value)
    if isinstance(value, Time):
        interpreter.device.pause(value.nanoseconds / SECOND)
    elif isinstance(value, int) and not isinstance(value, bool):
        interpreter.device.pause(float(value))
    else:
        raise ConsoleError(texts.BAD_VALUE(name="delay-time"))
    return NOTHING


def _parse(interpreter: Interpreter, arguments: Arguments) -> Value:
    """Never raises; what does not parse shows as its error (routeros.md §4.3)."""
    source = text_of(_needed(arguments, "value")[0])
    try:
        script = parse_source(source, interpreter.grammar, interpreter.environment.keys())
    except ParseError as error:
        return str(error)
    return Function(script, parsed_text(script))


def _serialize(_interpreter: Interpreter, arguments: Arguments) -> Value:
    target, value = _needed(arguments, "to", "value")
    options = _options(arguments)
    if "file-name" in arguments:
        raise ConsoleError(texts.NOT_SIMULATED(path=":serialize file-name="))
    if target == "json":
        return json_form.serialized(value, options)
    if target == "dsv":
        return separated.serialized(value, text_of(arguments.get("delimiter", ";")), options)
    raise ConsoleError(texts.BAD_VALUE(name="to"))


def _deserialize(_interpreter: Interpreter, arguments: Arguments) -> Value:
    source, value = _needed(arguments, "from", "value")
    options = _options(arguments)
    if source == "json":
        return json_form.deserialized(text_of(value), options)
    if source == "dsv":
        return separated.deserialized(text_of(value), text_of(arguments.get("delimiter", ";")), options)
    raise ConsoleError(texts.BAD_VALUE(name="from"))


def _options(arguments: Arguments) -> frozenset[str]:
    """Options are case-sensitive and a closed set."""
    found = frozenset(option for option in text_of(arguments.get("options", "")).replace(";", ",").split(",") if option)
    unknown = found - json_form.OPTIONS - separated.OPTIONS
    if unknown:
        raise ConsoleError(texts.NO_MATCH_OF_VALUE(name="options"))
    return found


def _nothing(_interpreter: Interpreter, _arguments: Arguments) -> Value:
    return NOTHING


COMMANDS: dict[str, Callable[[Interpreter, Arguments], Value]] = {
    "put": _put,
    "len": _len,
    "typeof": _typeof,
    "tostr": _tostr,
    "tonum": _tonum,
    "tobool": _tobool,
    "toid": _toid,
    "toip": _toip,
    "toip6": _toip6,
    "totime": _totime,
    "toarray": _toarray,
    "pick": _pick,
    "find": _find,
    "delay": _delay,
    "parse": _parse,
    "serialize": _serialize,
    "deserialize": _deserialize,
    "nothing": _nothing,
    **extras.COMMANDS,
}
