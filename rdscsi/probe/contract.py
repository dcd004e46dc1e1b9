"""What must be true of an appliance's answers, whoever gives them: the simulated RDS, a transcript, hardware.

Each check looks at the exchange of one step. Texts that are guesses are not compared; their shape is. A check of a step
that a run did not come to is skipped by the caller.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass

from rdscsi.probe.transcript import Exchange

_VERSION = re.compile(r"7\.\d+(\.\d+)?(?:(?:rc|beta)\d+)?( \(\w[\w-]*\))?")
_TIME = re.compile(r"(\d+w)?(\d+d)?\d\d:\d\d:\d\d")
_ID = re.compile(r"\*[0-9A-F]+")
_PLACE = re.compile(r"\(line 1 column \d+\)$")


@dataclass(frozen=True, slots=True)
class Check:
    """One statement about the answer to one step."""

    step: str
    statement: str
    holds: Callable[[Exchange], bool]


def _last(exchange: Exchange) -> str:
    lines = [line for line in exchange.lines if line]
    return lines[-1] if lines else ""


def _json(exchange: Exchange) -> object:
    return json.loads(_last(exchange))


def _record(exchange: Exchange) -> dict[str, object]:
    found = _json(exchange)
    return found if isinstance(found, dict) else {}


def _records(exchange: Exchange) -> list[object]:
    found = _json(exchange)
    return found if isinstance(found, list) else []


def _refused(exchange: Exchange) -> bool:
    """Something was printed, and it is no record and no id."""
    return bool(_last(exchange)) and not _last(exchange).startswith("{") and not _ID.fullmatch(_last(exchange))


def _only(exchange: Exchange, text: str) -> bool:
    return [line for line in exchange.lines if line] == text.split()


CHECKS: tuple[Check, ...] = (
    Check("version", "the version is 7.x, perhaps with its channel", lambda it: bool(_VERSION.fullmatch(_last(it)))),
    Check("uptime", "the uptime is a clock time with days and weeks", lambda it: bool(_TIME.fullmatch(_last(it)))),
    Check("put", "the answer is the text alone, on standard output",
          lambda it: it.output == "pong\n" and not it.stderr),
    Check("pool", "a pool shows size, file system and whether it is mounted",
          lambda it: {"size", "fs", "mounted", "slot"} <= _record(it).keys()),
    Check("pool", "sizes are plain numbers and booleans are booleans",
          lambda it: isinstance(_record(it)["size"], int) and isinstance(_record(it)["mounted"], bool)),
    Check("pool", "keys are in alphabetical order", lambda it: list(_record(it)) == sorted(_record(it))),
    Check("pool", "there is no status", lambda it: "status" not in _record(it)),
    Check("disks", "as-value is an array of objects", lambda it: all(isinstance(row, dict) for row in _records(it))),
    Check("no-disk", "no match is an empty array", lambda it: _json(it) == []),
    Check("unknown-command", "an unknown command is told with its column", lambda it: bool(_PLACE.search(_last(it)))),
    Check("unknown-menu", "an unknown menu is told with its column", lambda it: bool(_PLACE.search(_last(it)))),
    Check("unknown-argument", "an unknown argument is told with its column", lambda it: bool(_PLACE.search(_last(it)))),
    Check("error", "a run-time error ends the line after its output",
          lambda it: it.lines[0] == "first" and "never" not in it.output and _last(it).startswith("x")),
    Check("no-item", "a name that is not there is `no such item`", lambda it: "no such item" in _last(it)),
    Check("caught", "it can be caught with its text", lambda it: _last(it).startswith("Eno such item")),
    Check("line-of-4000", "a line of 4000 bytes is taken", lambda it: _last(it) == "3986"),
    Check("long-output", ":put does not wrap", lambda it: _last(it) == "y" * 2000),
    Check("empty-find", "a set of nothing says nothing", lambda it: not it.output.strip()),
    Check("add", "add answers with an id", lambda it: bool(_ID.fullmatch(_last(it)))),
    Check("added", "the file disk is there with its exact size, and its path begins with a slash",
          lambda it: _record(it)["file-path"] == f"/{str(_record(it)['file-path']).lstrip('/')}"
          and isinstance(_record(it)["size"], int)),
    Check("duplicate-slot", "a slot is given once", _refused),
    Check("missing-directory", "a missing directory is not made", _refused),
    Check("no-space", "a pool does not take more than it has", _refused),
    Check("default-mount", "mount-filesystem is yes unless said otherwise, M is binary",
          lambda it: _record(it)["mount-filesystem"] is True and _record(it)["size"] == 1 << 20),
    Check("comment-of-255", "a comment may have 255 bytes", lambda it: _last(it) == "255"),
    Check("comment-back", "set says nothing", lambda it: not it.output.strip()),
    Check("export", "an export has an NQN and a port",
          lambda it: bool(_record(it)["nvme-tcp-server-nqn"]) and _record(it)["nvme-tcp-server-port"] == 4420),
    Check("grow", "a disk grows", lambda it: isinstance(_record(it)["size"], int)),
    Check("remove-unknown", "removing what is not there is `no such item`", lambda it: "no such item" in _last(it)),
    Check("file-kept", "the file outlives its disk", lambda it: _only(it, "1")),
    Check("attach", "adding onto a file attaches it", lambda it: _record(it)["block-device"] is True),
)  # fmt: skip


def failures(check: Check, exchange: Exchange) -> str:
    """Empty when the check holds, otherwise what was seen. A look that finds nothing to look at has failed."""
    try:
        held = check.holds(exchange)
    except (ValueError, KeyError, IndexError, TypeError) as error:
        return f"{check.statement}: {error!r} on {exchange.output!r} {exchange.trouble}"
    return "" if held else f"{check.statement}: it answered {exchange.output!r} {exchange.trouble}"
