"""What the parser must know about commands: their shapes, and the tree of menus as a protocol.

RouterOS checks names while it parses, so an unknown menu or argument stops the whole line. The tree itself, with its
versions, is `rdscsi.simulator.menus.tree`; the language's own commands are in `language`.
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Shape:
    """How one command's arguments are written."""

    name: str
    arguments: Set[str] = frozenset()
    flags: Set[str] = frozenset()
    positional: tuple[str, ...] = ()
    code: Set[str] = frozenset()  # arguments whose `{…}` is a block, not an array
    takes_where: bool = False  # has the word `where`
    is_find: bool = False  # conditions may follow without the word
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # values that the parser itself checks


class Grammar(Protocol):
    """The tree of menus of one RouterOS version."""

    says_bad_parameter: bool
    """From 7.23 on an unknown argument is `bad parameter X`; before, `expected end of command`."""

    def child(self, path: str, word: str) -> str | None:
        """The sub-menu that `word` names or abbreviates below `path` ("" is the root)."""

    def command(self, path: str, word: str) -> Shape | None:
        """The command of the menu `path` that `word` names or abbreviates."""

    def language(self, word: str) -> Shape | None:
        """The language's own command (`put`, `if` …)."""


def abbreviated(word: str, names: Set[str]) -> str | None:
    """The name that `word` is, or the only one that it begins; None when there is none or more than one."""
    if word in names:
        return word
    found = [name for name in names if name.startswith(word)] if word else []
    return found[0] if len(found) == 1 else None
