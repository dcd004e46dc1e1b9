"""Auto-typed words: what a word without quotes means (`yes`, `0x10`, `1.1`, `1d02:03:04`, `*2B`, `10.0.0.0/8`).

Everything that is none of those is a string. Facts: centrs' captures on 7.23.3 (1.1 is 1.0.0.1, 1.256 is a time).
"""

import re
from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, IPv6Network, NetmaskValueError

from rdscsi.simulator.console.times import parse_time
from rdscsi.simulator.console.values import Id, Value, saturated

_NUMBER = re.compile(r"-?(?:0[xX][0-9A-Fa-f]+|[0-9]+)")
_ID = re.compile(r"\*[0-9A-Fa-f]+")
_DOTTED = re.compile(r"(\d{1,3})\.(?:(\d{1,3})\.)?(?:(\d{1,3})\.)?(\d{1,3})")
_BOOLEANS = {"yes": True, "true": True, "no": False, "false": False}
_MAX_NUMBER = 400  # digits; longer ones saturate without being converted


def literal(word: str) -> Value:
    """The typed value of a word written without quotes."""
    first = word[:1]
    if first.isdigit() or first == "-":
        found = _numeric(word)
        return word if found is None else found
    if word in _BOOLEANS:
        return _BOOLEANS[word]
    if first == "*" and _ID.fullmatch(word):
        return Id(int(word[1:], 16))
    return (_ip6(word) or word) if ":" in word else word


def number(word: str) -> int | None:
    """The number that a whole word spells, as a literal; None when it is none."""
    if not _NUMBER.fullmatch(word):
        return None
    sign, digits = (-1, word[1:]) if word[0] == "-" else (1, word)
    if len(digits) > _MAX_NUMBER:
        return saturated(sign * 2**64)
    return saturated(sign * (int(digits, 16) if digits[:2] in ("0x", "0X") else int(digits)))


def _numeric(word: str) -> Value | None:
    found: Value | None = number(word)
    if found is None and ":" in word:  # a clock time is no address, and much more common
        found = parse_time(word)
    if found is None:
        found = address(word)
    if found is None:
        found = parse_time(word)
    return found


def address(word: str) -> Value | None:
    """An IPv4 or IPv6 address or prefix; `1.1` is 1.0.0.1 and host bits of a prefix are dropped."""
    if "/" in word:
        return _prefix(word)
    if ":" in word:
        return _ip6(word)
    match = _DOTTED.fullmatch(word)
    if match is None:
        return None
    parts = [int(part or 0) for part in match.groups()]
    return IPv4Address(bytes(parts)) if max(parts) < 256 else None


def _prefix(word: str) -> Value | None:
    host, _, bits = word.partition("/")
    if not bits.isdigit() or len(bits) > 3:
        return None
    base = address(host) if host else None
    try:
        if isinstance(base, IPv4Address):
            return IPv4Network((base, int(bits)), strict=False)
        if isinstance(base, IPv6Address):
            return IPv6Network((base, int(bits)), strict=False)
    except (NetmaskValueError, ValueError):
        return None
    return None


def _ip6(word: str) -> Value | None:
    if "/" in word:
        return _prefix(word)
    if word.count(":") < 2 or "%" in word:
        return None
    try:
        return IPv6Address(word)
    except (AddressValueError, ValueError):
        return None
