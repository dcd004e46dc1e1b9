"""Control commands: variables, conditions, loops, blocks, errors. Each takes its arguments unevaluated.

Only here is it decided which block runs when; values are `evaluator`'s business.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rdscsi.simulator import texts
from rdscsi.simulator.console import operators
from rdscsi.simulator.console.failures import (
    BreakSignal,
    ConsoleError,
    ContinueSignal,
    QuitSignal,
    ReturnSignal,
)
from rdscsi.simulator.console.scope import Scope
from rdscsi.simulator.console.syntax import Binary, Block, Expression, GlobalCall, Literal
from rdscsi.simulator.console.text import text_of
from rdscsi.simulator.console.times import SECOND
from rdscsi.simulator.console.values import NOTHING, Array, Function, Time, Value

if TYPE_CHECKING:
    from rdscsi.simulator.console.evaluator import Interpreter

Control = Callable[["Interpreter", GlobalCall, Scope], Value]


def _required(statement: GlobalCall, *names: str) -> None:
    if not statement.arguments.keys() >= set(names):
        missing = [name for name in names if name not in statement.arguments]
        raise ConsoleError(texts.MISSING_VALUES(names=" ".join(missing)))


def _run_code(interpreter: Interpreter, node: Expression | None, scope: Scope) -> Value:
    """Run an argument that is code; a `[…]` in its place is evaluated, a function is called."""
    if node is None:
        return NOTHING
    if isinstance(node, Block):
        return interpreter.run(node.script, scope.inner())
    value = interpreter.value(node, scope)
    return interpreter.call(value, scope, {}) if isinstance(value, Function) else value


def _name_of(interpreter: Interpreter, statement: GlobalCall, scope: Scope, key: str) -> str:
    node = statement.arguments[key]
    return text_of(node.value if isinstance(node, Literal) else interpreter.value(node, scope))


def _assigned(interpreter: Interpreter, statement: GlobalCall, scope: Scope) -> Value:
    node = statement.arguments.get("do") or statement.arguments.get("value")
    return NOTHING if node is None else interpreter.value(node, scope)


def _local(interpreter: Interpreter, statement: GlobalCall, scope: Scope) -> Value:
    _required(statement, "name")
    scope.declare(_name_of(interpreter, statement, scope, "name"), _assigned(interpreter, statement, scope))
    return NOTHING


def _global(interpreter: Interpreter, statement: GlobalCall, scope: Scope) -> Value:
    _required(statement, "name")
    name = _name_of(interpreter, statement, scope, "name")
    if "value" in statement.arguments or "do" in statement.arguments:
        value = _assigned(interpreter, statement, scope)
        scope.declare_global(name)
        scope.environment[name] = value
    else:
        scope.declare_global(name)
    return NOTHING


def _set(interpreter: Interpreter, statement: GlobalCall, scope: Scope) -> Value:
    _required(statement, "name")
    target = statement.arguments["name"]
    value = _assigned(interpreter, statement, scope)
    if isinstance(target, Binary) and target.operator == "->":
        _set_member(interpreter, target, value, scope)
    else:
        scope.set(_name_of(interpreter, statement, scope, "name"), value)
    return NOTHING


def _set_member(interpreter: Interpreter, target: Binary, value: Value, scope: Scope) -> None:
    """`:set ($a->"k"->0) v`: arrays are copied on the way back up, so other variables keep theirs."""
    container = interpreter.value(target.left, scope)
    array = container if isinstance(container, Array) else Array()
    changed = array.replaced(interpreter.value(target.right, scope), value)
    if isinstance(target.left, Binary) and target.left.operator == "->":
        _set_member(interpreter, target.left, changed, scope)
    else:
        scope.set(getattr(target.left, "name", ""), changed)


def _if(interpreter: Interpreter, statement: GlobalCall, scope: Scope) -> Value:
    _required(statement, "condition")
    holds = operators.condition(interpreter.value(statement.arguments["condition"], scope))
    return _run_code(interpreter, statement.arguments.get("do" if holds else "else"), scope)


def _turn(interpreter: Interpreter, statement: GlobalCall, scope: Scope) -> bool:
    """One turn of a loop; False when the loop is left."""
    interpreter.tick()
    try:
        _run_code(interpreter, statement.arguments.get("do"), scope)
    except ContinueSignal:
        return True
    except BreakSignal:
        return False
    return True


def _foreach(interpreter: Interpreter, statement: GlobalCall, scope: Scope) -> Value:
    _required(statement, "counter", "in")
    names = _name_of(interpreter, statement, scope, "counter").split(",")
    collection = interpreter.value(statement.arguments["in"], scope)
    if collection is NOTHING:
        return NOTHING
    array = collection if isinstance(collection, Array) else Array([collection])
    for key, value in array.pairs():
        turn = scope.inner()
        if len(names) > 1:
            turn.declare(names[0], key)
        turn.declare(names[-1], value)
        if not _turn(interpreter, statement, turn):
            break
    return NOTHING


def _for(interpreter: Interpreter, statement: GlobalCall, scope: Scope) -> Value:
    _required(statement, "counter", "from", "to")
    start, end = (_number(interpreter, statement, scope, key) for key in ("from", "to"))
    step = (
        _number(interpreter, statement, scope, "step") if "step" in statement.arguments else 1 if start <= end else -1
    )
    if step == 0:
        raise ConsoleError(texts.BAD_VALUE(name="step"))
    name = _name_of(interpreter, statement, scope, "counter")
    while (start <= end) if step > 0 else (start >= end):
        turn = scope.inner()
        turn.declare(name, start)
        if not _turn(interpreter, statement, turn):
            break
        start += step
    return NOTHING


def _number(interpreter: Interpreter, statement: GlobalCall, scope: Scope, key: str) -> int:
    number = operators.as_number(interpreter.value(statement.arguments[key], scope))
    if number is None:
        raise ConsoleError(texts.BAD_VALUE(name=key))
    return number


def _while(interpreter: Interpreter, statement: GlobalCall, scope: Scope) -> Value:
    _required(statement, "condition")
    while operators.condition(interpreter.value(statement.arguments["condition"], scope)):
        if not _turn(interpreter, statement, scope):
            break
    return NOTHING


def _do(interpreter: Interpreter, statement: GlobalCall, scope: Scope) -> Value:
    _required(statement, "command")
    code, until = statement.arguments["command"], statement.arguments.get("while")
    while True:
        interpreter.tick()
        value = _guarded(interpreter, statement, code, scope)
        if until is None or not operators.condition(interpreter.value(until, scope)):
            return value


def _guarded(interpreter: Interpreter, statement: GlobalCall, code: Expression, scope: Scope) -> Value:
    handler = statement.arguments.get("on-error")
    if handler is None:
        return _run_code(interpreter, code, scope)
    try:
        return _run_code(interpreter, code, scope)
    except ConsoleError:
        return _run_code(interpreter, handler, scope)


def _onerror(interpreter: Interpreter, statement: GlobalCall, scope: Scope) -> Value:
    """True after an error, false without one, unless a handler returns a value (routeros.md §13.1.11)."""
    _required(statement, "error", "in")
    name = _name_of(interpreter, statement, scope, "error")
    try:
        _run_code(interpreter, statement.arguments["in"], scope)
    except ConsoleError as error:
        handler = scope.inner()
        handler.declare(name, error.message)
        _run_code(interpreter, statement.arguments.get("do"), handler)
        return True
    return False


def _retry(interpreter: Interpreter, statement: GlobalCall, scope: Scope) -> Value:
    _required(statement, "command", "max")
    pause = interpreter.value(statement.arguments["delay"], scope) if "delay" in statement.arguments else Time(0)
    for _ in range(max(_number(interpreter, statement, scope, "max") - 1, 0)):
        interpreter.tick()
        try:
            return _run_code(interpreter, statement.arguments["command"], scope)
        except ConsoleError:
            interpreter.device.pause(pause.nanoseconds / SECOND if isinstance(pause, Time) else 0)
    return _guarded(interpreter, statement, statement.arguments["command"], scope)


def _error(interpreter: Interpreter, statement: GlobalCall, scope: Scope) -> Value:
    node = statement.arguments.get("message")
    message = text_of(interpreter.value(node, scope)) if node is not None else ""
    suffix = f" (:error; line {statement.line})" if interpreter.manners.suffixes else ""
    raise ConsoleError(message + suffix, origin=":error")


def _return(interpreter: Interpreter, statement: GlobalCall, scope: Scope) -> Value:
    _required(statement, "value")
    raise ReturnSignal(interpreter.value(statement.arguments["value"], scope))


def _break(_interpreter: Interpreter, _statement: GlobalCall, _scope: Scope) -> Value:
    raise BreakSignal


def _continue(_interpreter: Interpreter, _statement: GlobalCall, _scope: Scope) -> Value:
    raise ContinueSignal


def _quit(_interpreter: Interpreter, _statement: GlobalCall, _scope: Scope) -> Value:
    raise QuitSignal


def _time(interpreter: Interpreter, statement: GlobalCall, scope: Scope) -> Value:
    _required(statement, "command")
    _run_code(interpreter, statement.arguments["command"], scope)
    return Time(0)


COMMANDS: dict[str, Control] = {
    "local": _local,
    "global": _global,
    "set": _set,
    "if": _if,
    "foreach": _foreach,
    "for": _for,
    "while": _while,
    "do": _do,
    "onerror": _onerror,
    "retry": _retry,
    "error": _error,
    "return": _return,
    "break": _break,
    "continue": _continue,
    "quit": _quit,
    "time": _time,
}
