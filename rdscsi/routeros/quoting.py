"""The only place that turns a value into RouterOS console text (RouterOS 7 scripting manual; docs/routeros.md).

Everything is quoted, always; an unquoted value is auto-typed by the console, and `$` inside quotes runs code. Menu
paths and property names are constants in `lines`, never data.
"""

import re

MAX_VALUE_BYTES = 512

_PRINTABLE = re.compile(r"[\x20-\x7e]*")
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "$": "\\$", "?": "\\?"})


def quote(value: str) -> str:
    """Return the value as a RouterOS string literal.

    Raises ValueError for anything but printable ASCII of at most 512 bytes: bytes beyond break lines over SSH
    (RouterOS 7.24.4), and nothing that this driver sends needs them.
    """
    if not _PRINTABLE.fullmatch(value):
        raise ValueError(f"only printable ASCII may be sent to RouterOS: {value!r}")
    if len(value) > MAX_VALUE_BYTES:
        raise ValueError(f"a value of {len(value)} bytes is longer than {MAX_VALUE_BYTES}")
    return f'"{value.translate(_ESCAPES)}"'


def number(value: int) -> str:
    """Return an integer literal. Sizes go as plain bytes: suffixes differ between commands and versions.

    Raises ValueError outside RouterOS's 64-bit range, where literals saturate silently.
    """
    if not 0 <= value < 2**63:
        raise ValueError(f"{value} does not fit a RouterOS number")
    return str(value)


def yes_no(value: bool) -> str:
    """Return a console boolean: `yes` or `no`, the only spelling that commands accept."""
    return "yes" if value else "no"
