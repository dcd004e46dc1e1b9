"""What is kept as text: canonical, one line, bounded, and without secrets."""

import json
from random import Random
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdscsi.journal import text
from rdscsi.journal.records import Json

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
requests = st.dictionaries(st.text(), values, max_size=5)


@given(requests)
def test_a_request_survives_and_its_text_is_plain(request: dict[str, Json]) -> None:
    rendered = text.canonical(request)
    assert json.loads(rendered) == request
    assert rendered.isascii()


@given(requests, st.randoms())
def test_equal_requests_are_equal_texts(request: dict[str, Json], dice: Random) -> None:
    shuffled = list(request.items())
    dice.shuffle(shuffled)
    assert text.canonical(dict(shuffled)) == text.canonical(request)


@given(requests, requests)
def test_different_requests_are_different_texts(one: dict[str, Json], other: dict[str, Json]) -> None:
    if text.canonical(one) == text.canonical(other):
        assert one == other


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), b"bytes", {1, 2}])
def test_what_is_no_json_is_refused(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        text.canonical({"key": cast("Json", value)})


@given(st.text(st.characters(), max_size=3000))
def test_a_line_is_one_bounded_printable_line(value: str) -> None:
    line = text.line(value)
    assert len(line) <= text.MAX_TEXT
    assert line.isprintable()
    line.encode("utf-8")
    assert text.line(line) == line


def test_a_line_is_cut_where_it_grows_too_long() -> None:
    assert text.line("x" * text.MAX_TEXT) == "x" * text.MAX_TEXT
    assert text.line("x" * (text.MAX_TEXT + 1)) == "x" * (text.MAX_TEXT - 1) + "…"


def test_secrets_do_not_stay() -> None:
    assert "hush" not in text.line("login failed: password=hush")
    assert "hush" not in text.describe(ValueError('secret: "hush"'))


def test_an_error_is_told_by_class_and_words_each_member_of_a_group() -> None:
    group = BaseExceptionGroup("g", [ValueError("one"), BaseExceptionGroup("h", [KeyError("two"), SystemExit(3)])])
    assert text.describe(group) == "ValueError: one; KeyError: 'two'; SystemExit: 3"
