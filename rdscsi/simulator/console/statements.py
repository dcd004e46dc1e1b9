"""Statements and arguments: the parser of whole lines. Its entry points are in `parser`.

Names of menus, commands and arguments are checked here, against the `Grammar`, as RouterOS does; what is unknown
becomes a `Complaint`, which stops a console line before anything of it runs but which `:parse` merely shows.
"""

import re
from collections.abc import Iterator, Mapping, Set

from rdscsi.simulator.console import literals
from rdscsi.simulator.console.expressions import ExpressionParser
from rdscsi.simulator.console.grammar import Grammar, Shape, abbreviated
from rdscsi.simulator.console.syntax import (
    Binary,
    Block,
    Complaint,
    Evaluate,
    Expression,
    FunctionCall,
    GlobalCall,
    Literal,
    MenuCall,
    MenuSwitch,
    Property,
    Script,
    Slot,
    Statement,
    Substitution,
    Variable,
)

_SEPARATORS = re.compile(r"(?:[ \t\r\n;]|\\\r?\n)*")
_COMMENT = re.compile(r"#[^\n]*")
_MENU_WORD = re.compile(r"[A-Za-z0-9_\-]+")
_ARGUMENT_WORD = re.compile(r"""[^\s;=()\[\]{}"$'`\\?\x80-\xff]+""")
_RAW_WORDS = re.compile(r"""[^\s;\]}]+""")
_ENDS = ("", ";", "\n", "\r", "}", "]", ")")
_DECLARING = {"local", "global"}
_COUNTERS = {"foreach": "counter", "for": "counter", "onerror": "error"}
_ANY = "*"  # in a function every name may be set: its arguments are not known here


def _equalities(node: Expression | None) -> Iterator[tuple[str, Expression]]:
    while isinstance(node, Binary) and node.operator == "and":
        yield from _equalities(node.right)
        node = node.left
    if not isinstance(node, Binary):
        return
    if node.operator == "=" and isinstance(node.left, Property) and isinstance(node.right, Literal | Slot | Variable):
        yield node.left.name, node.right


class StatementParser(ExpressionParser):
    """The whole grammar over one text."""

    def __init__(
        self, text: str, grammar: Grammar, known_globals: Set[str], slots: Mapping[int, int] | None = None
    ) -> None:
        super().__init__(text, slots)
        self.grammar = grammar
        self.complaints: list[Complaint] = []
        self.finished: list[Statement] = []
        """Top-level statements so far, for who wants them although the line fails."""
        self._scopes: list[set[str]] = [set(known_globals)]
        self._menu = ""  # where relative paths start: the menu of the statement or of the command around it

    # -- scripts ---------------------------------------------------------------------------------------------------

    def statements(self, closer: str) -> tuple[Statement, ...]:
        """Statements up to `closer` ("" is the end of the text); takes the closer."""
        found: list[Statement] = []
        outer = self._menu
        while True:
            self.take(_SEPARATORS)
            while self.current == "#":
                self.take(_COMMENT)
                self.take(_SEPARATORS)
            if not self.current or self.current == closer:
                break
            statement = self._statement()
            if isinstance(statement, MenuSwitch):
                self._menu = statement.path
            found.append(statement)
            self._end_of_statement(closer)
            if not closer:
                self.finished.append(statement)
        self._menu = outer
        if closer:
            self.close(closer)
        return tuple(found)

    def _end_of_statement(self, closer: str) -> None:
        self.skip_blanks()
        if self.current not in ("", ";", "\n", "\r") and self.current != closer:
            self.fail("expected end of command")

    def _block(self, *, isolated: bool = False) -> Block:
        start = self.position
        self.position += 1
        self.deeper()
        self.literals_matter |= isolated  # a function outlives its line
        outer = self._scopes
        self._scopes = [{_ANY}] if isolated else [*outer, set()]
        script = Script(self.statements("}"))
        self._scopes = outer
        self.depth -= 1
        return Block(script, self.text[start + 1 : self.position - 1])

    def substitution(self) -> Expression:
        self.position += 1
        self.deeper()
        script = Script(self.statements("]"))
        self.depth -= 1
        return Substitution(script)

    # -- statements ------------------------------------------------------------------------------------------------

    def _statement(self) -> Statement:
        character = self.current
        if character == "{":
            return self._block()
        if character == "$":
            return self._function_call()
        if character in ('"', "(", "["):
            return Evaluate(self._value())
        if character == ":":
            return self._language_call()
        if character == "/":
            self.position += 1
            return self._path("")
        return self._path(self._menu)

    def _function_call(self) -> Statement:
        start = self.position
        self.literals_matter = True
        function = self.variable()
        text = self.text[start : self.position]
        positional: list[Expression] = []
        named: dict[str, Expression] = {}
        while not self._at_end():
            name = self._named_argument()
            value = self._value()
            if name:
                named[name] = value
            else:
                positional.append(value)
        return FunctionCall(function, text, tuple(positional), named)

    def _named_argument(self) -> str:
        name = self.peek_name()
        if name and self.text.startswith("=", self.position + len(name)):
            self.position += len(name) + 1
            self.skip_blanks()
            return name
        return ""

    def _language_call(self) -> Statement:
        self.position += 1
        start = self.position
        word = self.take(_MENU_WORD)
        if not word:
            self.fail("expected command name")
        shape = self.grammar.language(word)
        if shape is None and self.grammar.child("", word) is not None:  # `:log info …` is `/log info …`
            self.position = start
            return self._path("")
        return self._global_arguments(shape) if shape else self._unknown_command(word, start)

    def _path(self, path: str) -> Statement:
        """A path of words apart by `/` or blanks; ends in a command, or is a switch of menu."""
        while True:
            start = self.position
            if self.looking_at(".."):
                self.position += 2
                path = path.rpartition("/")[0]
            elif word := self.take(_MENU_WORD):
                below = self.grammar.child(path, word)
                if below is None:
                    return self._command(path, word, start)
                path = below
            elif path == "" and self.text[start - 1 : start] == "/" and self.current in (*_ENDS, " "):
                return MenuSwitch("")
            else:
                self.fail("expected command name")
            if self.current == "/":
                self.position += 1
                continue
            self.skip_blanks()
            if self.current in _ENDS:
                return MenuSwitch(path)

    def _command(self, path: str, word: str, start: int) -> Statement:
        shape = self.grammar.command(path, word)
        if shape is not None and self.current != "/":
            return self._menu_arguments(path, shape)
        if self.current == "/":
            self.fail("syntax error")
        language = self.grammar.language(word) if path in ("", self._menu) else None
        return self._global_arguments(language) if language else self._unknown_command(word, start)

    def _unknown_command(self, word: str, start: int) -> Complaint:
        words = [word]
        while not self._at_end():
            words.append(self.take(_RAW_WORDS) or self.current)
            self.position += 0 if words[-1] != self.current else 1
        line, column = self.place(start)
        complaint = Complaint(f"bad command name {word}", line, column, words=tuple(words))
        self.complaints.append(complaint)
        return complaint

    # -- arguments -------------------------------------------------------------------------------------------------

    def _at_end(self) -> bool:
        self.skip_blanks()
        return self.current in _ENDS

    def _menu_arguments(self, path: str, shape: Shape) -> MenuCall:
        line, _ = self.place()
        outer, self._menu = self._menu, path
        arguments: dict[str, Expression] = {}
        flags: set[str] = set()
        where: Expression | None = None
        left = list(shape.positional)
        while not self._at_end():
            name = self.peek_name()
            is_named = bool(name) and self.text.startswith("=", self.position + len(name))
            if name == "where" and not is_named and shape.takes_where:
                self.position += len(name)
                where = self.condition()
                break
            if shape.is_find:
                where = self.condition()
                break
            first = not arguments and not flags
            if is_named:
                self._named(shape, name, arguments, path, first=first)
            elif (flag := abbreviated(name, shape.flags)) and self._is_whole_word(name):
                self.position += len(name)
                flags.add(flag)
            elif left:
                arguments[left.pop(0)] = self._value(raw=True)
            else:
                self._extra_word(shape, name, path, first=first)
        self._menu = outer
        return MenuCall(path, shape.name, arguments, frozenset(flags), where, line, tuple(_equalities(where)))

    def _is_whole_word(self, name: str) -> bool:
        following = self.text[self.position + len(name) : self.position + len(name) + 1]
        return following in _ENDS or following in (" ", "\t")

    def _named(self, shape: Shape, name: str, arguments: dict[str, Expression], path: str, *, first: bool) -> None:
        full = abbreviated(name, shape.arguments)
        start = self.position
        self.position += len(name)
        if full is None:
            self._bad_parameter(name, start, path, shape, first=first)
        self.position += 1
        self.skip_blanks()
        value = Literal("") if self.current in _ENDS else self._value(shape.words.get(full or "", ()), raw=True)
        if full is not None:
            arguments[full] = value

    def _extra_word(self, shape: Shape, name: str, path: str, *, first: bool) -> None:
        start = self.position
        if not name or not self._is_whole_word(name):
            self.fail("expected end of command")
        self.position += len(name)
        self._bad_parameter(name, start, path, shape, first=first)

    def _bad_parameter(self, name: str, start: int, path: str, shape: Shape, *, first: bool) -> None:
        """The column is the one behind the name when it is the command's first argument, else the name's own: all
        four captures agree with that (7.23.3, 7.24), none says why."""
        if not self.grammar.says_bad_parameter:
            self.fail("expected end of command", start)
        line, column = self.place(None if first else start)
        self.complaints.append(Complaint(f"bad parameter {name}", line, column, path=f"{path}/{shape.name}"))

    def _global_arguments(self, shape: Shape) -> GlobalCall:
        line, _ = self.place()
        arguments: dict[str, Expression] = {}
        left = list(shape.positional)
        start = self.position
        while not self._at_end():
            name = self.peek_name()
            if name and self.text.startswith("=", self.position + len(name)):
                self._global_named(shape, name, arguments)
            elif name in shape.flags and self._is_whole_word(name):
                self.position += len(name)
                arguments[name] = Literal(True)
            elif left:
                key = left.pop(0)
                arguments[key] = self._global_value(shape, key)
            else:
                self.fail("expected end of command")
            self._declare(shape, arguments)
        self._check_set(shape, arguments, start)
        return GlobalCall(shape.name, arguments, line)

    def _global_named(self, shape: Shape, name: str, arguments: dict[str, Expression]) -> None:
        full = abbreviated(name, shape.arguments)
        start = self.position
        self.position += len(name)
        if full is None:
            self._bad_parameter(name, start, "", shape, first=not arguments)
        self.position += 1
        self.skip_blanks()
        arguments[full or name] = self._global_value(shape, full or name)

    def _global_value(self, shape: Shape, key: str) -> Expression:
        if key in shape.code and self.current == "{":
            return self._block(isolated=shape.name in ("local", "global", "set"))
        if shape.name == "set" and key == "name" and self.current == "(":
            return self.parenthesised()
        return Literal("") if self.current in _ENDS else self._value()

    def _declare(self, shape: Shape, arguments: dict[str, Expression]) -> None:
        key = "name" if shape.name in _DECLARING else _COUNTERS.get(shape.name, "")
        named = arguments.get(key)
        if isinstance(named, Slot):
            self.literals_matter = True
        if isinstance(named, Literal):
            self._scopes[-1].update(str(named.value).split(","))

    def _check_set(self, shape: Shape, arguments: dict[str, Expression], start: int) -> None:
        named = arguments.get("name")
        if isinstance(named, Slot):
            self.literals_matter = True
        if shape.name != "set" or not isinstance(named, Literal) or not isinstance(named.value, str):
            return
        if not any(named.value in scope or _ANY in scope for scope in self._scopes):
            self.position = start
            self.skip_blanks()
            self.fail("syntax error")

    def known_property(self, name: str) -> bool:
        return not any(name in scope for scope in self._scopes)

    def _value(self, words: tuple[str, ...] = (), *, raw: bool = False) -> Expression:
        """One argument's value; must be followed by a blank or an end. `raw`: a bare word stays text, untyped."""
        start = self.position
        value = self._bare_value(raw)
        if words and isinstance(value, Literal | Slot) and self.text[start] != '"':
            self._check_word(self.text[start : self.position], words, start)
        if self.current not in _ENDS and self.current not in (" ", "\t", "\\"):
            self.fail("expected end of command")
        return value

    def _check_word(self, word: str, words: tuple[str, ...], start: int) -> None:
        """Words without quotes must be one of a closed set already for the parser: a bare `syntax error` (7.24.4)."""
        if word not in words:
            self.fail("syntax error", start)

    def _bare_value(self, raw: bool) -> Expression:
        character = self.current
        if character == '"':
            return self.string()
        if character == "$":
            return self.variable()
        if character == "(":
            return self.parenthesised()
        if character == "[":
            return self.substitution()
        if character == "{":
            return self.array()
        word = self.take(_ARGUMENT_WORD)
        if not word:
            self.fail("syntax error")
        index = self.slot(self.position - len(word))
        if index is not None:
            return Slot(index, typed=not raw)
        return Literal(word if raw else literals.literal(word))
