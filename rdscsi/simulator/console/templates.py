"""Remembers how lines parse: a client sends the same few lines again and again, with other strings and numbers in them.

A line is cut into its skeleton and its plain literals (quoted strings without `$` and escapes, numbers and clock times
behind `=`, `<`, `>` or `(`). Lines with one skeleton parse alike, so one parse serves them all, with the literals as
`Slot`s. A line whose parse could depend on a literal (names, functions, comments, errors) is parsed anew each time.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator, Set
from dataclasses import dataclass

from rdscsi.simulator.console.failures import ParseError
from rdscsi.simulator.console.grammar import Grammar
from rdscsi.simulator.console.parser import parse_line
from rdscsi.simulator.console.statements import StatementParser
from rdscsi.simulator.console.syntax import Script

_MOST = 512
_STRING = re.compile(r'"(?:[^"\\]|\\[^\x80-\xff])*"')
_NUMBER = re.compile(r"[=<>(]((?:\d{1,9}[wd])*\d{1,18}(?::\d\d){0,2})(?=[ ;)\]}])")


@dataclass(frozen=True, slots=True)
class Line:
    """A parsed line and the literals that its slots mean, as they were written."""

    script: Script
    literals: tuple[str, ...] = ()


class Lines:
    """The parsed lines of one grammar; the least recently used ones are forgotten."""

    def __init__(self, grammar: Grammar) -> None:
        self._grammar = grammar
        self._known: OrderedDict[tuple[str, frozenset[str]], Script | None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def parse(self, text: str, known_globals: Set[str] = frozenset()) -> Line:
        """Parse one console line. Raises ParseError."""
        tokens = _tokens(text)
        if not tokens:
            return Line(parse_line(text, self._grammar, known_globals))
        key = _skeleton(text, tokens), frozenset(known_globals)
        if key in self._known:
            self._known.move_to_end(key)
            script = self._known[key]
        else:
            script = self._known[key] = self._parse_with_slots(text, tokens, known_globals)
            if len(self._known) > _MOST:
                self._known.popitem(last=False)
        if script is None:
            return Line(parse_line(text, self._grammar, known_globals))
        return Line(script, tuple(text[start:end] for start, end in tokens))

    def _parse_with_slots(self, text: str, tokens: list[tuple[int, int]], known_globals: Set[str]) -> Script | None:
        """The script with slots, or None when the literals of this line must be looked at."""
        parser = StatementParser(text, self._grammar, known_globals, slots=dict(tokens))
        try:
            statements = parser.statements("")
        except ParseError:
            return None
        if parser.complaints or parser.literals_matter or parser.slots_left:
            return None
        return Script(statements)


def _tokens(text: str) -> list[tuple[int, int]]:
    """Where the plain literals are; empty when they cannot be told for sure."""
    found: list[tuple[int, int]] = []
    code = 0
    for start, end in _strings(text):
        if not _numbers(text, code, start, found) or _misleading(text, start, end):
            return []
        if not text.startswith("=", end) and _is_plain(text[start + 1 : end - 1]):
            found.append((start, end))
        code = end
    return found if _numbers(text, code, len(text), found) else []


def _strings(text: str) -> Iterator[tuple[int, int]]:
    """Where quoted strings stand. Most lines have no escapes, and every second quote ends one."""
    if "\\" in text:
        for match in _STRING.finditer(text):
            yield match.span()
        return
    end = 0
    while (start := text.find('"', end)) >= 0 and (last := text.find('"', start + 1)) >= 0:
        end = last + 1
        yield start, end


def _numbers(text: str, start: int, end: int, found: list[tuple[int, int]]) -> bool:
    """Take the numbers of a stretch of code; False when it may hold a comment, or a quote that ends nowhere."""
    if text.find("#", start, end) >= 0 or text.find('"', start, end) >= 0:
        return False
    found.extend(match.span(1) for match in _NUMBER.finditer(text, start, end))
    return True


def _is_plain(inner: str) -> bool:
    return inner.isascii() and inner.isprintable() and "$" not in inner and "\\" not in inner


def _misleading(text: str, start: int, end: int) -> bool:
    """A quoted name, or code inside a string, where quotes are nested."""
    if start and text[start - 1] == "$":
        return True
    return text.find("$(", start, end) >= 0 or text.find("$[", start, end) >= 0


def _skeleton(text: str, tokens: list[tuple[int, int]]) -> str:
    pieces, last = [], 0
    for start, end in tokens:
        pieces.append(text[last:start])
        pieces.append("\0" if text[start] == '"' else "\1")
        last = end
    pieces.append(text[last:])
    return "".join(pieces)
