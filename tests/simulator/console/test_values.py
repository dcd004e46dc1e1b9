"""Literals, times, strings, operators, arrays: what values a line computes with."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdscsi.simulator import Appliance
from rdscsi.simulator.console import literals, operators, times
from rdscsi.simulator.console.failures import ConsoleError
from rdscsi.simulator.console.text import text_of
from rdscsi.simulator.console.values import INT_MAX, INT_MIN, NOTHING, Array, Id, Time, type_name, wrapped

NUMBERS = st.integers(INT_MIN, INT_MAX)


@pytest.mark.parametrize(
    ("word", "kind", "text"),
    [
        ("0x1F", "num", "31"),
        ("-5", "num", "-5"),
        ("9223372036854775808", "num", "9223372036854775807"),
        ("1.2.3.4", "ip", "1.2.3.4"),
        ("1.1", "ip", "1.0.0.1"),
        ("1.256", "time", "00:00:01.256"),
        ("10.9.9.9/24", "ip-prefix", "10.9.9.0/24"),
        ("fe80::1", "ip6", "fe80::1"),
        ("fe80::/10", "ip6-prefix", "fe80::/10"),
        ("00:00:05", "time", "00:00:05"),
        ("1w2d03:04:05", "time", "1w2d03:04:05"),
        ("90m", "time", "01:30:00"),
        ("100w", "time", "100w00:00:00"),
        ("15250w1d23:47:16", "time", "15250w1d23:47:16"),
        ("100000w", "str", "100000w"),
        ("00:11:22:33:44:55", "str", "00:11:22:33:44:55"),
        ("yes", "bool", "true"),
        ("*2B", "id", "*2B"),
        ("1.2.3", "ip", "1.2.0.3"),
        ("1.2.3.400", "str", "1.2.3.400"),
        ("pool1", "str", "pool1"),
    ],
)
def test_words_without_quotes_are_typed(word: str, kind: str, text: str) -> None:
    value = literals.literal(word)
    assert (type_name(value), text_of(value)) == (kind, text)


@given(st.integers(0, INT_MAX))
def test_times_read_back_as_they_are_written(nanoseconds: int) -> None:
    written = times.clock_text(Time(nanoseconds))
    assert times.parse_time(written) == Time(nanoseconds)


@given(st.integers(0, 10**15))
def test_unit_texts_read_back_too(milliseconds: int) -> None:
    time = Time(milliseconds * 1_000_000 % INT_MAX)
    assert times.parse_time(times.unit_text(time)) == time


@given(NUMBERS, NUMBERS, st.sampled_from("+-*"))
def test_arithmetic_wraps_at_64_bits(left: int, right: int, operator: str) -> None:
    exact = {"+": left + right, "-": left - right, "*": left * right}[operator]
    value = operators.binary(operator, left, right)
    assert value == wrapped(exact)
    assert isinstance(value, int)
    assert (value - exact) % 2**64 == 0


@given(NUMBERS, NUMBERS.filter(bool))
def test_division_cuts_towards_zero_and_the_remainder_fits(left: int, right: int) -> None:
    quotient, remainder = operators.binary("/", left, right), operators.binary("%", left, right)
    assert isinstance(quotient, int)
    assert isinstance(remainder, int)
    assert wrapped(quotient * right + remainder) == left
    assert abs(remainder) < abs(right)


def test_division_by_zero_is_an_error() -> None:
    with pytest.raises(ConsoleError, match="division by zero"):
        operators.binary("/", 1, 0)


@pytest.mark.parametrize(
    ("expression", "printed"),
    [
        ('"a" . 1 + 2', "a3"),
        ('("a" . 1 = "a1")', "true"),
        ("1 + 2 * 3", "7"),
        ("(1 + 2) * 3", "9"),
        ("7 & 3 | 8", "11"),
        ("1 << 4 >> 2", "2"),
        ("-2 - -3", "1"),
        ("!true or true", "true"),
        ("1 < 2 and 2 < 3", "true"),
        ("~5", "-6"),
        ('"b" > "a"', "true"),
        ("10.0.0.1 + 5", "10.0.0.6"),
        ("10.0.0.6 - 10.0.0.1", "5"),
        ("10.0.0.5 in 10.0.0.0/24", "true"),
        ("10.0.1.5 in 10.0.0.0/24", "false"),
        ("10.0.0.5 & 255.255.255.0", "10.0.0.0"),
        ("1m + 30s", "00:01:30"),
        ("1m * 3", "00:03:00"),
        ('5 = "5"', "true"),
        ("true = 1", "false"),
        ('$nobody = ""', "false"),
        ("[:typeof $nobody]", "nothing"),
        ('"abc" ~ "^a.c$"', "true"),
        ('"abc" ~ "[[:digit:]]"', "false"),
        ("{1;2}->1", "2"),
        ("{1;2}->7", ""),
        ('{"k"="v"}->"k"', "v"),
        ("(1,2),3", "1;2;3"),
        ('("x=" . {1;2})', "x=1;x=2"),
        ("[:len {1,2}]", "1"),
    ],
)
def test_expressions(appliance: Appliance, expression: str, printed: str) -> None:
    assert appliance.run(f":put ({expression})") == f"{printed}\r\n"


def test_and_and_or_do_not_stop_early(appliance: Appliance) -> None:
    assert appliance.run(":put (false and [:put ran]); :put (true or [:put ran])").split() == [
        "ran", "false", "ran", "true",
    ]  # fmt: skip


def test_arrays_are_copied_when_they_are_assigned(appliance: Appliance) -> None:
    assert appliance.run(":local a {1;2}; :local b $a; :set ($b->0) 9; :put $a; :put $b") == "1;2\r\n9;2\r\n"


def test_an_array_grows_by_setting_beyond_its_end_within_reason() -> None:
    assert Array([1]).replaced(3, 4).items == (1, NOTHING, NOTHING, 4)
    assert Array([1]).replaced(10**9, 4) == Array([1])


def test_unkeyed_members_come_before_keyed_ones_in_alphabetical_order(appliance: Appliance) -> None:
    assert appliance.run(':foreach k,v in={b=1; 5; a=2; 6} do={:put "$k=$v"}').split() == ["0=5", "1=6", "a=2", "b=1"]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ('"\\"\\\\\\$\\?"', '"\\$?'),
        ('"a\\_b"', "a b"),
        ('"\\41\\42"', "AB"),
        ('"join\\ ed"', "joined"),
        ('"$nobody-"', "-"),
        ('"$(1+1)$[:put 3]"', "23"),
        ('"$"', "$"),
    ],
)
def test_strings(appliance: Appliance, written: str, value: str) -> None:
    printed = appliance.run(f":put {written}").replace("3\r\n", "", 1 if "[:put 3]" in written else 0)
    assert printed == f"{value}\r\n"


@given(st.binary(max_size=40))
def test_every_byte_can_be_written_as_a_hexadecimal_escape(data: bytes) -> None:
    from rdscsi.simulator.console.parser import parse_line
    from rdscsi.simulator.console.syntax import GlobalCall, Literal
    from rdscsi.simulator.menus.tree import Tree

    written = "".join(f"\\{byte:02X}" for byte in data)
    (statement,) = parse_line(f':put "{written}"', Tree("7.24.4")).statements
    assert isinstance(statement, GlobalCall)
    assert statement.arguments["message"] == Literal(data.decode("latin-1"))


def test_ids_are_upper_case_hexadecimal() -> None:
    assert str(Id(43)) == "*2B"
    assert literals.literal("*2b") == Id(43)


def test_regular_expressions_are_bounded(appliance: Appliance) -> None:
    assert "regular expression" in appliance.run(':put ("a" ~ "(")')
    assert "regular expression" in appliance.run(f':put ("a" ~ "{"a" * 600}")')


def test_a_string_cannot_be_doubled_for_ever(appliance: Appliance) -> None:
    assert "too big" in appliance.run(':local a "xxxxxxxx"; :while (true) do={:set a ($a . $a)}')
