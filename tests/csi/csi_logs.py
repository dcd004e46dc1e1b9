"""What the driver logs while a test runs, at the level of debug, as records."""

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog

from rdscsi.observe import logs


class Logged:
    """The log so far."""

    def __init__(self) -> None:
        self.stream = io.StringIO()

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    def records(self, event: str = "", **values: object) -> list[dict[str, Any]]:
        """All records, or those of one event that carry these values."""
        found = [json.loads(line) for line in self.text.splitlines()]
        wanted = {"event": event, **values} if event else values
        return [one for one in found if all(one.get(key) == value for key, value in wanted.items())]


@contextmanager
def captured(level: str = "debug") -> Iterator[Logged]:
    """Keep what is logged in the body."""
    former, root = structlog.get_config(), logging.getLogger()
    handlers, threshold = root.handlers[:], root.level
    logged = Logged()
    logs.configure(level, "json", logged.stream)
    try:
        yield logged
    finally:
        structlog.configure(**former)
        root.handlers[:] = handlers
        root.setLevel(threshold)
