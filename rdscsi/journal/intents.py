"""What an operation writes: its intent, its breadcrumbs, its end. SQL only; the order of things is in `operation`.

Each function returns a piece of work for the writer, which runs it in a savepoint of a shared transaction.
"""

import json
import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa

from rdscsi.errors import OperationPending
from rdscsi.journal import schema
from rdscsi.journal.ballast import JournalFull
from rdscsi.journal.changes import Change
from rdscsi.journal.prepared import Prepared, Row
from rdscsi.journal.queries import ATTEMPT
from rdscsi.journal.records import TOLD, Json, Step
from rdscsi.journal.retention import thin_trail
from rdscsi.journal.writer import Work

_o = schema.operations.c
FIND_OPEN = Prepared(sa.select(schema.operations).where(_o.subject == sa.bindparam("of"), _o.state == schema.OPEN))
_FIND = Prepared(sa.select(schema.operations).where(_o.id == sa.bindparam("of"), _o.state == schema.OPEN))
INSERT = Prepared(
    sa.insert(schema.operations),
    ("id", "kind", "subject", "request", "state", "opened_at", "incarnation", "attempts"),
)
_ADOPT = Prepared(
    sa.update(schema.operations)
    .where(_o.id == sa.bindparam("of"))
    .values(attempts=_o.attempts + 1, incarnation=sa.bindparam("now_in"), request=sa.bindparam("told_now"))
)
_UPDATE_OPEN = sa.update(schema.operations).where(_o.id == sa.bindparam("of"), _o.state == schema.OPEN)
_CLOSE = Prepared(
    _UPDATE_OPEN.values(
        state=sa.bindparam("to"), closed_at=sa.bindparam("when"), outcome=sa.bindparam("as"), error=sa.bindparam("why")
    )
)
_NOTE_ERROR = Prepared(_UPDATE_OPEN.values(error=sa.bindparam("why")))
_TOUCH = Prepared(sa.select(_o.number).where(_o.id == sa.bindparam("of"), _o.state == schema.OPEN))
_INSERT_STEP = Prepared(sa.insert(schema.steps), ("operation_id", "at", "name", "detail"))


class NoLongerOpen(OperationPending):
    """An open operation that was to be taken up again has been closed meanwhile; nothing was done."""


@dataclass(frozen=True, slots=True)
class Intent:
    """What an operation is about; `request_json` is canonical. `resumed`: an earlier attempt had committed it."""

    id: str
    kind: str
    subject: str
    request_json: str
    opened_at: float
    resumed: bool = False

    @property
    def request(self) -> Mapping[str, Json]:
        """The request as JSON values."""
        parsed: Mapping[str, Json] = json.loads(self.request_json)
        return parsed


def beginning(
    intent: Intent,
    *,
    supersedes: Collection[str],
    changes: Sequence[Change],
    incarnation: int,
    room: Callable[[], bool],
) -> Work[Intent]:
    """Commit an intent with its changes, or adopt the open one that says the same (its changes stand already).

    Raises OperationPending when another operation is open for the subject and not of a superseded kind, and
    JournalFull when there is no `room` for one more that will have to be closed.
    """

    def work(connection: sqlite3.Connection) -> Intent:
        found = FIND_OPEN.one(connection, {"of": intent.subject})
        if found is not None:
            if found["kind"] == intent.kind and _equal(found["request"], intent.request_json):
                told_now = intent.request_json if TOLD in intent.request else found["request"]
                _adopt(connection, found["id"], found["attempts"] + 1, intent.opened_at, incarnation, told_now)
                return Intent(found["id"], intent.kind, intent.subject, told_now, found["opened_at"], resumed=True)
            _supersede(connection, found, intent, supersedes)
        elif not room():
            raise JournalFull(
                f"{intent.subject}: the disk of the journal is full; {intent.kind} is not begun until there is space"
            )
        row: dict[str, object] = {
            "id": intent.id,
            "kind": intent.kind,
            "subject": intent.subject,
            "request": intent.request_json,
        }
        row |= {"state": "open", "opened_at": intent.opened_at, "incarnation": incarnation, "attempts": 1}
        INSERT.run(connection, row)
        _apply(connection, changes)
        return intent

    return work


def adopting(operation_id: str, *, at: float, incarnation: int) -> Work[Intent]:
    """Take up an open operation once more, as it stands. Raises NoLongerOpen when it was closed."""

    def work(connection: sqlite3.Connection) -> Intent:
        found = _FIND.one(connection, {"of": operation_id})
        if found is None:
            raise NoLongerOpen(f"operation {operation_id} is no longer open in the journal")
        _adopt(connection, found["id"], found["attempts"] + 1, at, incarnation, found["request"])
        return Intent(found["id"], found["kind"], found["subject"], found["request"], found["opened_at"], resumed=True)

    return work


def breadcrumb(operation_id: str, step: Step) -> Work[None]:
    """Keep a step."""

    def work(connection: sqlite3.Connection) -> None:
        _add_step(connection, operation_id, step)

    return work


def interruption(operation_id: str, step: Step) -> Work[None]:
    """Keep why a body was left unfinished: as a step, and on the operation while it is open."""

    def work(connection: sqlite3.Connection) -> None:
        _NOTE_ERROR.run(connection, {"of": operation_id, "why": step.detail})
        _add_step(connection, operation_id, step)

    return work


def recording(operation_id: str, changes: Sequence[Change]) -> Work[None]:
    """Apply changes on behalf of an operation that is still open."""

    def work(connection: sqlite3.Connection) -> None:
        if _TOUCH.one(connection, {"of": operation_id}) is None:
            raise _closed_elsewhere(operation_id)
        _apply(connection, changes)

    return work


def closing(
    operation_id: str,
    changes: Sequence[Change],
    *,
    state: Literal["done", "refused"],
    at: float,
    outcome: str = "",
    error: str = "",
) -> Work[None]:
    """Apply the last changes and close the operation."""

    def work(connection: sqlite3.Connection) -> None:
        _apply(connection, changes)
        values = {"of": operation_id, "to": state, "when": at, "as": outcome, "why": error}
        if _CLOSE.run(connection, values).rowcount != 1:
            raise _closed_elsewhere(operation_id)

    return work


def _equal(one: str, other: str) -> bool:
    """Tell whether two requests, as canonical JSON, ask for the same; what was told beside them does not count."""
    return one == other or _asked(one) == _asked(other)


def _asked(request_json: str) -> Mapping[str, Json]:
    request: Mapping[str, Json] = json.loads(request_json)
    return {key: value for key, value in request.items() if key != TOLD}


def _adopt(
    connection: sqlite3.Connection, operation_id: str, attempt: int, at: float, incarnation: int, told_now: str
) -> None:
    _ADOPT.run(connection, {"of": operation_id, "now_in": incarnation, "told_now": told_now})
    _add_step(connection, operation_id, Step(at, ATTEMPT, f"{attempt}, in start {incarnation} of the process"))
    thin_trail(connection, operation_id)


def _supersede(connection: sqlite3.Connection, found: Row, intent: Intent, supersedes: Collection[str]) -> None:
    if found["kind"] not in supersedes:
        raise OperationPending(
            f"{intent.subject}: {found['kind']} {found['id']} is unfinished; {intent.kind} waits until it is settled"
        )
    values = {"of": found["id"], "to": "superseded", "when": intent.opened_at, "why": found["error"]}
    _CLOSE.run(connection, {**values, "as": f"superseded by {intent.kind} {intent.id}"})


def _add_step(connection: sqlite3.Connection, operation_id: str, step: Step) -> None:
    values = {"operation_id": operation_id, "at": step.at, "name": step.name, "detail": step.detail}
    _INSERT_STEP.run(connection, values)


def _apply(connection: sqlite3.Connection, changes: Sequence[Change]) -> None:
    for change in changes:
        change.apply(connection)


def _closed_elsewhere(operation_id: str) -> OperationPending:
    return OperationPending(f"operation {operation_id} is no longer open in the journal; its subject is looked at anew")
