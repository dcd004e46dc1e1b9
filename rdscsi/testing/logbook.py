"""Reads what was logged: for tests that assert on events. Whoever set logs up before finds them as they were."""

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog

from rdscsi.observe import logs


class Logbook:
    """The events logged so far, as JSON tells them."""

    def __init__(self, stream: io.StringIO) -> None:
        self._stream = stream

    @property
    def text(self) -> str:
        """Everything, as it was written."""
        return self._stream.getvalue()

    def events(self, name: str = "") -> list[dict[str, Any]]:
        """Return the events of one name, or all."""
        found = [json.loads(line) for line in self.text.splitlines()]
        return [event for event in found if not name or event["event"] == name]


@contextmanager
def open_logbook(level: str = "debug") -> Iterator[Logbook]:
    """Keep what is logged while the body runs."""
    before, root = structlog.get_config(), logging.getLogger()
    handlers, severity = root.handlers[:], root.level
    stream = io.StringIO()
    logs.configure(level, "json", stream)
    try:
        yield Logbook(stream)
    finally:
        structlog.configure(**before)
        root.handlers[:] = handlers
        root.setLevel(severity)
