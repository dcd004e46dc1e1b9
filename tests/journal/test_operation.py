"""The right to change one subject: intent first, one commit point, and the finality rule for whatever goes wrong."""

import errno
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from journal_sample import VOLUME
from operation_rig import FORGED, REQUEST, journal_at, only
from trio.testing import MockClock, wait_all_tasks_blocked

from rdscsi.errors import AlreadyExists, DeviceUnavailable, DriverError, NotFinal, OperationPending, OutOfSpace
from rdscsi.journal import Change, Journal, changes
from rdscsi.journal.operation import finality
from rdscsi.observe import logs
from rdscsi.testing.logbook import open_logbook


@pytest.fixture
async def journal(tmp_path: Path, autojump_clock: MockClock) -> AsyncIterator[Journal]:
    async with journal_at(tmp_path / "journal.db") as opened:
        yield opened


def error_classes(base: type[Exception]) -> Iterator[type[Exception]]:
    yield base
    for one in base.__subclasses__():
        yield from error_classes(one)


def made(kind: type[Exception]) -> Exception:
    error = kind.__new__(kind)
    error.args = ("told",)
    return error


class TestTheWayThatGoesWell:
    async def test_the_intent_is_durable_before_the_body_and_the_result_closes_it(
        self, journal: Journal, tmp_path: Path
    ) -> None:
        async with journal.operation("create", "v/1", REQUEST) as operation:
            open_now = await only(journal)
            assert (open_now.id, open_now.state, open_now.attempts) == (operation.id, "open", 1)
            assert open_now.request == operation.request == REQUEST
            assert not operation.resumed
            await operation.finish(changes.put_volume(VOLUME), outcome="made")
            assert not operation.open
        closed = await only(journal)
        assert (closed.state, closed.outcome, closed.error) == ("done", "made", "")
        assert closed.closed_at is not None
        assert await journal.volume(VOLUME.volume_id) == VOLUME

    async def test_the_intents_changes_come_with_it_and_may_carry_its_id(self, journal: Journal) -> None:
        def claims(operation_id: str) -> list[Change]:
            return [changes.put_volume(replace(VOLUME, backing=operation_id))]

        async with journal.operation("create", "v/1", REQUEST, changes=claims) as operation:
            record = await journal.volume(VOLUME.volume_id)
            assert record is not None
            assert record.backing == operation.id
            await operation.finish()

    async def test_recorded_changes_stand_though_the_operation_stays_open(self, journal: Journal) -> None:
        with pytest.raises(DeviceUnavailable):
            async with journal.operation("create", "v/1", REQUEST) as operation:
                await operation.record(changes.put_volume(VOLUME), changes.put_meta("k", "v"))
                raise DeviceUnavailable("away")
        assert await journal.volume(VOLUME.volume_id) == VOLUME
        assert await journal.get_meta("k") == "v"

    async def test_a_refusal_closes_it_with_its_changes(self, journal: Journal) -> None:
        with pytest.raises(OutOfSpace, match="full"):
            async with journal.operation("create", "v/1", REQUEST) as operation:
                error = OutOfSpace("full")
                await operation.fail(error, changes.put_meta("k", "v"))
                raise error
        closed = await only(journal)
        assert (closed.state, closed.error) == ("refused", "OutOfSpace: full")
        assert await journal.get_meta("k") == "v"

    async def test_steps_and_errors_are_told_in_order(self, journal: Journal) -> None:
        with pytest.raises(DeviceUnavailable):
            async with journal.operation("create", "v/1", REQUEST) as operation:
                await operation.step("add", "disk\n1")
                raise DeviceUnavailable("away")
        async with journal.operation("create", "v/1", REQUEST) as operation:
            await operation.step("export")
            await operation.finish()
        record = await only(journal)
        assert [(step.name, step.detail) for step in record.steps] == [
            ("add", "disk 1"),
            ("error", "DeviceUnavailable: away"),
            ("attempt", f"2, in start {journal.incarnation} of the process"),
            ("export", ""),
        ]
        assert record.last_step is not None
        assert record.last_step.name == "export"

    async def test_events_inside_carry_its_id(self, journal: Journal) -> None:
        with open_logbook() as log:
            async with journal.operation("create", "v/1", REQUEST) as operation:
                logs.get_log().info("inside")
                await operation.finish()
            logs.get_log().info("outside")
        events = {event["event"]: event for event in log.events()}
        assert events["inside"]["operation"] == operation.id
        assert "operation" not in events["outside"]

    async def test_it_shows_what_it_is(self, journal: Journal) -> None:
        async with journal.operation("create", "v/1", REQUEST) as operation:
            assert repr(operation) == f"<create v/1 {operation.id}>"
            await operation.finish()


class TestTheFinalityRule:
    @pytest.mark.parametrize("kind", sorted(set(error_classes(DriverError)), key=repr))
    async def test_only_errors_that_say_maybe_leave_an_open_operation(
        self, journal: Journal, kind: type[Exception]
    ) -> None:
        raised = made(kind)
        with pytest.raises(NotFinal) as caught:
            async with journal.operation("create", "v/1", REQUEST):
                raise raised
        if isinstance(raised, NotFinal):
            assert caught.value is raised
        else:
            assert type(caught.value) is OperationPending
            assert caught.value.__cause__ is raised
        record = await only(journal)
        assert record.state == "open"
        assert record.error.startswith(kind.__name__)
        assert record.steps[-1].name == "error"

    @pytest.mark.parametrize(
        "raised", [KeyError("bug"), OSError(errno.EIO, "io"), trio.TooSlowError(), RuntimeError(), StopAsyncIteration()]
    )
    async def test_a_bug_leaves_as_pending_work(self, journal: Journal, raised: Exception) -> None:
        with pytest.raises(OperationPending, match=r"v/1: .*the operation is open and will be taken up again"):
            async with journal.operation("create", "v/1", REQUEST):
                raise raised
        assert (await only(journal)).state == "open"

    async def test_after_the_end_an_error_leaves_as_it_is(self, journal: Journal) -> None:
        with pytest.raises(KeyError, match="late"):
            async with journal.operation("create", "v/1", REQUEST) as operation:
                await operation.finish()
                raise KeyError("late")
        record = await only(journal)
        assert (record.state, record.error) == ("done", "")

    async def test_an_operation_that_is_left_without_an_end_is_a_bug_that_says_maybe(self, journal: Journal) -> None:
        with pytest.raises(OperationPending, match="was left without finish"):
            async with journal.operation("create", "v/1", REQUEST):
                pass
        assert (await only(journal)).state == "open"

    async def test_a_group_is_translated_as_one_and_others_in_it_travel_on(self, journal: Journal) -> None:
        with pytest.raises(OperationPending, match=r"KeyError: 'a'; AlreadyExists: b"):
            async with journal.operation("create", "v/1", REQUEST):
                raise ExceptionGroup("two", [KeyError("a"), AlreadyExists("b")])
        with pytest.RaisesGroup(SystemExit, OperationPending, flatten_subgroups=True):
            async with journal.operation("create", "v/1", REQUEST):
                raise BaseExceptionGroup("three", [KeyError("a"), SystemExit(3), AlreadyExists("b")])
        with pytest.RaisesGroup(SystemExit):
            async with journal.operation("create", "v/1", REQUEST):
                raise BaseExceptionGroup("one", [SystemExit(3)])
        record = await only(journal)
        assert (record.state, record.attempts, record.error) == ("open", 3, "SystemExit: 3")

    async def test_a_group_of_maybes_becomes_one(self, journal: Journal) -> None:
        with pytest.raises(OperationPending, match="DeviceUnavailable: away"):
            async with journal.operation("create", "v/1", REQUEST):
                raise ExceptionGroup("one", [DeviceUnavailable("away")])

    async def test_a_cancellation_travels_on_and_leaves_it_open(self, journal: Journal) -> None:
        with trio.CancelScope() as scope:
            async with journal.operation("create", "v/1", REQUEST):
                scope.cancel()
                await trio.sleep_forever()
        assert scope.cancelled_caught
        record = await only(journal)
        assert record.state == "open"
        assert record.error.startswith("Cancelled")
        assert record.steps[-1].name == "error"

    async def test_a_cancellation_after_the_end_leaves_no_mark(self, journal: Journal) -> None:
        with trio.CancelScope() as scope:
            async with journal.operation("create", "v/1", REQUEST) as operation:
                await operation.finish()
                scope.cancel()
                await trio.sleep_forever()
        assert scope.cancelled_caught
        record = await only(journal)
        assert (record.state, record.error, record.steps) == ("done", "", ())

    async def test_a_cancellation_before_the_intent_begins_nothing(self, journal: Journal) -> None:
        with trio.CancelScope() as scope:
            scope.cancel()
            async with journal.operation("create", "v/1", REQUEST) as operation:  # the write itself is shielded
                await operation.finish()
        (record,) = await journal.operations()
        assert record.state == "done"

    async def test_an_error_beside_a_cancellation_is_translated_too(self, journal: Journal) -> None:
        """The cancellation is taken off the group further up: what stays must say maybe."""

        async def refuse_while_cancelled() -> None:
            try:
                await trio.sleep_forever()
            finally:
                raise AlreadyExists("mine")

        with pytest.RaisesGroup(OperationPending), trio.CancelScope() as scope:
            async with journal.operation("create", "v/1", REQUEST), trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep_forever)
                nursery.start_soon(refuse_while_cancelled)
                await wait_all_tasks_blocked()
                scope.cancel()

    async def test_a_bug_between_intent_and_body_says_maybe(
        self, journal: Journal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(**_values: object) -> None:
            raise KeyError("bug")

        monkeypatch.setattr(logs, "bound", broken)
        with pytest.raises(OperationPending):
            async with journal.operation("create", "v/1", REQUEST):
                raise AssertionError
        assert (await only(journal)).state == "open"

    async def test_an_intent_that_breaks_a_rule_is_not_begun_and_still_says_maybe(self, journal: Journal) -> None:
        with pytest.raises(OperationPending, match="IntegrityError"):
            async with journal.operation("create", "", REQUEST):
                raise AssertionError
        with pytest.raises(OperationPending):
            async with journal.operation("create", "v/1", REQUEST, changes=[FORGED]):
                raise AssertionError
        assert await journal.operations() == []

    async def test_a_request_that_is_no_json_is_a_bug_that_says_maybe(self, journal: Journal) -> None:
        with pytest.raises(OperationPending, match="TypeError"):
            async with journal.operation("create", "v/1", {"x": object()}):  # type: ignore[dict-item]
                raise AssertionError

    def test_what_is_no_error_is_left_alone(self) -> None:
        keyboard = KeyboardInterrupt()
        assert finality(keyboard, "v/1") is keyboard
