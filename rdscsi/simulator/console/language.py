"""The shapes of the language's own commands: which arguments they have, in which order, and which are code.

What they do is in `flow` (control), `conversions` and `collections_of` (functions).
"""

from rdscsi.simulator.console.grammar import Shape, abbreviated


def _shape(name: str, positional: str = "", named: str = "", code: str = "") -> Shape:
    order = tuple(positional.split())
    return Shape(name, frozenset((*order, *named.split(), *code.split())), frozenset(), order, frozenset(code.split()))


_SHAPES = (
    _shape("put", "message"),
    _shape("local", "name value", code="do"),
    _shape("global", "name value", code="do"),
    _shape("set", "name value", code="do"),
    _shape("if", "condition", code="do else"),
    _shape("foreach", "counter", "in", code="do on-error"),
    _shape("for", "counter", "from to step", code="do on-error"),
    _shape("while", "condition", code="do"),
    _shape("do", "command", "while if", code="command on-error"),
    _shape("onerror", "error", code="in do"),
    _shape("retry", "", "delay max", code="command on-error"),
    _shape("error", "message"),
    _shape("return", "value"),
    _shape("quit"),
    _shape("break"),
    _shape("continue"),
    _shape("nothing"),
    _shape("len", "value"),
    _shape("typeof", "value"),
    _shape("tostr", "value"),
    _shape("tonum", "value"),
    _shape("tobool", "value"),
    _shape("toid", "value"),
    _shape("toip", "value"),
    _shape("totime", "value"),
    _shape("toarray", "value", "delimiter"),
    _shape("pick", "counter begin end"),
    _shape("find", "in key from"),
    _shape("parse", "value"),
    _shape("delay", "delay-time"),
    _shape("time", "", code="command"),
    _shape("serialize", "value", "to options order delimiter file-name"),
    _shape("deserialize", "value", "from options delimiter"),
)
_BY_NAME = {shape.name: shape for shape in _SHAPES}
_POSITIONAL_CODE = {"do": ("command",), "time": ("command",), "retry": ("command",)}


def shape_of(word: str) -> Shape | None:
    """The language's command that `word` names or abbreviates (two letters at least)."""
    name = abbreviated(word, _BY_NAME.keys()) if len(word) > 1 else None
    return _BY_NAME[name] if name else None


def positional_of(shape: Shape) -> tuple[str, ...]:
    return _POSITIONAL_CODE.get(shape.name, shape.positional)
