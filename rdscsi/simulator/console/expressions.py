"""Expressions: operators by precedence, array literals, and the conditions of `where`.

Precedence is the one that centrs measured (routeros.md §13.2): `,` or and in, comparisons, `.`, shifts, `|`, `^`, `&`,
sums, products, `->`; unary operators bind tightest. Inside `where` a bare word is a property, and to the right of a
comparison it is a literal.
"""

import re
from abc import abstractmethod

from rdscsi.simulator.console import literals
from rdscsi.simulator.console.strings import StringParser
from rdscsi.simulator.console.syntax import (
    ArrayLiteral,
    Binary,
    Defer,
    Expression,
    Literal,
    Property,
    Slot,
    Unary,
    Variable,
)

_LEVELS: tuple[tuple[str, ...], ...] = (
    (",",),
    ("or", "||"),
    ("and", "&&"),
    ("in",),
    ("=", "!=", "<", ">", "<=", ">=", "~"),
    (".",),
    ("<<", ">>"),
    ("|",),
    ("^",),
    ("&",),
    ("+", "-"),
    ("*", "/", "%"),
    ("<%%",),
    ("->",),
)
POWER = {operator: level for level, operators in enumerate(_LEVELS) for operator in operators}
COMPARISONS = frozenset(_LEVELS[4])
_RIGHT = frozenset(_LEVELS[6])
_SYNONYMS = {"||": "or", "&&": "and"}
_OPERATOR = re.compile(r"->|<%%|<<|>>|<=|>=|!=|&&|\|\||[,=<>~.|^&+\-*/%]|(?:and|or|in)(?![A-Za-z0-9_.\-])")
_KEY = re.compile(r"[A-Za-z0-9_.\-]+(?==(?!=))")
_WORD = re.compile(
    r"\*[0-9A-Fa-f]+|\d+(?:\.\d+)*/\d+|[0-9A-Fa-f]*:[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*(?:/\d+)?"
    r"|\d[0-9A-Za-z_]*(?:[.:][0-9A-Za-z]+)*|[.A-Za-z_](?:[A-Za-z0-9_.\-]*[A-Za-z0-9_])?"
)
_CONDITION_LITERAL = re.compile(r"""[^\s;()\[\]{}"$=<>!~&|,'`?\\]+""")
_CLOSED = ("", ";", ")", "]", "}", "\n", "\r")


class ExpressionParser(StringParser):
    """Reads expressions; `statements` adds commands."""

    @abstractmethod
    def known_property(self, name: str) -> bool:
        """Whether a bare word of a condition is shadowed by a variable of that name (then False)."""

    def parenthesised(self) -> Expression:
        self.position += 1
        self.deeper()
        inner = self.expression()
        self.skip_space()
        self.close(")")
        self.depth -= 1
        return inner

    def expression(self, *, where: bool = False) -> Expression:
        return self._binary(0, where, literal=False)

    def _binary(self, lowest: int, where: bool, *, literal: bool) -> Expression:
        left = self._operand(where, literal)
        while True:
            start = self.position
            operator = self._operator()
            if not operator or POWER[operator] < lowest:
                self.position = start
                return left
            power = POWER[operator]
            is_literal = where and operator in COMPARISONS
            self.deeper()
            right = self._binary(power if operator in _RIGHT else power + 1, where, literal=is_literal)
            self.depth -= 1
            left = Binary(_SYNONYMS.get(operator, operator), left, right)

    def _operator(self) -> str:
        self.skip_space()
        return self.take(_OPERATOR)

    def _operand(self, where: bool, literal: bool) -> Expression:
        self.skip_space()
        character = self.current
        if character in ("!", "-", "~"):
            self.position += 1
            self.deeper()
            operand = self._operand(where, literal)
            self.depth -= 1
            return Unary(character, operand)
        if character == ">":
            return self._deferred()
        if character == '"':
            return self.string()
        if character == "$":
            return self.variable()
        if character == "(":
            return self._inner_condition() if where else self.parenthesised()
        if character == "[":
            return self.substitution()
        if character == "{":
            return self.array()
        return self._word(where, literal)

    def _inner_condition(self) -> Expression:
        self.position += 1
        self.deeper()
        inner = self.expression(where=True)
        self.skip_space()
        self.close(")")
        self.depth -= 1
        return inner

    def _deferred(self) -> Expression:
        start = self.position
        self.literals_matter = True
        self.position += 1
        self.deeper()
        operand = self._operand(where=False, literal=False)
        self.depth -= 1
        return Defer(operand, self.text[start : self.position])

    def _word(self, where: bool, literal: bool) -> Expression:
        if where and literal:
            return self._literal(self.take(_CONDITION_LITERAL))
        word = self.take(_WORD)
        if not word or word[0].isdigit():
            return self._literal(word)
        value = literals.literal(word)
        if value != word or not (word[0].isalpha() or word[0] in "._"):
            return Literal(value)
        return Property(word) if where and self.known_property(word) else Variable(word)

    def _literal(self, word: str) -> Expression:
        if not word:
            return self.fail_operand()
        index = self.slot(self.position - len(word))
        return Literal(literals.literal(word)) if index is None else Slot(index, typed=True)

    def array(self) -> Expression:
        """`{…}` as a value: members apart by `;`, `key=value` without blanks makes a keyed one."""
        self.position += 1
        self.deeper()
        members = [self._member()]
        while True:
            self.skip_space()
            if self.current != ";":
                break
            self.position += 1
            members.append(self._member())
        self.close("}")
        self.depth -= 1
        return ArrayLiteral(tuple(members))

    def _member(self) -> tuple[str | None, Expression]:
        self.skip_space()
        key = self.take(_KEY) or self._quoted_key()
        if key is not None:
            self.position += 1
        return key, self.expression()

    def _quoted_key(self) -> str | None:
        start = self.position
        if self.current == '"':
            text = self.string()
            if self.current == "=" and isinstance(text, Literal) and isinstance(text.value, str):
                return text.value
        self.position = start
        return None

    def condition(self) -> Expression | None:
        """Everything behind `where`: conditions side by side must all hold."""
        found: Expression | None = None
        while True:
            self.skip_blanks()
            if self.current in _CLOSED:
                return found
            part = self.expression(where=True)
            found = part if found is None else Binary("and", found, part)
