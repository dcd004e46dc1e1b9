"""A log event as one line: never more, never an error, whatever a stranger put into it."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdscsi.observe.lines import as_json, one_line, text

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30) | st.binary(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
events = st.dictionaries(st.text(max_size=10), values, max_size=6)
EVENT = {
    "timestamp": "2026-11-24T16:12:03.123456Z",
    "level": "info",
    "event": "volume.created",
    "seconds": 0.2123456789,
}


def line(event: dict[str, Any]) -> str:
    return text(None, "info", dict(event))


def test_a_line_for_people() -> None:
    assert line(EVENT) == "2026-11-24T16:12:03.123Z info    volume.created seconds=0.212346"


def test_a_line_for_machines_begins_with_time_level_and_event() -> None:
    rendered = as_json(None, "info", {"seconds": 1, **EVENT})
    assert list(json.loads(rendered)) == ["timestamp", "level", "event", "seconds"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain", "plain"),
        ("rds/v-1:2@x%,[a]+.", "rds/v-1:2@x%,[a]+."),
        ("two words", '"two words"'),
        ('say "no"\\', '"say \\"no\\"\\\\"'),
        ("", '""'),
        ("a=b", '"a=b"'),
        ("line\nbreak", '"line\\\\nbreak"'),
        (None, "None"),
        (1.0, "1"),
        (1 / 3, "0.333333"),
        ({"a": 1}, "\"{'a': 1}\""),
    ],
)
def test_values_are_quoted_where_they_could_be_misread(value: object, shown: str) -> None:
    assert line({"event": "e", "key": value}).endswith(f" key={shown}")


@given(events)
def test_an_event_is_one_line_whatever_is_in_it(event: dict[str, object]) -> None:
    for rendered in (
        line({key: value for key, value in event.items() if key != "exception"}),
        as_json(None, "", dict(event)),
    ):
        assert rendered.splitlines() == [rendered] or rendered == ""
        assert rendered.isprintable()


@given(st.text())
def test_a_traceback_follows_indented_and_cannot_look_like_an_event(trace: str) -> None:
    first, *rest = line({"event": "e", "exception": trace}).split("\n")
    assert first == "- info    e"
    assert all(one.startswith("    | ") and one.isprintable() for one in rest)


@given(st.text())
def test_escaping_gives_one_printable_line_and_leaves_others_alone(value: str) -> None:
    assert one_line(value).isprintable()
    if value.isprintable():
        assert one_line(value) == value
    assert one_line(one_line(value)) == one_line(value)


def test_a_control_character_is_shown_not_obeyed() -> None:
    assert one_line("a\x1b[31m\r\nb") == "a\\x1b[31m\\r\\nb"


def test_what_json_cannot_hold_is_told_in_words() -> None:
    cycle: list[object] = []
    cycle.append(cycle)
    event = {"event": "e", "nan": math.nan, "cycle": cycle, 7: "seven", "yes": True, "object": object}
    told = json.loads(as_json(None, "", event))  # type: ignore[arg-type]
    assert (told["nan"], told["cycle"], told["7"], told["yes"]) == ("nan", "[[...]]", "seven", True)


def test_objects_are_told_in_words() -> None:
    assert json.loads(as_json(None, "", {"event": "e", "what": {1, 2}}))["what"] == "{1, 2}"
