"""`/log`: what the appliance noted, in memory, lost by a reboot as on a device with default logging."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from rdscsi.simulator import texts
from rdscsi.simulator.clock import Clock
from rdscsi.simulator.console.evaluator import Request
from rdscsi.simulator.console.failures import ConsoleError
from rdscsi.simulator.console.text import text_of
from rdscsi.simulator.console.values import NOTHING, Value
from rdscsi.simulator.menus.menu import ListMenu, Mutation
from rdscsi.simulator.menus.shown import Layout

_KEPT = 1000
Entry = tuple[int, Mapping[str, Value]]


class Log:
    """The last thousand entries."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._numbers = itertools.count(1)
        self.entries: deque[Entry] = deque(maxlen=_KEPT)

    def note(self, topics: str, message: str) -> None:
        at = datetime.fromtimestamp(self._clock.now(), UTC).strftime("%Y-%m-%d %H:%M:%S")
        self.entries.append((next(self._numbers), {"time": at, "topics": topics, "message": message}))


class LogMenu(ListMenu[Entry]):
    """The menu over a `Log`."""

    layout = Layout(columns=("time", "topics", "message"), unquoted=frozenset({"time", "topics"}))
    key = ""

    def __init__(self, path: str, *, log: Log, before: Mutation) -> None:
        super().__init__(path, before=before)
        self._log = log

    def items(self) -> Iterable[Entry]:
        return list(self._log.entries)

    def number(self, item: Entry) -> int:
        return item[0]

    def by_number(self, number: int) -> Entry | None:
        return next((entry for entry in self._log.entries if entry[0] == number), None)

    def property_names(self, item: Entry) -> Iterable[str]:
        return item[1]

    def property(self, item: Entry, name: str) -> Value:
        return item[1].get(name, NOTHING)

    def _add(self, request: Request) -> Value:
        if "message" not in request.arguments:
            raise ConsoleError(texts.MISSING_VALUES(names="message"))
        self._log.note(f"script,{request.command}", text_of(request.arguments["message"]))
        return NOTHING

    do_info = do_warning = do_error = do_debug = _add
