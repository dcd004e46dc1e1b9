"""Runs operations apart from the RPCs that ask for them (law 1): one at a time for each subject, in one nursery.

An RPC starts an operation or joins the one that runs, and waits. What ends the wait (a deadline, a client that went
away) does not touch the operation, which has a deadline of its own. What an operation left open is the journal's
matter (`rdscsi.journal.operation`); nothing here is durable.
"""

from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, cast

import trio

from rdscsi.errors import Busy, DriverError, JournalFailed, OperationPending, ShuttingDown
from rdscsi.observe import logs

T = TypeVar("T")

_log = logs.get_log()


@dataclass(slots=True, eq=False)
class _Live(Generic[T]):
    """An operation that runs, and after `done` how it ended: with `result`, unless there is an `error`."""

    subject: str
    fingerprint: Hashable
    scope: trio.CancelScope
    error: Exception | None
    result: T | None = None
    waiting: int = 0
    done: trio.Event = field(default_factory=trio.Event)


class Operations:
    """The operations of a process. `deadline` is how many seconds each may take."""

    def __init__(self, nursery: trio.Nursery, *, deadline: float) -> None:
        self._nursery = nursery
        self._deadline = deadline
        self._draining = False
        self._live: dict[str, _Live[Any]] = {}  # Any: each operation has a result type of its own

    @property
    def running(self) -> int:
        """How many operations run now."""
        return len(self._live)

    def waited_for(self, subject: str) -> bool:
        """Tell whether anybody waits for what runs for a subject now: all who asked may have gone."""
        live = self._live.get(subject)
        return live is not None and live.waiting > 0

    async def run(self, subject: str, fingerprint: Hashable, fn: Callable[[], Awaitable[T]]) -> T:
        """Run `fn` as the one operation of its subject, or join the one that runs; return its result.

        Raises what `fn` raises, each waiter a copy of its own; Busy at once when another request (a different
        fingerprint) runs for the subject; OperationPending when the operation's deadline has passed; ShuttingDown when
        the process ends. The operation inherits the caller's log context. Cancelling the caller ends its wait only.
        """
        await trio.lowlevel.checkpoint_if_cancelled()  # who is gone already starts nothing
        return await self._outcome(self._joined(subject, fingerprint) or self._started(subject, fingerprint, fn))

    async def wait_idle(self, subject: str) -> None:
        """Wait until nothing runs for a subject, whatever it was and however it ended.

        A `run` that follows directly is the next one: nobody comes in between.
        """
        await trio.lowlevel.checkpoint()
        while (live := self._live.get(subject)) is not None:
            await live.done.wait()

    async def drain(self, grace_seconds: float) -> None:
        """Refuse new operations, wait for those that run, cancel what is left after the grace period, see it end.

        A cancelled operation leaves an open intent in the journal, which the next start takes up.
        """
        self._draining = True
        with trio.move_on_after(grace_seconds):
            await self._idle()
        for live in self._live.values():
            _log.warning("operation.cut_short", subject=live.subject, grace_seconds=grace_seconds)
            live.scope.cancel(reason="the process is ending")
        await self._idle()

    def _joined(self, subject: str, fingerprint: Hashable) -> "_Live[Any] | None":
        live = self._live.get(subject)
        if live is None:
            return None
        if live.fingerprint != fingerprint:
            raise Busy(f"{subject}: a different request is running; ask again when it has ended")
        _log.debug("operation.joined", subject=subject, waiting=live.waiting)
        return live

    def _started(self, subject: str, fingerprint: Hashable, fn: Callable[[], Awaitable[T]]) -> _Live[T]:
        if self._draining:
            raise ShuttingDown(f"{subject}: the process is ending; the next one does the work")
        unless_told = ShuttingDown(f"{subject}: the process is ending; the next one finishes the work")
        scope = trio.CancelScope(relative_deadline=self._deadline)
        live: _Live[T] = _Live(subject, fingerprint, scope, unless_told)
        self._live[subject] = live
        self._nursery.start_soon(self._work, live, fn, name=f"operation on {subject}")
        return live

    async def _outcome(self, live: _Live[T]) -> T:
        live.waiting += 1
        try:
            await live.done.wait()
        finally:
            live.waiting -= 1
        if live.error is not None:
            raise _copy(live.error)
        return cast("T", live.result)

    async def _work(self, live: _Live[T], fn: Callable[[], Awaitable[T]]) -> None:
        """Run one operation in a task of its own. Only a failed journal, or what is no Exception, leaves it."""
        began = trio.current_time()
        with logs.bound(subject=live.subject):
            try:
                with live.scope:
                    live.result = await fn()
                    live.error = None
                if live.scope.cancelled_caught and began + self._deadline <= trio.current_time():
                    live.error = OperationPending(
                        f"{live.subject}: not finished within {self._deadline:g} s; it is taken up again when asked for"
                    )
            except Exception as error:
                live.error = error
                if _has(error, JournalFailed):
                    raise  # law 10: the process ends
            finally:
                del self._live[live.subject]
                _log_end(live, trio.current_time() - began)
                live.done.set()

    async def _idle(self) -> None:
        while self._live:
            await next(iter(self._live.values())).done.wait()


def _log_end(live: _Live[Any], seconds: float) -> None:
    """Log a bug with its traceback; else the RPC that waits tells how it went, and when none does, this line."""
    if live.error is not None and _is_bug(live.error):
        _log.error("operation.bug", seconds=seconds, exc_info=live.error)
    elif not live.waiting:
        outcome = "done" if live.error is None else f"{type(live.error).__name__}: {live.error}"
        _log.info("operation.ended_alone", seconds=seconds, outcome=outcome)


def _is_bug(error: BaseException) -> bool:
    """Tell whether nobody meant to raise this; the journal hands a bug on as the cause of OperationPending."""
    if isinstance(error, BaseExceptionGroup):
        return any(map(_is_bug, error.exceptions))
    if isinstance(error, OperationPending) and error.__cause__ is not None:
        return _is_bug(error.__cause__)
    return not isinstance(error, DriverError)


def _has(error: Exception, kind: type[Exception]) -> bool:
    return isinstance(error, kind) or (isinstance(error, ExceptionGroup) and error.subgroup(kind) is not None)


def _copy(error: Exception) -> Exception:
    """Copy an error for one waiter: raising changes an exception (traceback, context), and several raise this one."""
    if isinstance(error, ExceptionGroup):
        copy: Exception = error.derive([_copy(one) for one in error.exceptions])
    else:
        copy = type(error).__new__(type(error), *error.args)  # not called: its arguments may differ from `args`
    copy.__dict__.update(error.__dict__)
    copy.__cause__, copy.__suppress_context__ = error.__cause__, error.__suppress_context__
    return copy.with_traceback(error.__traceback__)
