"""The console lines of the controller, out of its JSON log as it grows. What is no JSON object is passed over."""

import json
from pathlib import Path

from rdscsi.demo.telling import ConsoleLine


class ConsoleLog:
    """Follows one log file from where it ends now."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = path.stat().st_size if path.exists() else 0

    def fresh(self) -> list[ConsoleLine]:
        """The lines that were logged since the last call."""
        with self._path.open("rb") as log:
            log.seek(self._offset)
            whole, _, _ = log.read().rpartition(b"\n")
        self._offset += len(whole) + 1 if whole else 0
        return [line for text in whole.splitlines() if (line := parse_event(text))]


def parse_event(text: bytes) -> ConsoleLine | None:
    """Read one log line; None when it tells of something else."""
    try:
        event = json.loads(text)
    except ValueError:
        return None
    if not isinstance(event, dict) or event.get("event") != "console":
        return None
    return ConsoleLine(str(event.get("line")), float(event.get("duration_ms", 0)) / 1000, str(event.get("outcome")))
