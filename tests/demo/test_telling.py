"""The demonstration's telling: each step with its time, its console lines and its failure, and how it is shown."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from rdscsi.demo.console_log import ConsoleLog, parse_event
from rdscsi.demo.telling import ConsoleLine, StepFailed, Telling
from rdscsi.demo.view import RichView

LINE = ConsoleLine(':local zm "m"; /disk/add slot="v1" type=file', 0.25, "done")


class Queue:
    """Console lines that a test hands out, one batch for each question."""

    def __init__(self, *batches: list[ConsoleLine]) -> None:
        self._batches = list(batches)

    def __call__(self) -> list[ConsoleLine]:
        return self._batches.pop(0) if self._batches else []


def plain() -> tuple[RichView, io.StringIO]:
    output = io.StringIO()
    return RichView(Console(file=output, width=120, highlight=False), None, full_lines=False), output


def test_a_step_keeps_the_console_lines_of_its_own_time_only() -> None:
    view, output = plain()
    telling = Telling(view, Queue([ConsoleLine("before", 1, "done")], [LINE]))
    with telling.step("CreateVolume") as step:
        step.remark("made")
    assert step.lines == [LINE]
    shown = output.getvalue()
    assert "✓ CreateVolume" in shown
    assert "1 console line" in shown
    assert '0.250 s  /disk/add slot="v1" type=file' in shown
    assert "→ made" in shown
    assert "before" not in shown


def test_a_failed_step_is_shown_as_failed_and_its_error_goes_on() -> None:
    view, output = plain()
    telling = Telling(view, Queue())
    with pytest.raises(StepFailed, match="not the same"), telling.step("read back"):
        raise StepFailed("not the same")
    assert "✗ read back" in output.getvalue()
    assert "not the same" in output.getvalue()


def test_lines_that_only_look_or_did_not_end_well_say_so() -> None:
    view, output = plain()
    lines = [ConsoleLine(":put 1", 0.1, "done"), ConsoleLine("/disk/remove $zi", 0.2, "unknown")]
    with Telling(view, Queue([], lines)).step("x"):
        pass
    assert "(looks only)" in output.getvalue()
    assert "/disk/remove $zi  [unknown]" in output.getvalue()


def test_the_console_log_is_followed_by_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "controller.log"
    path.write_text(event("old") + "\n")
    log = ConsoleLog(path)
    assert log.fresh() == []
    with path.open("a") as file:
        file.write("Traceback: no JSON\n" + event("one") + "\n" + event("two")[:10])
        file.flush()
        assert [line.text for line in log.fresh()] == ["one"]
        file.write(event("two")[10:] + "\n")
    assert [line.text for line in log.fresh()] == ["two"]
    assert log.fresh() == []


@pytest.mark.parametrize("text", [b"", b"[]", b"1", b'"console"', b'{"event": "rpc"}', b"\xff"])
def test_other_log_lines_are_passed_over(text: bytes) -> None:
    assert parse_event(text) is None


def event(line: str) -> str:
    return json.dumps({"event": "console", "line": line, "duration_ms": 12.5, "outcome": "done"})
