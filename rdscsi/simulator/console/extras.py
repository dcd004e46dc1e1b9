"""Commands of the language that no line of a driver needs: random values, time stamps, conversions, the environment.

They are here so that other scripts run too. All take evaluated arguments, like `functions`.
"""

from __future__ import annotations

import base64
import binascii
import string
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote_from_bytes, unquote_to_bytes

from rdscsi.simulator import texts
from rdscsi.simulator.console import operators
from rdscsi.simulator.console.failures import ConsoleError, ParseError
from rdscsi.simulator.console.parser import parse_line
from rdscsi.simulator.console.scope import Scope
from rdscsi.simulator.console.text import text_of, written
from rdscsi.simulator.console.times import of_seconds
from rdscsi.simulator.console.values import NOTHING, Array, Id, Value

if TYPE_CHECKING:
    from rdscsi.simulator.console.evaluator import Interpreter

Arguments = Mapping[str, Value]
_LONGEST = 65535


def _number(arguments: Arguments, name: str) -> int:
    if name not in arguments:
        raise ConsoleError(texts.MISSING_VALUES(names=name))
    found = operators.as_number(arguments[name])
    if found is None:
        raise ConsoleError(texts.BAD_VALUE(name=name))
    return found


def _range(_interpreter: Interpreter, arguments: Arguments) -> Value:
    low, high = _number(arguments, "from"), _number(arguments, "to")
    if high - low >= operators.MAX_MEMBERS:
        raise ConsoleError(texts.TOO_BIG())
    return Array(range(low, high + 1))


def _rndnum(interpreter: Interpreter, arguments: Arguments) -> Value:
    low, high = _number(arguments, "from"), _number(arguments, "to")
    if low > high:
        raise ConsoleError(texts.BAD_VALUE(name="to"))
    return interpreter.device.random.randint(low, high)


def _rndstr(interpreter: Interpreter, arguments: Arguments) -> Value:
    letters = text_of(arguments.get("from", string.ascii_letters + string.digits))
    length = _number(arguments, "length") if "length" in arguments else 16
    if not letters or not 0 <= length <= _LONGEST:
        raise ConsoleError(texts.BAD_VALUE(name="length"))
    return "".join(interpreter.device.random.choice(letters) for _ in range(length))


def _timestamp(interpreter: Interpreter, _arguments: Arguments) -> Value:
    return of_seconds(interpreter.device.now())


def _environment(interpreter: Interpreter, arguments: Arguments) -> Value:
    if arguments.get("action", "print") != "print":
        raise ConsoleError(texts.NOT_SIMULATED(path=":environment"))
    for name, value in sorted(interpreter.environment.items()):
        interpreter.write(f"{name}={written(value)}\n")
    return NOTHING


def _execute(interpreter: Interpreter, arguments: Arguments) -> Value:
    """Runs by itself: its errors do not reach the caller (§4.3). Here it has ended when the next statement runs."""
    if "file" in arguments:
        raise ConsoleError(texts.NOT_SIMULATED(path=":execute file="))
    output: list[str] = []
    other = interpreter.beside(output.append)
    try:
        script = parse_line(text_of(arguments.get("script", "")), other.grammar, other.environment.keys())
        other.run(script, Scope(other.environment))
    except (ParseError, ConsoleError) as error:
        output.append(f"{error}\n")
    return "".join(output) if arguments.get("as-string") is True else Id(1)


_READERS: dict[str, Callable[[str], bytes]] = {
    "raw": lambda text: text.encode("latin-1"),
    "hex": bytes.fromhex,
    "base64": lambda text: base64.b64decode(text, validate=True),
    "url": unquote_to_bytes,
}
_WRITERS: dict[str, Callable[[bytes], str]] = {
    "raw": lambda data: data.decode("latin-1"),
    "hex": bytes.hex,
    "base64": lambda data: base64.b64encode(data).decode("ascii"),
    "url": lambda data: quote_from_bytes(data, safe=""),
}


def _convert(_interpreter: Interpreter, arguments: Arguments) -> Value:
    source, target = text_of(arguments.get("from", "raw")), text_of(arguments.get("to", "raw"))
    if source not in _READERS or target not in _WRITERS:
        raise ConsoleError(texts.NOT_SIMULATED(path=f":convert from={source} to={target}"))
    try:
        return _WRITERS[target](_READERS[source](text_of(arguments.get("value", ""))))
    except (ValueError, binascii.Error) as error:
        raise ConsoleError(texts.BAD_VALUE(name="value")) from error


def _beep(_interpreter: Interpreter, _arguments: Arguments) -> Value:
    return NOTHING


COMMANDS: dict[str, Callable[[Interpreter, Arguments], Value]] = {
    "range": _range,
    "rndnum": _rndnum,
    "rndstr": _rndstr,
    "timestamp": _timestamp,
    "environment": _environment,
    "execute": _execute,
    "convert": _convert,
    "beep": _beep,
}
