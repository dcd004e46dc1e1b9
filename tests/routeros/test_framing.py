"""What an answer inside its frame proves, and that nothing less than the frame proves it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdscsi.routeros.framing import MAX_BODY_BYTES, MAX_LINE_BYTES, Frame, NothingRan, Ran, Stopped, Unclear

N = "0123456789abcdef"
FRAME = Frame(':put "x"', N)

lines = st.lists(st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=40), max_size=6)


def answer(*parts: str) -> str:
    return "".join(f"{part}\n" for part in parts)


def test_a_frame_reads_as_the_console_wants_it() -> None:
    expected = f':put "{N}B"; :onerror ze in={{ :put "x" }} do={{ :put ("{N}E" . [:tostr $ze]) }}; :put "{N}D"'
    assert FRAME.line == expected


@given(st.integers(1, MAX_BODY_BYTES + 10))
def test_a_line_that_is_too_long_is_never_made(length: int) -> None:
    body = "x" * length
    if length <= MAX_BODY_BYTES:
        assert len(Frame(body, N).line) <= MAX_LINE_BYTES < 4096
    else:
        with pytest.raises(ValueError, match="more than 4095"):
            Frame(body, N)


@pytest.mark.parametrize("body", ["", "a\nb", "a\rb", "a\tb", "ü", "a\x00", "\x7f"])
def test_a_body_that_is_not_one_line_of_printable_ascii_is_refused(body: str) -> None:
    with pytest.raises(ValueError, match="printable ASCII"):
        Frame(body, N)


@pytest.mark.parametrize("nonce", ["", "short", 'aaaaaaa"', "AAAAAAAA", "a" * 65])
def test_a_nonce_that_could_be_read_as_console_text_is_refused(nonce: str) -> None:
    with pytest.raises(ValueError, match="nonce"):
        Frame(":put 1", nonce)


def test_a_body_that_holds_the_nonce_is_refused() -> None:
    with pytest.raises(ValueError, match="nonce"):
        Frame(f':put "{N}D"', N)


@given(lines, lines)
def test_begin_and_end_without_error_prove_that_the_body_ran(banner: list[str], payload: list[str]) -> None:
    assert FRAME.read(answer(*banner, f"{N}B", *payload, f"{N}D")) == Ran(tuple(payload))


@given(lines, st.text(st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]), max_size=40))
def test_an_error_marker_splits_what_ran_from_what_failed(payload: list[str], text: str) -> None:
    assert FRAME.read(answer(f"{N}B", *payload, f"{N}E{text}", f"{N}D")) == Stopped(tuple(payload), text)


def test_an_error_text_may_have_several_lines() -> None:
    finding = FRAME.read(answer(f"{N}B", "I {}", f"{N}Efailure: no", "because of that", "", f"{N}D"))
    assert finding == Stopped(("I {}",), "failure: no\nbecause of that")


@given(lines, st.one_of(st.none(), st.text(st.characters(categories=["L", "N"]), max_size=20)), st.data())
def test_an_answer_cut_short_proves_nothing_else(payload: list[str], error: str | None, data: st.DataObject) -> None:
    failure = [] if error is None else [f"{N}E{error}"]
    whole = answer(f"{N}B", *payload, *failure, f"{N}D")
    cut = whole[: data.draw(st.integers(0, len(whole)))]
    finding = FRAME.read(cut)
    assert isinstance(finding, Unclear) or finding == FRAME.read(whole)


@pytest.mark.parametrize(
    "text",
    [
        "expected end of command (line 1 column 60)",
        "expected command name (line 1 column 60)",
        "expected closing brace (line 1 column 60)",
        "syntax error (line 1 column 60)",
        "bad command name foo (line 1 column 60)",
        "bad parameter no-such-arg (line 1 column 60)",
        "SYNTAX ERROR (line 1 column 60)",
    ],
)
def test_a_parse_error_without_begin_proves_that_nothing_ran(text: str) -> None:
    head = FRAME.line.index(FRAME.body)
    assert FRAME.read(answer("a banner", "", text)) == NothingRan(text, 60 - head)


@pytest.mark.parametrize(
    "text",
    [
        "syntax error",
        "not enough permissions (9)",
        "input does not match any value of type",
        "invalid value for argument address",
        "value of port expects range of numbers",
        "max line length 65535 exceeded!",
    ],
)
def test_a_refusal_without_a_place_is_one_too(text: str) -> None:
    assert FRAME.read(answer(text)) == NothingRan(text, None)


def test_the_column_counts_in_the_body() -> None:
    column = FRAME.line.index("x") + 1
    finding = FRAME.read(answer(f"syntax error (line 1 column {column})"))
    assert isinstance(finding, NothingRan)
    assert finding.column is not None
    assert FRAME.body[finding.column - 1] == "x"


@pytest.mark.parametrize(
    "printed",
    [
        "",
        "\n\n",
        "Welcome to RouterOS\n",
        "syntax error (line 1 column 7)\nand then something\n",
        f"{N}B\n",
        f"{N}B\nbad command name foo (line 1 column 60)\n",
        f"{N}B\n{N}Efailure: no such disk\n",
        f"{N}D\n",
        f"{N}Efailure\n{N}D\n",
        f"{N}D\n{N}B\n",
        f"{N}B\n{N}B\n{N}D\n",
        f"{N}B\n{N}D\n{N}D\n",
        f"{N}B\n{N}Eone\n{N}Etwo\n{N}D\n",
        f"{N}B\nhalf a line {N}Efailure\n{N}D\n",
        f"{N}B\nhalf a line {N}D\n",
        f"{N}B {N}D\n",
        f'syntax error in :put "{N}B"\n',
    ],
)
def test_anything_else_is_unclear(printed: str) -> None:
    assert isinstance(FRAME.read(printed), Unclear)


def test_a_parse_error_in_the_payload_is_only_text() -> None:
    text = "bad command name this (line 1 column 1)"
    assert FRAME.read(answer(f"{N}B", text, f"{N}D")) == Ran((text,))
