"""Reads mountinfo (proc_pid_mountinfo(5)). Pure; mounting itself is in `rdscsi.host.mounts`."""

import re

from rdscsi.errors import UnexpectedAnswer
from rdscsi.host.ports import Mount

_ESCAPED = re.compile(r"\\([0-7]{3})")
_NUMBER = re.compile(r"([0-9]+):([0-9]+)", re.ASCII)
_FIELDS_BEFORE, _FIELDS_AFTER = 6, 3


def parse_mountinfo(text: str) -> list[Mount]:
    """Return the mounts in the order in which they are listed: of several on one path the last is on top.

    Raises UnexpectedAnswer for a line that cannot be read: a mount that is overlooked is taken for absent.
    """
    return [_parse_line(line) for line in text.split("\n") if line]


def _parse_line(line: str) -> Mount:
    before, separator, after = line.partition(" - ")
    head, tail = before.split(" "), after.split(" ")
    number = _NUMBER.fullmatch(head[2]) if len(head) >= _FIELDS_BEFORE else None
    if not separator or number is None or len(tail) < _FIELDS_AFTER:
        raise UnexpectedAnswer(f"mountinfo: cannot be read: {line!r}")
    return Mount(
        mount_point=unescape(head[4]),
        number=(int(number[1]), int(number[2])),
        root=unescape(head[3]),
        fs_type=tail[0],
        source=unescape(tail[1]),
        options=tuple(head[5].split(",")),
        super_options=tuple(unescape(" ".join(tail[2:])).split(",")),
    )


def unescape(text: str) -> str:
    r"""Undo the kernel's octal escapes: `\040` is a space, `\011` a tab, `\012` a line feed, `\134` a backslash."""
    if "\\" not in text:
        return text
    return _ESCAPED.sub(lambda found: chr(int(found[1], 8)), text)
