"""How values become text in the journal: canonical JSON for requests, one clean line for errors and details.

Secrets are taken out of lines here (law 12); who makes a request puts none into it.
"""

import json
from collections.abc import Iterator, Mapping

from rdscsi.journal.records import Json
from rdscsi.observe.secrets import scrub_text

MAX_TEXT = 2000  # characters of an error or a detail; enough for a RouterOS answer, far below a row's limits


def canonical(request: Mapping[str, Json]) -> str:
    """Render a request so that equal requests are equal text. Raises TypeError or ValueError for what is no JSON."""
    return json.dumps(request, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def line(text: str) -> str:
    """Make text safe to keep and to show: one line, valid Unicode, no control characters, no secrets, bounded."""
    known = scrub_text(text).encode("utf-8", "replace").decode("utf-8")
    flat = "".join(character if character.isprintable() else " " for character in known)
    return flat if len(flat) <= MAX_TEXT else flat[: MAX_TEXT - 1] + "…"


def describe(error: BaseException) -> str:
    """Say what went wrong in one line: class and message, each member of a group."""
    return line("; ".join(f"{type(one).__name__}: {one}" for one in _leaves(error)))


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _leaves(one)
    else:
        yield error
