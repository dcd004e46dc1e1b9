"""Set-up of the logs: levels, forms, libraries, context, and a stream that goes away."""

import io
import json
import logging
import sys
import threading
from collections.abc import Iterator

import pytest
import structlog
import trio

from rdscsi.observe import logs
from rdscsi.observe.logs import LineSink
from rdscsi.testing.logbook import open_logbook


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Leave logs as they were."""
    with open_logbook():
        yield


@pytest.mark.parametrize(("level", "heard"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_a_level_keeps_what_is_below_it_out(level: str, heard: int) -> None:
    stream = io.StringIO()
    logs.configure(level, "json", stream)
    log = logs.get_log()
    for name in ("debug", "info", "warning", "error"):
        getattr(log, name)("event")
    assert len(stream.getvalue().splitlines()) == heard


def test_an_unknown_level_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        logs.configure("loud")


def test_two_forms(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info", "text")
    logs.get_log().info("volume.created", name="a b")
    shown = capsys.readouterr().err
    assert shown.endswith('Z info    volume.created name="a b"\n')
    logs.configure("info", "json")
    logs.get_log().info("volume.created", name="a b")
    event = json.loads(capsys.readouterr().err)
    assert (event["event"], event["level"], event["name"]) == ("volume.created", "info", "a b")
    assert event["timestamp"].endswith("Z")


def test_a_log_follows_a_later_set_up() -> None:
    log, first, second = logs.get_log(), io.StringIO(), io.StringIO()
    for stream in (first, second):
        logs.configure("info", "json", stream)
        log.info("event")
    assert len(first.getvalue().splitlines()) == len(second.getvalue().splitlines()) == 1


async def test_what_is_bound_reaches_child_tasks_and_ends_with_the_block() -> None:
    with open_logbook() as book:
        async with trio.open_nursery() as nursery:

            async def child() -> None:
                logs.get_log().info("child")

            with logs.bound(rpc="CreateVolume", rpc_id="r1"):
                nursery.start_soon(child)
                logs.get_log().info("inside", operation="o")
            logs.get_log().info("outside")
    by_name = {event["event"]: event for event in book.events()}
    assert by_name["child"]["rpc_id"] == "r1"
    assert (by_name["inside"]["rpc"], by_name["inside"]["operation"]) == ("CreateVolume", "o")
    assert "rpc" not in by_name["outside"]


def test_libraries_are_heard_from_warning_on_in_our_form() -> None:
    with open_logbook() as book:
        logging.getLogger("asyncssh").info("chatter")
        logging.getLogger("asyncssh").warning("password=%s from %s", "hush", "192.0.2.1")
        try:
            raise ValueError("secret=hush")
        except ValueError:
            logging.getLogger("trio").exception("broken")
    warning, error = book.events()
    assert (warning["logger"], warning["level"]) == ("asyncssh", "warning")
    assert "from 192.0.2.1" in warning["event"]
    assert "Traceback" in error["exception"]
    assert "hush" not in book.text


def test_setting_up_twice_does_not_tell_twice() -> None:
    stream = io.StringIO()
    for _ in range(3):
        logs.configure("info", "json", stream)
    logging.getLogger("library").warning("once")
    assert len(stream.getvalue().splitlines()) == 1


class Gone(io.StringIO):
    """A stream whose reader went away."""

    def write(self, _text: str) -> int:
        raise BrokenPipeError


@pytest.mark.parametrize("how", ["closed", "gone"])
def test_a_stream_that_is_gone_costs_lines_and_never_work(how: str) -> None:
    stream = Gone() if how == "gone" else io.StringIO()
    if how == "closed":
        stream.close()
    sink = LineSink(stream)
    for name in ("debug", "info", "warning", "error", "critical", "msg"):
        getattr(sink, name)("line")
    assert sink.lost == 6
    logs.configure("info", "text", stream)
    logs.get_log().info("event")
    logging.getLogger("library").error("event")


def test_standard_error_is_looked_up_at_each_line(monkeypatch: pytest.MonkeyPatch) -> None:
    sink, stream = LineSink(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    sink.msg("here")
    assert stream.getvalue() == "here\n"


def test_lines_of_many_threads_stay_whole() -> None:
    stream = io.StringIO()
    sink = LineSink(stream)

    def write() -> None:
        for _ in range(200):
            sink.msg("x" * 200)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stream.getvalue().splitlines() == ["x" * 200] * 800


def test_the_logbook_leaves_things_as_they_were() -> None:
    before, handlers = structlog.get_config(), logging.getLogger().handlers[:]
    with open_logbook() as book:
        logs.get_log().info("inside")
    assert [event["event"] for event in book.events("inside")] == ["inside"]
    assert structlog.get_config() == before
    assert logging.getLogger().handlers == handlers
