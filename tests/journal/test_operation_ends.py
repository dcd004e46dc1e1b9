"""How an operation ends, once and as a whole; and what becomes of one that an earlier attempt left."""

import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import trio
from journal_sample import VOLUME
from operation_rig import FORGED, REQUEST, journal_at, only, running
from trio.testing import MockClock

from rdscsi import errors
from rdscsi.errors import DeviceUnavailable, NotFinal, OperationPending, OutOfSpace
from rdscsi.journal import Journal, Json, NoLongerOpen, Operation, changes
from rdscsi.journal.records import OperationState


@pytest.fixture
async def journal(tmp_path: Path, autojump_clock: MockClock) -> AsyncIterator[Journal]:
    async with journal_at(tmp_path / "journal.db") as opened:
        yield opened


class TestTheEnd:
    async def test_a_result_that_breaks_a_rule_leaves_it_open_and_changes_nothing(self, journal: Journal) -> None:
        with pytest.raises(OperationPending, match="IntegrityError"):
            async with journal.operation("create", "v/1", REQUEST) as operation:
                bad = changes.put_volume(replace(VOLUME, capacity_bytes=-1))
                await operation.finish(changes.put_meta("k", "v"), bad)
        assert (await only(journal)).state == "open"
        assert await journal.get_meta("k") is None

    async def test_recording_is_all_or_nothing(self, journal: Journal) -> None:
        with pytest.raises(OperationPending):
            async with journal.operation("create", "v/1", REQUEST) as operation:
                with pytest.raises(sqlite3.DatabaseError):
                    await operation.record(changes.put_meta("k", "v"), FORGED)
                assert await journal.get_meta("k") is None
                with pytest.raises(sqlite3.DatabaseError):
                    await operation.fail(OutOfSpace("full"), changes.put_meta("k", "v"), FORGED)
                assert operation.open
        assert (await only(journal)).state == "open"
        assert await journal.get_meta("k") is None

    @pytest.mark.parametrize(
        "error", [DeviceUnavailable("away"), OperationPending("later"), errors.OutcomeUnknown("?")]
    )
    async def test_it_cannot_be_refused_by_what_says_maybe(self, journal: Journal, error: Exception) -> None:
        with pytest.raises(OperationPending, match="cannot be refused by"):
            async with journal.operation("create", "v/1", REQUEST) as operation:
                await operation.fail(error)
        assert (await only(journal)).state == "open"

    async def test_it_ends_once(self, journal: Journal) -> None:
        async with journal.operation("create", "v/1", REQUEST) as operation:
            await operation.finish()
            for again in (operation.finish, operation.record, partial(operation.fail, KeyError())):
                with pytest.raises(RuntimeError, match="closed already"):
                    await again()

    @pytest.mark.parametrize("how", ["record", "finish", "fail"])
    async def test_one_that_was_closed_behind_its_back_says_so(self, journal: Journal, how: str) -> None:
        async def end(operation: Operation) -> None:
            if how == "record":
                await operation.record(changes.put_meta("k", "v"))
            elif how == "finish":
                await operation.finish(changes.put_meta("k", "v"))
            else:
                await operation.fail(OutOfSpace("full"), changes.put_meta("k", "v"))

        close = running("UPDATE operations SET state = 'done', closed_at = 1.0")
        with pytest.raises(OperationPending, match="is no longer open in the journal"):
            async with journal.operation("create", "v/1", REQUEST) as operation:
                await journal.commit(close)
                await end(operation)
        assert await journal.get_meta("k") is None


class TestAnEarlierAttempt:
    async def test_the_same_request_adopts_it_under_its_own_id(self, journal: Journal) -> None:
        with pytest.raises(DeviceUnavailable):
            async with journal.operation("create", "v/1", REQUEST, changes=[changes.put_meta("k", "first")]) as first:
                raise DeviceUnavailable("away")
        again: dict[str, Json] = {"names": ["a"], "size": 1}
        async with journal.operation("create", "v/1", again, changes=[changes.put_meta("k", "second")]) as second:
            assert second.resumed
            assert (second.id, second.opened_at) == (first.id, first.opened_at)
            assert repr(second).endswith(" resumed>")
            await second.finish()
        record = await only(journal)
        assert (record.attempts, record.state) == (2, "done")
        assert await journal.get_meta("k") == "first"

    async def test_a_restart_adopts_what_a_dead_process_left(self, tmp_path: Path, autojump_clock: MockClock) -> None:
        with pytest.raises(DeviceUnavailable):
            async with (
                journal_at(tmp_path / "journal.db") as journal,
                journal.operation("create", "v/1", REQUEST) as first,
            ):
                raise DeviceUnavailable("away")
        async with journal_at(tmp_path / "journal.db") as journal:
            assert journal.incarnation == 2
            async with journal.operation("create", "v/1", REQUEST) as second:
                assert second.id == first.id
                await second.finish()
            assert (await only(journal)).incarnation == 2

    @pytest.mark.parametrize(("kind", "request_"), [("create", {"size": 2}), ("expand", REQUEST)])
    async def test_a_different_request_waits(self, journal: Journal, kind: str, request_: dict[str, Json]) -> None:
        with pytest.raises(DeviceUnavailable):
            async with journal.operation("create", "v/1", REQUEST) as first:
                raise DeviceUnavailable("away")
        with pytest.raises(OperationPending, match=f"create {first.id} is unfinished; {kind} waits"):
            async with journal.operation(kind, "v/1", request_):
                raise AssertionError
        assert (await only(journal)).attempts == 1

    async def test_a_delete_supersedes_a_create_in_one_transaction(self, journal: Journal) -> None:
        with pytest.raises(DeviceUnavailable):
            async with journal.operation("create", "v/1", REQUEST) as first:
                raise DeviceUnavailable("away")
        with pytest.raises(OperationPending):  # the new intent cannot be written: the old one stays
            async with journal.operation("delete", "v/1", {}, supersedes=["create"], changes=[FORGED]):
                raise AssertionError
        assert (await only(journal)).state == "open"
        async with journal.operation("delete", "v/1", {}, supersedes=["expand", "create"]) as second:
            assert not second.resumed
            states: dict[str, OperationState] = {one.id: one.state for one in await journal.operations()}
            assert states == {first.id: "superseded", second.id: "open"}
            await second.finish()
        old = await journal.operation_record(first.id)
        assert old is not None
        assert old.outcome == f"superseded by delete {second.id}"
        assert old.error == "DeviceUnavailable: away"

    async def test_what_was_found_open_is_taken_up_as_it_stands(self, journal: Journal) -> None:
        with pytest.raises(DeviceUnavailable):
            async with journal.operation("create", "v/1", REQUEST) as first:
                raise DeviceUnavailable("away")
        found = await only(journal)
        async with journal.adoption(found) as again:
            assert (again.id, again.kind, again.request, again.resumed) == (first.id, "create", REQUEST, True)
            assert (await only(journal)).attempts == 2
            with pytest.raises(OperationPending, match="an operation is running"):
                async with journal.adoption(found):
                    raise AssertionError
            await again.finish()
        assert (await only(journal)).state == "done"

    async def test_what_was_closed_since_is_not_taken_up_and_nothing_is_begun(self, journal: Journal) -> None:
        with pytest.raises(DeviceUnavailable):
            async with journal.operation("create", "v/1", REQUEST):
                raise DeviceUnavailable("away")
        found = await only(journal)
        async with journal.operation("create", "v/1", REQUEST) as operation:
            await operation.finish()
        with pytest.raises(NoLongerOpen, match=found.id):
            async with journal.adoption(found):
                raise AssertionError
        after = await only(journal)
        assert (after.state, after.attempts) == ("done", 2)

    async def test_another_subjects_operation_may_end_what_is_open(self, journal: Journal) -> None:
        """What a person decides about a volume closes what was left open for it, in the same transaction."""
        for subject in ("v/1", "v/2"):
            with pytest.raises(OperationPending):
                async with journal.operation("delete", subject, REQUEST):
                    raise RuntimeError("left open")
        async with journal.operation("resolve", "request/v/1", REQUEST) as wish:
            await wish.finish(changes.supersede("v/1", f"resolve {wish.id}", at=1500.0), changes.put_meta("k", "v"))
        (left,) = await journal.open_operations()
        assert left.subject == "v/2"
        ended = next(one for one in await journal.operations() if one.subject == "v/1")
        assert (ended.state, ended.outcome, ended.closed_at) == ("superseded", f"superseded by resolve {wish.id}", 1500)
        assert ended.error == "RuntimeError: left open"
        await journal.commit(changes.supersede("v/3", "nobody", at=1.0))  # nothing is open: nothing happens

    async def test_a_live_one_is_neither_adopted_nor_superseded(self, journal: Journal) -> None:
        async with journal.operation("create", "v/1", REQUEST) as operation:
            for kind in ("create", "delete"):
                with pytest.raises(OperationPending, match="v/1: an operation is running"):
                    async with journal.operation(kind, "v/1", REQUEST, supersedes=["create"]):
                        raise AssertionError
            async with journal.operation("create", "v/2", REQUEST) as other:
                await other.finish()
            await operation.finish()
        async with journal.operation("create", "v/1", REQUEST) as operation:
            await operation.finish()

    async def test_a_subject_is_free_again_whatever_happened(self, journal: Journal) -> None:
        for error in (DeviceUnavailable("away"), KeyError("bug")):
            with pytest.raises(NotFinal):
                async with journal.operation("create", "v/1", REQUEST):
                    raise error
        with trio.CancelScope() as scope:
            async with journal.operation("create", "v/1", REQUEST):
                scope.cancel()
                await trio.sleep_forever()
        async with journal.operation("create", "v/1", REQUEST) as operation:
            await operation.finish()
        assert (await only(journal)).attempts == 4

    async def test_one_that_is_retried_for_days_keeps_its_first_and_latest_steps(self, journal: Journal) -> None:
        for attempt in range(150):
            with pytest.raises(DeviceUnavailable):
                async with journal.operation("create", "v/1", REQUEST) as operation:
                    await operation.step("try", str(attempt))
                    raise DeviceUnavailable("away")
        record = await only(journal)
        details = [step.detail for step in record.steps if step.name == "try"]
        assert record.attempts == 150
        assert len(record.steps) <= 225
        assert details[0] == "0"
        assert details[-1] == "149"
        assert "30" not in details
