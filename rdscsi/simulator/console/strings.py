"""Quoted strings and variables: escapes, and `$name`, `$(…)`, `$[…]` inside quotes.

Escapes with hexadecimal digits need upper case; unknown escapes are parse errors; a backslash before a blank joins
lines and vanishes (routeros.md §4.5, §13.2).
"""

import re
from abc import abstractmethod

from rdscsi.simulator.console.scanner import Scanner
from rdscsi.simulator.console.syntax import Expression, Interpolated, Literal, Slot, Variable

_PLAIN = re.compile(r'[^"\\$\x80-\xff]+')
_VARIABLE = re.compile(r"[A-Za-z0-9_]+")
_HEX = re.compile(r"[0-9A-F]{2}")
_JOIN = re.compile(r"\r?\n[ \t]*|[ \t]+")
_ESCAPES = {
    '"': '"', "\\": "\\", "n": "\n", "r": "\r", "t": "\t", "$": "$", "?": "?", "_": " ",
    "a": "\a", "b": "\b", "f": "\f", "v": "\v",
}  # fmt: skip


class StringParser(Scanner):
    """Reads what starts with a quote or a dollar."""

    @abstractmethod
    def parenthesised(self) -> Expression:
        """`(…)` at the cursor."""

    @abstractmethod
    def substitution(self) -> Expression:
        """`[…]` at the cursor."""

    def string(self) -> Expression:
        """A quoted string at the cursor."""
        start = self.position
        self.position += 1
        parts: list[Expression] = []
        plain: list[str] = []
        while self.current != '"':
            if not self.current:
                self.fail("expected closing quote")
            if self.current == "$" and (inner := self._interpolation()) is not None:
                if plain:
                    parts.append(Literal("".join(plain)))
                    plain = []
                parts.append(inner)
            else:
                plain.append(self._piece())
        self.position += 1
        if not parts:
            index = self.slot(start)
            return Literal("".join(plain)) if index is None else Slot(index, typed=False)
        if plain:
            parts.append(Literal("".join(plain)))
        return Interpolated((Literal(""), *parts))

    def _piece(self) -> str:
        if self.current == "\\":
            return self._escape()
        if self.current == "$":
            self.position += 1
            return "$"
        piece = self.take(_PLAIN)
        if not piece:  # bytes beyond ASCII break a line that comes over SSH (7.24.4)
            self.fail("expected closing brace" if self.depth else "syntax error")
        return piece

    def _escape(self) -> str:
        start = self.position
        self.position += 1
        if code := self.take(_HEX):
            return chr(int(code, 16))
        if self.take(_JOIN):
            return ""
        character = self.current
        if character not in _ESCAPES or not character:
            self.fail("syntax error", start + 1)
        self.position += 1
        return _ESCAPES[character]

    def _interpolation(self) -> Expression | None:
        self.position += 1
        if self.current == "(":
            return self.parenthesised()
        if self.current == "[":
            return self.substitution()
        if name := self.take(_VARIABLE):
            return Variable(name)
        self.position -= 1
        return None

    def variable(self) -> Expression:
        """`$name`, `$"any name"`, `$(…)`, `$[…]` outside quotes."""
        start = self.position
        self.position += 1
        if self.current == '"':
            inner = self.string()
            if not isinstance(inner, Literal) or not isinstance(inner.value, str):
                self.fail("syntax error", start + 1)
            return Variable(inner.value)
        if self.current == "(":
            return self.parenthesised()
        if self.current == "[":
            return self.substitution()
        if name := self.take(_VARIABLE):
            return Variable(name)
        return self.fail_operand()
