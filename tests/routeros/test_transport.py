"""Normalisation of output, and the statistics' own arithmetic."""

from hypothesis import given
from hypothesis import strategies as st

from rdscsi.routeros.transport import TransportStatistics, normalise


def test_line_ends_and_trailing_blanks_go() -> None:
    assert normalise(b"a  \r\nb\t \r\n\r\nc") == "a\nb\n\nc"


def test_bytes_of_a_foreign_code_page_do_not_stop_the_reading() -> None:
    assert normalise(b"comment=\xe9\r\n") == "comment=\ufffd\n"


@given(st.lists(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E)), max_size=5))
def test_clean_text_is_left_alone(lines: list[str]) -> None:
    assert normalise("\r\n".join(lines).encode()) == "\n".join(lines)


@given(st.binary(max_size=60))
def test_normalising_twice_changes_nothing(output: bytes) -> None:
    once = normalise(output)
    assert normalise(once.encode()) == once


def test_the_first_connection_is_no_reconnection() -> None:
    assert [TransportStatistics(connects=n).reconnects for n in (0, 1, 3)] == [0, 0, 2]
