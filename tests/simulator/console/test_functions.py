"""The language's functions: conversions, searching, JSON and DSV, and what `:parse` shows."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdscsi.simulator import Appliance, ApplianceOptions
from rdscsi.simulator.console import json_form, separated
from rdscsi.simulator.console.values import NOTHING, Array, Value

PLAIN = frozenset({"json.no-string-conversion"})
TEXTS = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20)
SCALARS: st.SearchStrategy[Value] = st.one_of(st.booleans(), st.integers(-(2**63), 2**63 - 1), TEXTS, st.just(NOTHING))
VALUES: st.SearchStrategy[Value] = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(Array),
        st.dictionaries(TEXTS, inner, min_size=1, max_size=4).map(lambda keyed: Array((), keyed)),
    ),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("call", "printed"),
    [
        (":len hello", "5"),
        (":len {1;2;a=3}", "3"),
        (":pick abcde 1 3", "bc"),
        (":pick abcde 3", "d"),
        (":pick {1;2;3} 1", "2"),
        (":pick abc 9", ""),
        (":find abcabc b", "1"),
        (":find abcabc b 1", "4"),
        (":find abc z", ""),
        (":find {5;6} 6", "1"),
        (':tonum "12"', "12"),
        (':typeof [:tonum "x"]', "nil"),
        (':tobool "yes"', "true"),
        (':toid "*A"', "*A"),
        (':toip "1.2.3.4"', "1.2.3.4"),
        (':typeof [:toip6 "::1"]', "ip6"),
        (":totime 90", "00:01:30"),
        (':toarray "a,b"', "a;b"),
        (':toarray "a;b" delimiter=";"', "a;b"),
        (':tostr {1;"x"}', "1;x"),
        (':convert "hi" to=base64', "aGk="),
        (':convert "6869" from=hex', "hi"),
        (":rndnum from=4 to=4", "4"),
        (":len [:rndstr length=8]", "8"),
        (":typeof [:timestamp]", "time"),
    ],
)
def test_functions(appliance: Appliance, call: str, printed: str) -> None:
    assert appliance.run(f":put [{call}]") == f"{printed}\r\n"


@given(VALUES)
def test_what_is_serialized_is_json_with_the_same_content(value: Value) -> None:
    assert json.loads(json_form.serialized(value, PLAIN)) == _plain(value)


@given(VALUES)
def test_serializing_and_deserializing_is_the_way_back(value: Value) -> None:
    text = json_form.serialized(value, PLAIN)
    assert json_form.serialized(json_form.deserialized(text, PLAIN), PLAIN) == text


def _plain(value: Value) -> object:
    if isinstance(value, Array):
        if not value.keyed:
            return [_plain(item) for item in value.items]
        return {key: _plain(item) for key, item in value.keyed.items()}
    return None if value is NOTHING else value


def test_keys_are_in_alphabetical_order_and_mixed_arrays_are_objects() -> None:
    assert json_form.serialized(Array([7], {"b": 1, "a": 2}), PLAIN) == '{"0":7,"a":2,"b":1}'


def test_numeric_strings_become_numbers_unless_that_is_switched_off() -> None:
    value = Array((), {"a": "0123", "b": "1.5", "c": "x1"})
    assert json_form.serialized(value, frozenset()) == '{"a":123.000000,"b":1.500000,"c":"x1"}'
    assert json_form.serialized(value, PLAIN) == '{"a":"0123","b":"1.5","c":"x1"}'


@pytest.mark.parametrize("option", ["json.No-String-Conversion", "json.nonsense", "JSON.PRETTY"])
def test_options_are_a_closed_set_and_case_sensitive(appliance: Appliance, option: str) -> None:
    assert "input does not match any value of options" in appliance.run(
        f":put [:serialize to=json value=1 options={option}]"
    )


def test_pretty_json_has_lines(appliance: Appliance) -> None:
    assert appliance.run(":put [:serialize to=json value={a=1} options=json.pretty]") == '{\r\n    "a": 1\r\n}\r\n'


def test_broken_json_is_an_error(appliance: Appliance) -> None:
    assert "invalid json" in appliance.run(':put [:deserialize from=json value="{"]')


@given(st.lists(st.lists(st.text("abc 123", min_size=1, max_size=5), min_size=2, max_size=2), min_size=1, max_size=4))
def test_rows_apart_by_a_delimiter_read_back(rows: list[list[str]]) -> None:
    value = Array([Array(list(row)) for row in rows])
    text = separated.serialized(value, ";", frozenset({"dsv.plain"}))
    assert separated.deserialized(text, ";", frozenset({"dsv.plain"})) == value


def test_serialize_options_need_7_16_and_file_names_7_18(tmp_path: Path) -> None:
    with Appliance(tmp_path, ApplianceOptions(version="7.16.2")) as appliance:
        line = ":put [:serialize to=json value=1 file-name=x]"
        assert appliance.run(line).startswith("expected end of command")
        assert appliance.run(":put [:serialize to=json value=1 options=json.no-string-conversion]") == "1\r\n"


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        (":put $a", "(evl /putmessage=$a)"),
        ("(1 + $x)", "(<%% (+ 1 $x) )"),
        ("/disk print bogus=1", "(evl bad parameter bogus (line 1 column 18) /disk/print)"),
        (":put (", "syntax error (line 1 column 7)"),
    ],
)
def test_parse_shows_and_never_raises(appliance: Appliance, source: str, shown: str) -> None:
    quoted = source.replace("$", "\\$")
    assert appliance.run(f':put [:parse "{quoted}"]') == f"{shown}\r\n"


def test_what_was_parsed_can_be_called(appliance: Appliance) -> None:
    assert appliance.run(':local f [:parse ":put called"]; $f') == "called\r\n"


def test_the_environment_is_printed_as_source(appliance: Appliance) -> None:
    appliance.run(':global s "q\\"x"; :global n 5; :global a {1;k="v"}')
    assert appliance.run(":environment print") == 'a={1;k="v"}\r\nn=5\r\ns="q\\"x"\r\n'
