"""The report: whole by itself, well-formed, and nothing in it that a name could break out of."""

import json
import re
from xml.etree import ElementTree as ET

from rdscsi.drill.picture import timeline
from rdscsi.drill.report import as_html, as_json
from rdscsi.drill.results import Event, Lane, Mark, Rehearsal, Standing, Verdict

HOSTILE = "</svg><script>alert('1')</script> & \"more\""
EVENTS = [
    Event(0.0, Lane.CALLER, "calls"),
    Event(0.1, Lane.JOURNAL, "commit"),
    Event(0.1, Lane.JOURNAL, "commit"),
    Event(0.2, Lane.CONTROLLER, "SIGKILL", Mark.TROUBLE),
    Event(0.2, Lane.CONTROLLER, HOSTILE, Mark.RECOVERY, life=2),
]
FAILED = Rehearsal(HOSTILE, EVENTS, after=Standing((HOSTILE,), (HOSTILE,)), wrong=[HOSTILE])
VERDICTS = [Verdict("good", "t", "p", [Rehearsal("a", EVENTS)], 1.0), Verdict("bad", HOSTILE, "p", [FAILED], 2.0)]


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(svg).iter() if element.tag.endswith("text")]


def test_a_timeline_has_a_row_for_each_event_and_counts_repetitions() -> None:
    shown = texts(timeline(EVENTS))
    assert shown[:4] == ["caller", "controller", "journal", "appliance"]
    assert "commit (2 times)" in shown
    assert HOSTILE in shown
    assert len([text for text in shown if text.endswith(" s")]) == 4


def test_a_timeline_shows_each_life_and_marks_the_crash() -> None:
    drawn = ET.fromstring(timeline(EVENTS))
    titles = [element.text for element in drawn.iter() if element.tag.endswith("title")]
    assert titles == ["process 1", "process 2"]
    assert len([element for element in drawn.iter() if element.tag.endswith("path")]) == 1


def test_a_timeline_of_nothing_is_a_picture_too() -> None:
    assert texts(timeline([])) == ["caller", "controller", "journal", "appliance"]


def test_long_texts_are_cut() -> None:
    (row,) = [text for text in texts(timeline([Event(0.0, Lane.CALLER, "x" * 300)])) if text.startswith("x")]
    assert len(row) <= 82
    assert row.endswith("…")


def test_the_page_needs_nothing_else_and_keeps_texts_as_texts() -> None:
    page = as_html(VERDICTS, "2026-01-01")
    assert "<script" not in page
    assert set(re.findall(r"(?:src|href)=\"([^\"]*)\"", page)) == {"#good", "#bad"}
    assert re.findall(r"https?://\S+?\"", page.replace('xmlns="http://www.w3.org/2000/svg"', "")) == []
    assert "1 of 2 drills passed, 2 cases" in page
    assert page.count("<svg ") == page.count("</svg>") == 2
    assert page.count("<details open>") == 1, "what failed is open"


def test_json_tells_the_verdicts_and_everything_under_them() -> None:
    told = json.loads(as_json(VERDICTS))
    assert (told["format"], told["passed"]) == ("rdscsi-drill-1", False)
    assert [(one["name"], one["passed"]) for one in told["drills"]] == [("good", True), ("bad", False)]
    (rehearsal,) = told["drills"][1]["rehearsals"]
    assert rehearsal["wrong"] == [HOSTILE]
    assert rehearsal["events"][3] == {"at": 0.2, "lane": "controller", "text": "SIGKILL", "mark": "trouble", "life": 1}
