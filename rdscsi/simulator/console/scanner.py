"""A cursor over one console line: peeking, tokens, positions of errors. Knows no grammar."""

import re
from collections.abc import Mapping
from typing import NoReturn

from rdscsi.simulator.console.failures import ParseError

_BLANKS = re.compile(r"(?:[ \t]|\\\r?\n)*")
_SPACE = re.compile(r"(?:[ \t\r\n]|\\\r?\n)*")
_NAME = re.compile(r"[A-Za-z0-9_.\-]+")
_CLOSERS = {"}": "brace", "]": "bracket", ")": "parenthesis"}
_SKIPPABLE = frozenset(" \t\r\n\\")
MAX_DEPTH = 60


class Scanner:
    """Position in the text, and the words that errors are made of."""

    def __init__(self, text: str, slots: Mapping[int, int] | None = None) -> None:
        self.text = text
        self._slots = {start: (index, end) for index, (start, end) in enumerate((slots or {}).items())}
        self._taken: set[int] = set()
        self.literals_matter = False
        self.position = 0
        self.depth = 0

    @property
    def current(self) -> str:
        """The character at the cursor, or "" at the end."""
        return self.text[self.position : self.position + 1]

    @property
    def slots_left(self) -> bool:
        """Whether a literal that was to be a slot was read as something else."""
        return len(self._taken) != len(self._slots)

    def slot(self, start: int) -> int | None:
        """The index of the literal that stands exactly between `start` and the cursor, if it is to be a slot."""
        index, end = self._slots.get(start, (0, -1))
        if end != self.position:
            return None
        self._taken.add(index)
        return index

    def looking_at(self, token: str) -> bool:
        return self.text.startswith(token, self.position)

    def skip_blanks(self) -> None:
        """Blanks and joined lines; stops at a line's end."""
        if self.current in _SKIPPABLE:  # most often there is nothing to skip
            found = _BLANKS.match(self.text, self.position)
            self.position = found.end() if found else self.position

    def skip_space(self) -> None:
        """Blanks and line ends, as inside parentheses."""
        if self.current in _SKIPPABLE:
            found = _SPACE.match(self.text, self.position)
            self.position = found.end() if found else self.position

    def take(self, pattern: re.Pattern[str]) -> str:
        """The text that matches at the cursor ("" if none does), and the cursor behind it."""
        found = pattern.match(self.text, self.position)
        if found is None:
            return ""
        self.position = found.end()
        return found.group()

    def peek_name(self) -> str:
        found = _NAME.match(self.text, self.position)
        return found.group() if found else ""

    def place(self, position: int | None = None) -> tuple[int, int]:
        """Line and column (1-based) of a position."""
        at = self.position if position is None else position
        start = self.text.rfind("\n", 0, at) + 1
        return self.text.count("\n", 0, at) + 1, at - start + 1

    def fail(self, reason: str, position: int | None = None) -> NoReturn:
        line, column = self.place(position)
        raise ParseError(reason, line, column)

    def fail_operand(self) -> NoReturn:
        """A value is missing here; RouterOS names the column behind a closing bracket (captured on 7.23.3)."""
        self.fail("syntax error", self.position + (1 if self.current in _CLOSERS else 0))

    def close(self, closer: str, reason: str = "") -> None:
        """Take the closing bracket or fail: at the end of the text with what is missing."""
        if self.current == closer:
            self.position += 1
            return
        self.fail(reason or "syntax error" if self.current else f"expected closing {_CLOSERS[closer]}")

    def deeper(self) -> None:
        """One level of nesting more; a bound of the simulator's own, so that no line can exhaust the stack."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.fail("syntax error")
