"""Entry points of the parser: a console line, a source as `:parse` takes it, and what stands in front of an error."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Set

from rdscsi.simulator.console.failures import ParseError
from rdscsi.simulator.console.grammar import Grammar
from rdscsi.simulator.console.statements import StatementParser
from rdscsi.simulator.console.syntax import Complaint, Script, Statement


def parse_line(text: str, grammar: Grammar, known_globals: Set[str] = frozenset()) -> Script:
    """Parse one console line; the first complaint is a parse error too, because nothing of such a line runs."""
    script = parse_source(text, grammar, known_globals)
    if script.complaints:
        first = script.complaints[0]
        raise ParseError(first.reason, first.line, first.column)
    return script


def parse_source(text: str, grammar: Grammar, known_globals: Set[str] = frozenset()) -> Script:
    """Parse as `:parse` does: unknown names stay in the script as complaints."""
    parser = StatementParser(text, grammar, known_globals)
    try:
        statements = parser.statements("")
    except ParseError as error:
        if parser.complaints:  # an unknown name stands further left than what failed later
            first = parser.complaints[0]
            raise ParseError(first.reason, first.line, first.column) from error
        raise
    return Script(statements, tuple(parser.complaints))


def statements_before(text: str, grammar: Grammar, known_globals: Set[str]) -> tuple[Statement, ...]:
    """The statements of a line that stand whole in front of its first error."""
    parser = StatementParser(text, grammar, known_globals)
    with contextlib.suppress(ParseError):
        parser.statements("")
    found = list(itertools.takewhile(lambda statement: not isinstance(statement, Complaint), parser.finished))
    return tuple(found)
