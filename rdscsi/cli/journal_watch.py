"""`rdscsi journal watch`: what happens in the journal, line by line, as it is committed."""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rdscsi.cli import figures
from rdscsi.journal import OperationRecord, asking
from rdscsi.journal.reading import Reading, read_journal
from rdscsi.observe.lines import one_line

_LATEST = 200  # operations looked at each time: what is open, and what began or ended since


News = tuple[float, OperationRecord, str]


@dataclass(slots=True)
class Watched:
    """What was told already: how many steps, and the state, of each operation."""

    told: dict[str, tuple[int, str]] = field(default_factory=dict)

    def news(self, operations: list[OperationRecord], *, first: bool) -> list[News]:
        """Tell what is new, oldest first: of each operation its beginning, its steps, its end.

        `first`: of what went before only the latest of each open operation is told.
        """
        found = [list(self._of(operation)) for operation in operations]
        if first:
            found = [news[-1:] if news[0][1].state == "open" else [] for news in found]
        return sorted((one for news in found for one in news), key=lambda one: one[0])

    def _of(self, operation: OperationRecord) -> Iterator[News]:
        steps, state = self.told.get(operation.id, (-1, ""))
        self.told[operation.id] = (len(operation.steps), operation.state)
        if steps < 0:
            yield operation.opened_at, operation, "asked for"
        for step in operation.steps[max(steps, 0) :]:
            yield step.at, operation, f"{step.name} {step.detail}".rstrip()
        if operation.closed_at is not None and state != operation.state:
            yield operation.closed_at, operation, f"{operation.state}: {operation.outcome or operation.error}"


def run(args: argparse.Namespace, *, sleep: Callable[[float], None] = time.sleep) -> int:
    """Follow the journal; ends when what was named has ended, after `--seconds`, or by Ctrl-C. The exit status."""
    watched, deadline = Watched(), time.monotonic() + args.seconds if args.seconds else None
    first = True
    while True:
        with read_journal(Path(args.journal)) as reading:
            operations = _chosen(reading, args.what)
        for at, operation, text in watched.news(operations, first=first and not args.what):
            _tell(args, at, operation, text)
        first = False
        if args.what and operations and all(one.state != "open" for one in operations):
            return 0 if operations[0].state == "done" else 1
        if deadline is not None and time.monotonic() >= deadline:
            return 3 if any(one.state == "open" for one in operations) else 0
        sleep(args.interval)


def _chosen(reading: Reading, what: str) -> list[OperationRecord]:
    if what:
        return reading.operations_about(what, limit=1) + reading.operations_about(asking.subject_about(what), limit=1)
    latest = {one.id: one for one in [*reading.operations(limit=_LATEST), *reading.open_operations()]}
    return list(latest.values())


def _tell(args: argparse.Namespace, at: float, operation: OperationRecord, text: str) -> None:
    if args.output == "json":
        told = {"at": figures.moment(at), "operation": operation.id, "kind": operation.kind}
        print(json.dumps(told | {"subject": operation.subject, "text": text}), flush=True)
    else:
        about = f"{operation.kind} {operation.id} {operation.subject}"
        print(one_line(f"{figures.moment(at)}  {about}: {text}"), flush=True)
