"""The tree of menus of one RouterOS version, as the parser needs it: `commands.txt` read and gated.

Which words are flags, which commands take unnamed arguments, and which words the parser itself checks is decided here.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources

from rdscsi.simulator.console.grammar import Shape, abbreviated
from rdscsi.simulator.console.language import shape_of
from rdscsi.simulator.version import Minor, minor
from rdscsi.simulator.words import words

_FLAGS = frozenset(
    words(
        "append as-string as-string-value as-value brief compact count-only detail follow follow-only "
        "hide-sensitive oid once recursive relative show-hidden show-ids show-sensitive stats stats-detail "
        "terse timestamp value-list verbose without-paging"
    )
)
_NUMBERS = ("numbers",)
_POSITIONAL = {
    "get": ("number", "value-name"),
    "comment": ("numbers", "comment"),
    "edit": ("number", "value-name"),
    "copy": ("number", "name"),
    **dict.fromkeys(("debug", "error", "info", "warning"), ("message",)),
}
_YES_NO = ("yes", "no")
_BOOLEANS = frozenset(
    words(
        "compress disabled iscsi-export media-sharing mount mount-filesystem mount-read-only nfs-sharing "
        "nvme-tcp-export read-only show-at-login smb-sharing swap"
    )
)
_OF_ROSE = ("iscsi-", "nfs-", "nvme-tcp-", "raid-")
_WORDS = {"ddns-enabled": ("yes", "auto")}


def _gate(word: str) -> tuple[str, Minor, Minor]:
    name, _, span = word.partition("@")
    since, _, until = span.partition("-")
    return name, minor(since) if since else (0, 0), minor(until) if until else (99, 99)


@cache
def _table() -> tuple[tuple[str, str, tuple[tuple[str, Minor, Minor], ...]], ...]:
    text = resources.files(__package__).joinpath("commands.txt").read_text(encoding="ascii")
    rows = []
    for line in text.splitlines():
        if line and not line.startswith("#"):
            head, _, arguments = line.partition(":")
            menu, _, command = head.partition(" ")
            rows.append((menu, command, tuple(_gate(word) for word in arguments.split())))
    return tuple(rows)


class Tree:
    """Menus and commands of one version; a `console.grammar.Grammar`.

    Without the package rose-storage the menus and arguments that it brings are missing (which ones is a guess).
    """

    def __init__(self, version: str, *, rose_storage: bool = True, says_bad_parameter: bool | None = None) -> None:
        self.version = minor(version)
        self.says_bad_parameter = self.version >= (7, 23) if says_bad_parameter is None else says_bad_parameter
        self._commands: dict[str, dict[str, Shape]] = {}
        self._children: dict[str, set[str]] = {"": set()}
        for menu, command, arguments in _table():
            name, since, until = _gate(command)
            if since <= self.version <= until and (rose_storage or not menu.startswith("/disk/btrfs")):
                known = [word for word, first, last in arguments if first <= self.version <= last]
                self._add(menu, name, [word for word in known if rose_storage or not word.startswith(_OF_ROSE)])
        for menu, commands in self._commands.items():
            if "find" not in commands and "get" in commands:
                commands["get"] = _singleton_get(commands["get"], menu)

    def _add(self, menu: str, command: str, arguments: list[str]) -> None:
        self._commands.setdefault(menu, {})[command] = _shape(command, arguments)
        path = ""
        for word in menu[1:].split("/"):
            self._children.setdefault(path, set()).add(word)
            path = f"{path}/{word}"
            self._children.setdefault(path, set())

    def child(self, path: str, word: str) -> str | None:
        name = self._resolved(path, word)
        return f"{path}/{name}" if name in self._children.get(path, ()) else None

    def command(self, path: str, word: str) -> Shape | None:
        return self._commands.get(path, {}).get(self._resolved(path, word) or "")

    def language(self, word: str) -> Shape | None:
        return shape_of(word, self.version)

    def _resolved(self, path: str, word: str) -> str | None:
        children, commands = self._children.get(path, set()), self._commands.get(path, {})
        return word if word in children or word in commands else abbreviated(word, children | commands.keys())

    def has(self, menu: str, command: str, argument: str = "") -> bool:
        """Whether this version knows the argument (or the command)."""
        shape = self._commands.get(menu, {}).get(command)
        return shape is not None and (not argument or argument in shape.arguments or argument in shape.flags)

    def commands(self, menu: str) -> Mapping[str, Shape]:
        return self._commands.get(menu, {})


@cache
def tree_of(version: str, *, rose_storage: bool, says_bad_parameter: bool) -> Tree:
    """The tree of these settings, made once: trees do not change."""
    return Tree(version, rose_storage=rose_storage, says_bad_parameter=says_bad_parameter)


def _shape(command: str, arguments: list[str]) -> Shape:
    flags = frozenset(arguments) & _FLAGS
    named = frozenset(arguments) - flags - {"where"}
    positional = _POSITIONAL.get(command, _NUMBERS if "numbers" in named else ())
    words = dict.fromkeys(named & _BOOLEANS, _YES_NO) | {k: v for k, v in _WORDS.items() if k in named}
    return Shape(
        name=command,
        arguments=named,
        flags=flags,
        positional=positional if command != "copy" or "number" in named else (),
        code=named & {"do"},
        takes_where="where" in arguments,
        is_find=command == "find",
        words=words if command in ("add", "set") else {},
    )


def _singleton_get(shape: Shape, _menu: str) -> Shape:
    return Shape(shape.name, shape.arguments, shape.flags, ("value-name",))
