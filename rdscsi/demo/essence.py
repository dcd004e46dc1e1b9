"""The statements of a console line that change something, for showing it to a person. Never used to decide anything.

A guarded line of the driver is one to three kilobytes of checks around two or three such statements.
"""

import re
from collections.abc import Iterator

_CHANGES = re.compile(r"/(?:disk|file|disk/btrfs/subvolume)/(?:add|set|remove)\b")
_LOCAL = re.compile(r':local (z\w) ("(?:[^"\\]|\\.)*")')
_VARIABLE = re.compile(r"\$(z\w)")
_OPENING, _CLOSING = "{[(", "}])"


def essence(line: str) -> list[str]:
    """The changing statements in their order; empty when the line only looks."""
    return [_statement(line, found.start()) for found in _CHANGES.finditer(line) if not _quoted(line, found.start())]


def readable(line: str) -> list[str]:
    """The same with the line's locals written out, as far as they are plain texts; `$zq` is the item just found."""
    texts = dict(_LOCAL.findall(line)) | {"zq": "[it]"}
    return [_VARIABLE.sub(lambda name: texts.get(name[1], name[0]), statement) for statement in essence(line)]


def _statement(line: str, start: int) -> str:
    depth = 0
    for position, character in _outside_strings(line, start):
        if character in _OPENING:
            depth += 1
        elif character in _CLOSING:
            depth -= 1
        if depth < 0 or (character == ";" and depth == 0):
            return line[start:position].rstrip()
    return line[start:].rstrip()


def _quoted(line: str, position: int) -> bool:
    return all(at != position for at, _ in _outside_strings(line, 0))


def _outside_strings(line: str, start: int) -> Iterator[tuple[int, str]]:
    inside = False
    position = start
    while position < len(line):
        character = line[position]
        if inside and character == "\\":
            position += 1
        elif character == '"':
            inside = not inside
        elif not inside:
            yield position, character
        position += 1
