"""Takes secrets out of what is about to be logged or kept (law 12). Pure.

It is the last line of defence: code that holds a secret does not log it. What counts as one is decided by the key, and
in free text by the shapes below.
"""

import re
from collections.abc import Mapping
from typing import Final

REMOVED: Final = "[removed]"

_MAX_DEPTH = 8
_SECRET_KEY = re.compile(
    r"(?:^|[^a-z])(?:pass(?:word|wd|phrase)?s?|secrets?|credentials?|authorization|private[-_ ]?keys?"
    r"|(?:access|auth|bearer|id|refresh|service[-_]?account)[-_]?tokens?)(?:$|[^a-z])"
)
_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_SHAPES = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)"
    r"|(?P<key>pass(?:word|wd|phrase)s?|secrets?|credentials?|authorization|private[-_ ]?keys?)"
    # as in `key=`, `key: `, `"key": ` and `\"key\": `
    r"(?P<sign>(?:\\*[\"'])?\s{0,3}[=:]\s{0,3})"
    # a quoted value, with its own quotes escaped or all of it; something in brackets; or whatever ends with a blank
    r"(?:\"(?:[^\"\\]|\\.)*(?:\"|\Z)|'(?:[^'\\]|\\.)*(?:'|\Z)|\\+(?P<quote>[\"']).*?(?:\\+(?P=quote)|\Z)"
    r"|[{\[][^}\]]*(?:[}\]]|\Z)|(?:Bearer |Basic )?[^\s\"']+)",
    re.DOTALL | re.IGNORECASE,
)


def scrub(value: object, *, key: str = "") -> object:
    """Return the value without secrets: the whole of it when its key names one, otherwise what its text gives away.

    Mappings, lists and tuples are followed to a fixed depth; what lies deeper is removed.
    """
    return _scrub(value, key, _MAX_DEPTH)


def scrub_text(text: str) -> str:
    """Take private keys in PEM form, and `password=…` and the like, out of a text. Rather too much than too little."""
    return _SHAPES.sub(_replacement, text)


def is_secret_key(key: str) -> bool:
    """Tell whether a key names a secret: `password`, `privateKey`, `node-stage-secrets`; not `starting_token`."""
    return _SECRET_KEY.search(_WORD_START.sub("_", key).lower()) is not None


def _replacement(match: "re.Match[str]") -> str:
    return f"{match['key']}{match['sign']}{REMOVED}" if match["key"] else REMOVED


def _scrub(value: object, key: str, depth: int) -> object:
    if key and is_secret_key(key):
        return REMOVED
    if isinstance(value, str):
        return scrub_text(value)
    if isinstance(value, bytes | bytearray):
        return scrub_text(value.decode("utf-8", "backslashreplace"))
    if isinstance(value, Mapping | list | tuple):
        return _container(value, depth) if depth else REMOVED
    return value


def _container(
    value: "Mapping[object, object] | list[object] | tuple[object, ...]", depth: int
) -> "dict[str, object] | list[object]":
    if isinstance(value, Mapping):
        return {str(key): _scrub(one, str(key), depth - 1) for key, one in value.items()}
    return [_scrub(one, "", depth - 1) for one in value]
