"""The exclusive, durable right to change one subject; and the finality rule (law 2), in this one place.

The order that everything rests on:

1. The intent is committed before the body runs: whatever the body changes outside, the journal knows why. An open
   intent of an earlier attempt (this process or a dead one) is adopted, under its own id and with its own request.
2. The body observes, acts on the difference and observes again. Breadcrumbs (`step`) are for people.
3. `finish` commits the result and closes the operation in one transaction: the sole commit point.

A crash anywhere leaves an open intent, which the next start finds. What a caller may conclude follows from one rule:

    While the journal holds the operation open, whatever leaves the body means "maybe".

Every error that is not `NotFinal` becomes `OperationPending` on its way out, also one that a bug raised after the
intent was committed but before the body began. Only `fail` closes an operation without its result, and its caller
vouches that nothing of ours is half made. A cancellation leaves the operation open and travels on; an error that
travels with it, in a group, is translated too, because the cancellation is taken off further up.
"""

from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial

import trio

from rdscsi.errors import NotFinal, OperationPending
from rdscsi.journal import intents, text
from rdscsi.journal.ballast import Ballast
from rdscsi.journal.changes import Change
from rdscsi.journal.intents import Intent
from rdscsi.journal.queries import ERROR
from rdscsi.journal.records import Json, Step
from rdscsi.journal.writer import Work, Writer
from rdscsi.observe import logs

IntentChanges = Sequence[Change] | Callable[[str], Sequence[Change]]


class Operation:
    """A handle on the operation that is open for one subject; valid inside `Journal.operation` only."""

    def __init__(self, intent: Intent, *, writer: Writer, now: Callable[[], float]) -> None:
        self.id = intent.id
        self.kind = intent.kind
        self.subject = intent.subject
        self.request: Mapping[str, Json] = intent.request
        self.resumed = intent.resumed
        self.opened_at = intent.opened_at
        self.open = True
        self._writer = writer
        self._now = now

    def __repr__(self) -> str:
        return f"<{self.kind} {self.subject} {self.id}{' resumed' if self.resumed else ''}>"

    async def step(self, name: str, detail: str = "") -> None:
        """Leave a breadcrumb. Not waited for: it rides with the next transaction, within half a second."""
        self._writer.ride(intents.breadcrumb(self.id, Step(self._now(), text.line(name), text.line(detail))))
        await trio.lowlevel.checkpoint()

    def interrupted(self, error: BaseException) -> None:
        """Keep why the body is left with the operation open; a breadcrumb too."""
        self._writer.ride(intents.interruption(self.id, Step(self._now(), ERROR, text.describe(error))))

    async def record(self, *changes: Change) -> None:
        """Make changes durable while the operation stays open."""
        self._must_be_open()
        await self._writer.submit(intents.recording(self.id, changes))

    async def finish(self, *changes: Change, outcome: str = "done") -> None:
        """Commit the result and close the operation, in one transaction: the sole commit point."""
        self._must_be_open()
        await self._writer.submit(
            intents.closing(self.id, changes, state="done", at=self._now(), outcome=text.line(outcome))
        )
        self.open = False

    async def fail(self, error: Exception, *changes: Change) -> None:
        """Close the operation as refused: the caller vouches that nothing of ours is half made, then raises `error`.

        Raises ValueError for an error that is not final: such an operation stays open.
        """
        self._must_be_open()
        if isinstance(error, NotFinal):
            raise ValueError(f"{self!r} cannot be refused by {error!r}, which says that the outcome is open")
        await self._writer.submit(
            intents.closing(self.id, changes, state="refused", at=self._now(), error=text.describe(error))
        )
        self.open = False

    def _must_be_open(self) -> None:
        if not self.open:
            raise RuntimeError(f"{self!r} is closed already")


class LiveOperations:
    """Opens operations. A subject has at most one body in this process, so no live one is adopted or superseded."""

    def __init__(
        self,
        *,
        writer: Writer,
        ballast: Ballast,
        now: Callable[[], float],
        new_id: Callable[[], str],
        incarnation: int,
    ) -> None:
        self._writer = writer
        self._ballast = ballast
        self._now = now
        self._new_id = new_id
        self._incarnation = incarnation
        self._subjects: set[str] = set()

    @asynccontextmanager
    async def open(
        self,
        kind: str,
        subject: str,
        request: Mapping[str, Json],
        *,
        supersedes: Collection[str],
        changes: IntentChanges,
        undoing: bool,
    ) -> AsyncIterator[Operation]:
        """See `Journal.operation`."""
        begin = partial(self._intent, kind, subject, request, supersedes, changes, undoing=undoing)
        async with self._held(subject, begin) as operation:
            yield operation

    @asynccontextmanager
    async def adopt(self, operation_id: str, subject: str) -> AsyncIterator[Operation]:
        """See `Journal.adoption`."""
        begin = partial(intents.adopting, operation_id, at=self._now(), incarnation=self._incarnation)
        async with self._held(subject, begin) as operation:
            yield operation

    @asynccontextmanager
    async def _held(self, subject: str, begin: Callable[[], Work[Intent]]) -> AsyncIterator[Operation]:
        """Hold the subject while the body runs, from before the commit of what `begin` makes to the end."""
        operation: Operation | None = None
        with self._alone(subject):
            try:
                operation = Operation(await self._writer.submit(begin()), writer=self._writer, now=self._now)
                with logs.bound(operation=operation.id):
                    yield operation
                if operation.open:
                    raise RuntimeError(f"{operation!r} was left without finish() or fail()")
            except trio.Cancelled as cancelled:
                if operation is not None and operation.open:
                    operation.interrupted(cancelled)
                raise
            except (Exception, BaseExceptionGroup) as error:
                if operation is not None:
                    if not operation.open:
                        raise
                    operation.interrupted(error)
                leaving = finality(error, subject)
                if leaving is error:
                    raise
                raise leaving from error

    @contextmanager
    def _alone(self, subject: str) -> Iterator[None]:
        if subject in self._subjects:
            raise OperationPending(f"{subject}: an operation is running")
        self._subjects.add(subject)
        try:
            yield
        finally:
            self._subjects.remove(subject)

    def _intent(
        self,
        kind: str,
        subject: str,
        request: Mapping[str, Json],
        supersedes: Collection[str],
        changes: IntentChanges,
        *,
        undoing: bool,
    ) -> Work[Intent]:
        """Return what commits the intent, or adopts the open one. The id is chosen before: the changes can carry it."""
        wanted = Intent(self._new_id(), kind, subject, text.canonical(request), self._now())
        return intents.beginning(
            wanted,
            supersedes=supersedes,
            changes=changes(wanted.id) if callable(changes) else changes,
            incarnation=self._incarnation,
            room=_always if undoing else self._ballast.ensure,
        )


def _always() -> bool:
    return True


def finality(error: BaseException, subject: str) -> BaseException:
    """Return what may leave in place of `error` while the operation is open, or may be."""
    if isinstance(error, NotFinal):
        return error
    if isinstance(error, Exception):
        return OperationPending(f"{subject}: {text.describe(error)}; the operation is open and will be taken up again")
    if isinstance(error, BaseExceptionGroup):
        errors, others = error.split(Exception)
        if errors is None or others is None:
            return error
        return BaseExceptionGroup(error.message, [others, finality(errors, subject)])
    return error
