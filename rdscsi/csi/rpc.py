"""What every method of ours goes through: `rpc` crosses to Trio, names the call in the logs, turns errors into codes.

The only place that logs calls, and the only one in the edge that catches whatever a call raises. Nothing but an answer
or a GRPCError goes back to asyncio: an exception that is meant to end a process would hang trio-asyncio's loop there.
"""

import asyncio
import functools
import logging
import secrets
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, cast

import trio
import trio_asyncio
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from rdscsi.csi import checks
from rdscsi.csi.drain import InFlight
from rdscsi.csi.schema import Schema
from rdscsi.csi.shown import shown
from rdscsi.csi.status import Verdict, verdict
from rdscsi.errors import ShuttingDown
from rdscsi.observe import logs

_log = logs.get_log()

_ANYTHING = (Exception, BaseExceptionGroup, SystemExit, KeyboardInterrupt, asyncio.CancelledError)
"""All but `trio.Cancelled` alone. The latter three have no business here; each would hang or end the loop."""

_DONE = Verdict(Status.OK, "done")
_GONE = Verdict(Status.CANCELLED, "the caller's deadline passed, or it went away; what it asked for goes on")


class Servicer(Protocol):
    """A class whose methods `rpc` decorates."""

    @property
    def calls(self) -> "Calls": ...


S = TypeVar("S", bound=Servicer)
Request = TypeVar("Request")
Response = TypeVar("Response")


@dataclass(frozen=True, slots=True)
class _Method:
    """A method's name as the contract has it, and whether calling it changes anything."""

    name: str
    changes: bool


def rpc(
    *, changes: bool
) -> Callable[
    [Callable[[S, Request], Awaitable[Response]]], Callable[[S, Request], Coroutine[Any, Any, Response]]
]:  # Any: what a coroutine sends and yields is its loop's matter
    """Make a Trio-flavoured method callable by grpclib. `changes` tells whether a lost outcome would matter."""

    def decorate(
        method: Callable[[S, Request], Awaitable[Response]],
    ) -> Callable[[S, Request], Coroutine[Any, Any, Response]]:
        called = _Method("".join(map(str.capitalize, method.__name__.split("_"))), changes)

        @functools.wraps(method)
        async def entry(self: S, message: Request) -> Response:
            """Asyncio-flavoured. The codec passes bytes on as they are."""
            answer = trio_asyncio.trio_as_aio(self.calls.answer)
            return cast("Response", await answer(called, functools.partial(method, self), message))

        return entry

    return decorate


class Calls:
    """What all servicers of a server share. `new_id` gives the id that leads from a call to its console lines."""

    def __init__(
        self, *, in_flight: InFlight, schema: Schema, new_id: Callable[[], str] = lambda: secrets.token_hex(6)
    ) -> None:
        self._in_flight = in_flight
        self._schema = schema
        self._new_id = new_id

    async def answer(self, method: _Method, work: Callable[[Request], Awaitable[Response]], message: Request) -> bytes:
        """Do one call's work and return the encoded answer. Raises GRPCError for whatever the work raises.

        The answer is encoded here because that can fail too, and after a change such a failure is not final.
        """
        with logs.bound(rpc=method.name, rpc_id=self._new_id(), **_subject(message)):
            if _log.is_enabled_for(logging.DEBUG):  # a request of megabytes takes its time to be written out
                _log.debug("rpc.started", request=shown(message, self._schema))
            began = trio.current_time()
            outcome, bug = _GONE, None
            try:
                reply = await self._uncut(work, message)
                outcome = _DONE
                return reply
            except _ANYTHING as error:
                cancelled, rest = _split(error)
                if rest is not None:
                    outcome = verdict(rest, changes=method.changes)
                    bug = rest if outcome.bug else None
                if cancelled is not None:
                    raise cancelled from None  # nobody waits for an answer; the scope that cancels wants this back
                raise GRPCError(outcome.code, outcome.message) from rest
            finally:
                _log_end(outcome, bug, method, trio.current_time() - began)

    async def _uncut(self, work: Callable[[Request], Awaitable[Response]], message: Request) -> bytes:
        with self._in_flight.cuttable():
            return bytes(cast("Any", await work(message)))  # Any: generated messages have __bytes__
        raise ShuttingDown("the process is ending; what was begun is finished by it or by the next one")


def _subject(message: object) -> dict[str, str]:
    """Return whom the call is about: a volume by id, or by name while it has none."""
    subject = getattr(message, "volume_id", "") or getattr(message, "name", "")
    return {"subject": checks.shortened(subject)} if subject else {}


def _split(error: BaseException) -> tuple[BaseException | None, BaseException | None]:
    """Part Trio's cancellation from what else a group holds."""
    return error.split(trio.Cancelled) if isinstance(error, BaseExceptionGroup) else (None, error)


def _log_end(outcome: Verdict, bug: BaseException | None, method: _Method, seconds: float) -> None:
    line = {"seconds": seconds, "code": outcome.code.name, "outcome": outcome.message}
    if bug is not None:
        _log.error("rpc.ended", **line, exc_info=bug)
    elif outcome.code is Status.OK and not method.changes:
        _log.debug("rpc.ended", **line)
    elif outcome.code in (Status.OK, Status.CANCELLED):
        _log.info("rpc.ended", **line)
    else:
        _log.warning("rpc.ended", **line)
