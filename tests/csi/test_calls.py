"""What becomes of one call: its context in the logs, its end by an error, a deadline, a client that goes away."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from csi_edge import BASES, Refusal, ended, open_client, open_edge
from csi_logs import captured
from raw_http2 import DELETE, data, headers, message, open_raw

from rdscsi import errors
from rdscsi.csi import rpc
from rdscsi.csi.pb.csi import v1 as pb
from rdscsi.csi.schema import name_of, schema
from rdscsi.csi.status import code_of
from rdscsi.observe import logs
from rdscsi.operations import Operations

CHANGES = pb.DeleteVolumeRequest(volume_id="rds/v1")
READS = pb.ControllerGetVolumeRequest(volume_id="rds/v1")
SECRET = "correct-horse-battery"


def example(kind: type[errors.DriverError]) -> errors.DriverError:
    """An error of this class, whatever it takes to make one."""
    if issubclass(kind, errors.InvalidRequest):
        return kind("field", "value", "something else")
    if issubclass(kind, errors.CommandFailed):
        return kind(("mount", "/x"), 32, "no")
    if issubclass(kind, errors.SettingsInvalid):
        return kind(["wrong"])
    return kind("why")


def every_class() -> Iterator[type[errors.DriverError]]:
    waiting: list[type[errors.DriverError]] = [errors.DriverError]
    while waiting:
        kind = waiting.pop()
        yield kind
        waiting += [one for one in kind.__subclasses__() if one.__module__ == errors.__name__]


async def test_every_error_class_reaches_the_client_as_its_code_with_its_words(tmp_path: Path) -> None:
    async with open_edge(tmp_path / "csi.sock") as edge, open_client(edge.server.endpoint) as client:
        for kind in every_class():
            error = example(kind)
            edge.controller.raises(error)
            for request in (CHANGES, READS):
                assert await client.refusal(request) == Refusal(code_of(kind).name, str(error)), kind


@pytest.mark.parametrize(
    ("request_message", "code"), [(CHANGES, "ABORTED"), (READS, "INTERNAL")], ids=["changes", "reads"]
)
@pytest.mark.parametrize(
    "bug",
    [
        ValueError("x"),
        SystemExit(3),
        KeyboardInterrupt(),
        asyncio.CancelledError(),
        ExceptionGroup("", [ValueError("x")]),
        BaseExceptionGroup("", [SystemExit(3), errors.NotFound("x")]),
    ],
    ids=repr,
)
async def test_a_bug_is_not_final_where_something_may_have_changed_and_ends_neither_loop_nor_process(
    bug: BaseException, request_message: object, code: str, tmp_path: Path
) -> None:
    with captured() as logged:
        async with open_edge(tmp_path / "csi.sock") as edge, open_client(edge.server.endpoint) as client:
            edge.controller.raises(bug)
            refusal = await client.refusal(request_message)
            assert await client.well()
    assert refusal.code == code
    assert "fault in the driver" in refusal.details
    (line,) = logged.records("rpc.ended", code=code)
    assert line["level"] == "error"
    assert "Traceback" in line["exception"]


async def test_an_answer_that_cannot_be_encoded_is_not_final_after_a_change(tmp_path: Path) -> None:
    async with open_edge(tmp_path / "csi.sock") as edge, open_client(edge.server.endpoint) as client:
        edge.controller.volume = replace(edge.controller.volume, capacity_bytes="large")  # type: ignore[arg-type]
        request = pb.CreateVolumeRequest(name="v", volume_capabilities=[BLOCK])
        assert (await client.refusal(request)).code == "ABORTED"
        assert (await client.refusal(READS)).code == "INTERNAL"


BLOCK = pb.VolumeCapability(
    block=pb.VolumeCapabilityBlockVolume(),
    access_mode=pb.VolumeCapabilityAccessMode(mode=pb.VolumeCapabilityAccessModeMode.SINGLE_NODE_WRITER),
)


@pytest.mark.parametrize(
    ("group", "code"),
    [
        ([errors.NotFound("a")], "NOT_FOUND"),
        ([errors.NotFound("a"), errors.OutcomeUnknown("b")], "UNAVAILABLE"),
        ([errors.NotFound("a"), ExceptionGroup("", [errors.Busy("b"), ValueError("c")])], "ABORTED"),
        ([errors.NotFound("a"), ValueError("b")], "ABORTED"),
        ([errors.NotFound("a"), trio.TooSlowError()], "DEADLINE_EXCEEDED"),
    ],
)
async def test_a_group_of_errors_becomes_one_that_promises_no_more_than_all_of_them(
    group: list[Exception], code: str, tmp_path: Path
) -> None:
    async with open_edge(tmp_path / "csi.sock") as edge, open_client(edge.server.endpoint) as client:

        async def work() -> None:
            async def fail(error: Exception) -> None:
                raise error

            async with trio.open_nursery() as nursery:
                for error in group:
                    nursery.start_soon(fail, error)

        edge.controller.work = work
        assert (await client.refusal(CHANGES)).code == code


class Witness:
    """Work that waits until it is cancelled and remembers how that went."""

    def __init__(self) -> None:
        self.began = trio.Event()
        self.ended = trio.Event()
        self.saw: type[BaseException] | None = None
        self.cleaned_up = False

    async def __call__(self) -> None:
        self.began.set()
        try:
            await trio.sleep_forever()
        except BaseException as error:
            self.saw = type(error)
            with trio.CancelScope(shield=True):
                await trio.lowlevel.checkpoint()
            self.cleaned_up = True
            raise
        finally:
            self.ended.set()


async def test_the_clients_deadline_cancels_the_call_in_trio(tmp_path: Path) -> None:
    with captured() as logged, trio.fail_after(20):
        async with open_edge(tmp_path / "csi.sock") as edge, open_client(edge.server.endpoint) as client:
            witness = edge.controller.work = Witness()
            assert (await client.refusal(CHANGES, timeout=0.1)).code == "DEADLINE_EXCEEDED"
            await witness.ended.wait()
    assert witness.saw is trio.Cancelled
    assert witness.cleaned_up
    (line,) = logged.records("rpc.ended")
    assert (line["code"], line["level"]) == ("CANCELLED", "info")


async def test_a_client_that_does_not_keep_its_deadline_is_told_of_it_after_the_cleaning_up(tmp_path: Path) -> None:
    async with open_edge(tmp_path / "csi.sock") as edge, open_raw(edge.path) as connection:
        witness = edge.controller.work = Witness()
        fields = headers(DELETE, ("grpc-timeout", "50m"))
        with trio.fail_after(20):
            await connection.send(connection.request(1, fields), data(1, message(bytes(CHANGES))))
            assert (await connection.wait_end(1))["grpc-status"] == "4"
        assert witness.cleaned_up


async def test_a_client_that_cancels_cancels_the_call_in_trio(tmp_path: Path) -> None:
    with trio.fail_after(20):
        async with open_edge(tmp_path / "csi.sock") as edge, open_client(edge.server.endpoint) as client:
            witness = edge.controller.work = Witness()
            future = client.begin(CHANGES)
            await witness.began.wait()
            future.cancel()
            await witness.ended.wait()
    assert witness.saw is trio.Cancelled


async def test_a_client_that_goes_away_cancels_its_calls_in_trio(tmp_path: Path) -> None:
    with trio.fail_after(20):
        async with open_edge(tmp_path / "csi.sock") as edge:
            witness = edge.controller.work = Witness()
            async with open_client(edge.server.endpoint) as client:
                future = client.begin(CHANGES)
                await witness.began.wait()
            await witness.ended.wait()
            assert (await ended(future)).code == "CANCELLED"
    assert witness.saw is trio.Cancelled


async def test_an_error_while_cleaning_up_after_a_cancellation_is_logged_and_harms_nobody(tmp_path: Path) -> None:
    with captured() as logged, trio.fail_after(20):
        async with open_edge(tmp_path / "csi.sock") as edge, open_client(edge.server.endpoint) as client:
            cleaned = trio.Event()

            async def untidy() -> None:
                try:
                    await trio.sleep_forever()
                finally:
                    cleaned.set()
                    raise ValueError("in the cleaning up")

            async def work() -> None:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(untidy)
                    nursery.start_soon(trio.sleep_forever)

            edge.controller.work = work
            await client.refusal(CHANGES, timeout=0.1)
            await cleaned.wait()
            assert await client.well()
    (line,) = logged.records("rpc.ended", rpc="DeleteVolume")
    assert "in the cleaning up" in line["exception"]
    assert logged.records(logger="grpclib.server") == []


async def test_a_cancellation_in_a_group_is_a_cancellation(tmp_path: Path) -> None:
    with captured() as logged, trio.fail_after(20):
        async with open_edge(tmp_path / "csi.sock") as edge, open_client(edge.server.endpoint) as client:

            async def work() -> None:
                try:
                    await trio.sleep_forever()
                except trio.Cancelled as cancelled:
                    raise BaseExceptionGroup("", [cancelled]) from None

            edge.controller.work = work
            await client.refusal(CHANGES, timeout=0.1)
            assert await client.well()
    (line,) = logged.records("rpc.ended", rpc="DeleteVolume")
    assert (line["code"], line["level"]) == ("CANCELLED", "info")


async def test_the_operation_behind_a_call_outlives_it(tmp_path: Path) -> None:
    with trio.fail_after(20):
        async with (
            open_edge(tmp_path / "csi.sock") as edge,
            open_client(edge.server.endpoint) as client,
            trio.open_nursery() as nursery,
        ):
            operations = Operations(nursery, deadline=60)
            finish = trio.Event()
            edge.controller.work = lambda: operations.run("rds/v1", "delete", finish.wait)
            assert (await client.refusal(CHANGES, timeout=0.1)).code == "DEADLINE_EXCEEDED"
            assert operations.running == 1
            finish.set()
            await client.call(CHANGES, pb.DeleteVolumeResponse)


async def test_one_id_leads_from_a_call_to_all_that_is_logged_below_it(tmp_path: Path) -> None:
    with captured() as logged:
        async with (
            open_edge(tmp_path / "csi.sock") as edge,
            open_client(edge.server.endpoint) as client,
            trio.open_nursery() as nursery,
        ):
            operations = Operations(nursery, deadline=60)

            async def line() -> None:
                logs.get_log().info("console.line")

            edge.controller.work = lambda: operations.run("slot-1", "delete", line)
            await client.call(CHANGES, pb.DeleteVolumeResponse)
            await client.call(CHANGES, pb.DeleteVolumeResponse)
    lines = logged.records("console.line")
    ends = logged.records("rpc.ended")
    assert [line["rpc"] for line in lines] == ["DeleteVolume"] * 2
    assert [line["rpc_id"] for line in lines] == [end["rpc_id"] for end in ends]
    assert lines[0]["rpc_id"] != lines[1]["rpc_id"]


async def test_a_call_is_logged_at_its_start_and_at_its_end(tmp_path: Path) -> None:
    request = pb.CreateVolumeRequest(name="pvc-1", volume_capabilities=[BLOCK], parameters={"backend": "rds"})
    with captured() as logged:
        async with open_edge(tmp_path / "csi.sock") as edge, open_client(edge.server.endpoint) as client:
            await client.call(request, pb.CreateVolumeResponse)
            await client.call(READS, pb.ControllerGetVolumeResponse)
            await client.refusal(pb.CreateVolumeRequest(name="pvc-1"))
    start, end = logged.records(rpc="CreateVolume")[:2]
    assert (start["event"], start["level"], start["subject"]) == ("rpc.started", "debug", "pvc-1")
    assert start["request"]["parameters"] == {"backend": "rds"}
    assert (end["event"], end["level"], end["code"], end["outcome"]) == ("rpc.ended", "info", "OK", "done")
    assert end["seconds"] >= 0
    (read,) = logged.records("rpc.ended", rpc="ControllerGetVolume")
    assert (read["level"], read["subject"]) == ("debug", "rds/v1")
    (refused,) = logged.records("rpc.ended", code="INVALID_ARGUMENT")
    assert refused["level"] == "warning"
    assert "volume_capabilities" in refused["outcome"]


async def test_requests_are_written_out_for_debug_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no(*args: object) -> dict[str, object]:
        raise AssertionError("it takes its time for a large one")

    monkeypatch.setattr(rpc, "shown", no)
    with captured("info") as logged:
        async with open_edge(tmp_path / "csi.sock") as edge, open_client(edge.server.endpoint) as client:
            await client.call(CHANGES, pb.DeleteVolumeResponse)
    assert logged.records("rpc.started") == []
    assert len(logged.records("rpc.ended")) == 1


def secretive() -> Iterator[object]:
    """A request of every method that takes secrets, full of them."""
    for base in BASES:
        for handler in base().__mapping__().values():
            if "secrets" in schema().secret_fields(name_of(handler.request_type)):
                yield handler.request_type(secrets={"password": SECRET, "other": SECRET})


def test_there_are_requests_with_secrets() -> None:
    assert len(list(secretive())) >= 15


async def test_no_secret_is_logged_whatever_the_call_comes_to(tmp_path: Path) -> None:
    sensitive = pb.VolumeCapability(
        mount=pb.VolumeCapabilityMountVolume(mount_flags=[SECRET]),
        access_mode=pb.VolumeCapabilityAccessMode(mode=pb.VolumeCapabilityAccessModeMode.SINGLE_NODE_WRITER),
    )
    tokens = {"csi.storage.k8s.io/serviceAccount.tokens": SECRET}
    requests = [
        *secretive(),
        pb.DeleteVolumeRequest(volume_id="rds/v1", secrets={SECRET: SECRET}),
        pb.CreateVolumeRequest(name="v", volume_capabilities=[sensitive], secrets={"password": SECRET}),
        pb.NodePublishVolumeRequest(
            volume_id="v", target_path="/t", volume_capability=sensitive, volume_context=tokens
        ),
    ]
    failures = [None, errors.NotFound("x"), errors.OutcomeUnknown("x"), ValueError("x")]
    with captured() as logged:
        async with open_edge(tmp_path / "csi.sock") as edge, open_client(edge.server.endpoint) as client:
            for failure in failures:
                if failure is not None:
                    edge.controller.raises(failure)
                for request in requests:
                    await trio.to_thread.run_sync(client.begin(request).exception)
            await client.refusal(bytes(CHANGES) + b"\x12\xff" + SECRET.encode(), path=DELETE)
    assert len(logged.records("rpc.ended")) >= len(failures) * 10
    assert SECRET not in logged.text


async def test_a_call_that_is_no_message_is_logged_too(tmp_path: Path) -> None:
    with captured() as logged:
        async with open_edge(tmp_path / "csi.sock") as edge, open_client(edge.server.endpoint) as client:
            await client.refusal(b"\x0a\x05ab", path=DELETE)
    (line,) = logged.records("rpc.unreadable")
    assert (line["path"], line["code"]) == (DELETE, "INVALID_ARGUMENT")
