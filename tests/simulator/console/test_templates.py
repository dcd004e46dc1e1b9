"""Lines that are parsed once and used for others of the same skeleton mean the same as lines parsed on their own."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rdscsi.simulator import Appliance, ManualClock
from rdscsi.simulator.console.failures import ParseError
from rdscsi.simulator.console.parser import parse_line
from rdscsi.simulator.console.syntax import Slot
from rdscsi.simulator.console.templates import Lines
from rdscsi.simulator.menus.tree import Tree

TREE = Tree("7.24.4")
WORDS = st.sampled_from(["", "a", "pool1", "x y", "it's; #1", "{}", "yes", "1.1", "k=v"])
NUMBERS = st.sampled_from(["0", "7", "007", "12345678901234567890"[:18], "00:01:05", "1w2d03:04:05", "5"])
LINES = st.sampled_from(
    [
        ":put {s}",
        ":put ({s} . {s})",
        ":put (1+{n})",
        ":put [:typeof ({n})]",
        ":local v {s}; :put $v",
        ":local {s} 5; :put $a",
        ":put {{1={s};b={n}}}",
        ":put {{{s}={n}}}",
        ":if ([:len [/disk/find where slot={s} and size>{n}]]=1) do={{:put {s}}} else={{:put ({n})}}",
        ":foreach i in=[/disk/find where comment={s}] do={{:put [/disk/get $i slot]}}",
        "/disk/set pool1 comment={s}; :put [/disk/get pool1 comment]",
        "/disk/set pool1 mount-filesystem={s}",
        ":local f do={{:return {s}}}; :put [$f]; :put $f",
        ":global g {s}; :put $g",
        ":set g {s}",
        ":put [:typeof (>[:put {s}])]",
        ':put "$[:put {s}]"',
        ':put [:parse ":put {n}"]',
        ":put [:pick {s} 0 {n}]; # {s}",
        ":error {s}",
        "/disk/print where slot={s} bogus",
        ":onerror e in={{:error {s}}} do={{:put $e; :put (<{n})}}",
    ]
)


@st.composite
def _line(draw: st.DrawFn) -> str:
    pieces = draw(st.lists(LINES, min_size=1, max_size=3))
    text = "; ".join(pieces)
    while "{s}" in text or "{n}" in text:
        text = text.replace("{s}", f'"{draw(WORDS)}"', 1) if "{s}" in text else text.replace("{n}", draw(NUMBERS), 1)
    return text.replace("{{", "{").replace("}}", "}")


@settings(max_examples=60, deadline=None)
@given(st.lists(_line(), min_size=2, max_size=6))
def test_the_same_lines_print_the_same_with_and_without_remembered_parses(lines: list[str]) -> None:
    with TemporaryDirectory() as directory:
        remembering = Appliance(Path(directory) / "a", clock=ManualClock())
        forgetting = Appliance(Path(directory) / "b", clock=ManualClock())
        with remembering, forgetting:
            for line in lines * 2:
                forgetting._lines = Lines(forgetting.tree)
                assert remembering.run(line) == forgetting.run(line)


def _outcome(line: str, lines: Lines) -> str:
    try:
        return str(lines.parse(line).literals)
    except ParseError as error:
        return str(error)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (':put "a"; /disk/set pool1 comment="x"', ':put "b"; /disk/set pool1 comment="y"'),
        (
            ":if ([:len [/disk/find where size=5]]=1) do={:put 1}",
            ":if ([:len [/disk/find where size=66]]=0) do={:put 1}",
        ),
    ],
)
def test_lines_that_differ_in_literals_share_one_parse(first: str, second: str) -> None:
    lines = Lines(TREE)
    one, other = lines.parse(first), lines.parse(second)
    assert one.script is other.script
    assert one.literals != other.literals


@pytest.mark.parametrize(
    "line",
    [
        ':local "n" 5; :put $n',
        ':foreach "k" in={1} do={:put $k}',
        ':global f do={:put "x"}',
        ':put $"name with blanks"',
        ':put "$[:put "nested"]"',
        '# "comment"',
        ':put (>[:put "x"])',
    ],
)
def test_lines_whose_literals_matter_are_parsed_each_time(line: str) -> None:
    lines = Lines(TREE)
    assert "Slot" not in str(lines.parse(line).script)
    assert lines.parse(line).script == parse_line(line, TREE)


def test_keys_of_arrays_are_no_slots() -> None:
    lines = Lines(TREE)
    first, second = lines.parse(':put {"key"="v"}'), lines.parse(':put {"other"="v"}')
    assert first.script is not second.script
    assert "'key'" in str(first.script)


def test_errors_keep_their_columns_however_often_a_line_comes() -> None:
    lines = Lines(TREE)
    for text in ("a", "bcd", "a"):
        assert _outcome(f':put "{text}"; /nope', lines) == f"bad command name nope (line 1 column {len(text) + 11})"


def test_only_the_latest_parses_are_kept() -> None:
    lines = Lines(TREE)
    for index in range(600):
        lines.parse(f':put "a"; :local v{index} 1')
    assert len(lines) == 512


def test_a_slot_is_typed_where_a_literal_would_be() -> None:
    script = Lines(TREE).parse('/disk/find where size=5 and slot="5"').script
    assert str(Slot(0, typed=True)) in str(script)
    assert str(Slot(1, typed=False)) in str(script)
