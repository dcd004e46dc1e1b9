"""From errors to gRPC codes: one table. `docs/error-codes.md` says the same to people, and a test compares them.

To every sidecar CANCELLED, DEADLINE_EXCEEDED, UNAVAILABLE and ABORTED mean "maybe, ask again"; whatever else means
"it did not happen" (law 2). So classes that say "maybe" must map to these, and the others must not.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import trio
from grpclib.const import Status

from rdscsi import errors
from rdscsi.observe.secrets import scrub_text

NOT_FINAL = frozenset({Status.CANCELLED, Status.DEADLINE_EXCEEDED, Status.UNAVAILABLE, Status.ABORTED})
"""What external-provisioner's `checkError` and its likes in the other sidecars take for "still under way"."""

CODES: Mapping[type[errors.DriverError], Status] = {
    errors.DriverError: Status.INTERNAL,
    errors.InvalidRequest: Status.INVALID_ARGUMENT,
    errors.CapacityOutOfRange: Status.OUT_OF_RANGE,
    errors.InvalidToken: Status.ABORTED,  # the specification's code for it: list again from the start
    errors.NotFound: Status.NOT_FOUND,
    errors.AlreadyExists: Status.ALREADY_EXISTS,
    errors.NotPermittedNow: Status.FAILED_PRECONDITION,
    errors.FormatRefused: Status.FAILED_PRECONDITION,
    errors.NotSupported: Status.UNIMPLEMENTED,
    errors.NotReachable: Status.RESOURCE_EXHAUSTED,  # the specification's code for it
    errors.Abandoned: Status.INTERNAL,  # nothing is left of it; to ask again is to begin anew
    errors.SettingsInvalid: Status.INTERNAL,
    errors.NotFinal: Status.ABORTED,
    errors.Busy: Status.ABORTED,
    errors.OperationPending: Status.ABORTED,
    errors.DeviceUnavailable: Status.UNAVAILABLE,
    errors.ClusterUnavailable: Status.UNAVAILABLE,
    errors.OutcomeUnknown: Status.UNAVAILABLE,
    errors.UnexpectedAnswer: Status.UNAVAILABLE,
    errors.InventoryIncomplete: Status.UNAVAILABLE,
    errors.Fenced: Status.UNAVAILABLE,
    errors.StandingBy: Status.UNAVAILABLE,
    errors.Superseded: Status.UNAVAILABLE,
    errors.Quarantined: Status.ABORTED,
    errors.ShuttingDown: Status.UNAVAILABLE,
    errors.Refused: Status.INTERNAL,
    errors.OutOfSpace: Status.RESOURCE_EXHAUSTED,
    errors.NotOurs: Status.FAILED_PRECONDITION,
    errors.CommandFailed: Status.INTERNAL,
    errors.JournalFailed: Status.UNAVAILABLE,
}

_LONGEST_MESSAGE = 1024
"""Characters: the message travels percent-encoded in a header, and clients take 8 KiB of those."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a failed call is answered. `bug` marks an error that nobody raised on purpose."""

    code: Status
    message: str
    bug: bool = False


def verdict(error: BaseException, *, changes: bool) -> Verdict:
    """Decide the answer to a call that ended in this error; `changes` tells whether the method changes anything.

    An error that nobody raised on purpose proves nothing. For a method that changes things it is therefore not
    final; the bug is in the log, and the orchestrator asks again.
    """
    cause = collapse(error)
    if isinstance(cause, errors.DriverError):
        return Verdict(code_of(type(cause)), _message(cause))
    if isinstance(cause, trio.TooSlowError):
        return Verdict(Status.DEADLINE_EXCEEDED, "it took too long and may still happen")
    code = Status.ABORTED if changes else Status.INTERNAL
    return Verdict(code, f"a fault in the driver ({type(cause).__name__}), see its log", bug=True)


def code_of(error: type[errors.DriverError]) -> Status:
    """Return the code of an error class: its own, or the nearest base class's."""
    return next(CODES[base] for base in error.__mro__ if base in CODES)


def collapse(error: BaseException) -> BaseException:
    """Pick the one error that answers the call out of an exception group, nested or not.

    One that says "maybe" wins, for nothing in the group proves it wrong; then a bug, then the first.
    """
    leaves = list(_leaves(error))
    for leaf in leaves:
        if isinstance(leaf, errors.NotFinal | trio.TooSlowError):
            return leaf
    return next((leaf for leaf in leaves if not isinstance(leaf, errors.DriverError)), leaves[0])


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _leaves(one)
    else:
        yield error


def _message(error: errors.DriverError) -> str:
    text = scrub_text(str(error)) or type(error).__name__
    return text if len(text) <= _LONGEST_MESSAGE else text[: _LONGEST_MESSAGE - 1] + "…"
