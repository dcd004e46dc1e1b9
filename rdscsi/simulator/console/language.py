"""The shapes of the language's own commands by version: which arguments they have, in which order, and which are code.

What they do is in `flow` (control), `functions` (conversions, collections) and `extras` (random values, time stamps).
"""

from functools import cache

from rdscsi.simulator.console.grammar import Shape, abbreviated
from rdscsi.simulator.version import Minor, minor

# COMMAND[@SINCE] POSITIONAL ... [| NAMED[@SINCE] ...]; `{}` marks an argument that is code
_TABLE = """
put message
local name value | do{}
global name value | do{}
set name value | do{}
if condition | do{} else{}
foreach counter | in do{} on-error{}@7.19
for counter | from to step do{} on-error{}@7.19
while condition | do{}
do command{} | while if on-error{}
onerror error | in{} do{}
retry command{} | delay max on-error{}
error message
return value
quit
break
continue
nothing
len value
typeof value
tostr value
tonum value
tobool value
toid value
toip value
toip6 value
totime value
toarray value | delimiter@7.21
pick counter begin end
find in key from
parse value
delay delay-time
time command{}
serialize value | to options order delimiter file-name@7.18
deserialize value | from options delimiter
environment action
execute script | file as-string
range@7.17 from to
rndnum | from to
rndstr | from length
timestamp | use-tz@7.20
convert value | from to options
beep | frequency length
"""
_FLAGS = {"execute": frozenset({"as-string"}), "timestamp": frozenset({"use-tz"})}


def _argument(word: str) -> tuple[str, bool, Minor]:
    name, _, since = word.partition("@")
    return name.removesuffix("{}"), name.endswith("{}"), minor(since) if since else (0, 0)


def _shape(line: str, version: Minor) -> Shape | None:
    head, _, named = line.partition("|")
    first, *order = head.split()
    name, _, since = _argument(first)
    if since > version:
        return None
    positional = [_argument(word) for word in order]
    known = [each for each in positional + [_argument(word) for word in named.split()] if each[2] <= version]
    flags = _FLAGS.get(name, frozenset())
    return Shape(
        name=name,
        arguments=frozenset(each[0] for each in known) - flags,
        flags=flags & {each[0] for each in known},
        positional=tuple(each[0] for each in positional),
        code=frozenset(each[0] for each in known if each[1]),
    )


@cache
def shapes(version: Minor) -> dict[str, Shape]:
    """The language's commands of one version by name."""
    made = (_shape(line, version) for line in _TABLE.strip().splitlines())
    return {shape.name: shape for shape in made if shape is not None}


def shape_of(word: str, version: Minor) -> Shape | None:
    """The language's command that `word` names or abbreviates (two letters at least)."""
    known = shapes(version)
    name = abbreviated(word, known.keys()) if len(word) > 1 else None
    return known[name] if name else None
