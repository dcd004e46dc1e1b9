"""What was typed and what was answered: the last lines in memory, and all of them in a file when one is given."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Exchange:
    """One line and its end. `outcome`: answered, dropped-before, dropped-after, late, cut, injected."""

    number: int
    at: float
    user: str
    line: str
    output: str
    seconds: float
    outcome: str


class History:
    """A ring of exchanges; the optional file has one JSON object a line."""

    def __init__(self, *, keep: int = 1000, path: Path | None = None) -> None:
        self._ring: deque[Exchange] = deque(maxlen=keep)
        self._path = path
        self._count = 0

    def __iter__(self) -> Iterator[Exchange]:
        return iter(tuple(self._ring))

    def __len__(self) -> int:
        return self._count

    def add(self, *, at: float, user: str, line: str, output: str, seconds: float, outcome: str) -> None:
        self._count += 1
        exchange = Exchange(self._count, at, user, line, output, seconds, outcome)
        self._ring.append(exchange)
        if self._path is not None:
            with open(self._path, "a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(exchange)) + "\n")

    def after(self, number: int) -> list[Exchange]:
        """Exchanges with a higher number, oldest first."""
        return [exchange for exchange in self._ring if exchange.number > number]
