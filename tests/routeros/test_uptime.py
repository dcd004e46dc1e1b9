"""The appliance's clock: texts there and back, and windows that are never too early and never too late."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rdscsi.routeros.uptime import DRIFT, Sighting, parse_uptime, render_uptime
from rdscsi.simulator import Appliance, ApplianceOptions, ManualClock

SECONDS = st.integers(0, 20 * 365 * 86400)
MOMENTS = st.floats(0, 1e6)


@given(SECONDS)
def test_what_is_rendered_is_read_as_the_same(seconds: int) -> None:
    assert parse_uptime(render_uptime(seconds)) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "00:00:00"), (59, "00:00:59"), (86399, "23:59:59"), (86400, "1d00:00:00"), (788645, "1w2d03:04:05")],
)
def test_texts_look_as_the_console_prints_them(seconds: int, text: str) -> None:
    assert render_uptime(seconds) == text
    assert parse_uptime(f" {text}\n") == seconds


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Appliance:
    return Appliance(tmp_path_factory.mktemp("console"), clock=ManualClock())


@given(seconds=SECONDS)
@example(seconds=0)
@example(seconds=86400 * 7)
def test_the_console_reads_them_as_the_same(console: Appliance, seconds: int) -> None:
    kind, shown, _ = console.run(f":local x {render_uptime(seconds)}; :put [:typeof $x]; :put $x").split("\r\n")
    assert kind == "time"
    assert parse_uptime(shown) == seconds


def test_what_the_console_says_of_itself_is_read(tmp_path_factory: pytest.TempPathFactory) -> None:
    clock = ManualClock()
    options = ApplianceOptions(initial_uptime=788645.7)
    with Appliance(tmp_path_factory.mktemp("uptime"), options, clock=clock) as appliance:
        assert parse_uptime(appliance.run(":put [/system/resource/get uptime]")) == 788645


@pytest.mark.parametrize(
    "text",
    ["", "soon", "1:2", "1d", "-00:00:01", "00:00:00x", "1d1w00:00:00", "\u0660\u0660:\u0660\u0660:\u0660\u0660"],
)
def test_anything_else_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match="not a RouterOS time"):
        parse_uptime(text)


def test_fractions_are_rounded_down_and_nothing_is_negative() -> None:
    assert parse_uptime("00:00:01.999") == 1
    with pytest.raises(ValueError, match="cannot be negative"):
        render_uptime(-1)


class Clocks:
    """A driver's and an appliance's clock that drift apart, and a command that takes its time."""

    def __init__(self, uptime: float, drift: float) -> None:
        self._uptime = uptime
        self._rate = 1 + drift

    def uptime(self, at: float) -> float:
        return self._uptime + at * self._rate

    def sighting(self, sent: float, read: float, received: float) -> Sighting:
        return Sighting(int(self.uptime(read)), sent, received)


drifts = st.floats(-DRIFT * 0.99, DRIFT * 0.99)


@given(st.floats(0, 1e7), drifts, MOMENTS, st.floats(0, 60), st.floats(0, 60), st.floats(0, 3600))
def test_the_true_uptime_lies_between_the_bounds(
    uptime: float, drift: float, sent: float, to: float, back: float, later: float
) -> None:
    clocks = Clocks(uptime, drift)
    seen = clocks.sighting(sent, sent + to, sent + to + back)
    at = sent + to + back + later
    assert seen.at_least(at) - 1e-3 <= clocks.uptime(at) <= seen.at_most(at) + 1e-3


@given(st.floats(0, 1e7), drifts, MOMENTS, st.floats(0, 60), st.floats(0, 60), st.floats(0, 600), st.floats(1, 600))
def test_a_window_is_open_now_and_for_as_long_as_was_asked(
    uptime: float, drift: float, sent: float, to: float, back: float, later: float, seconds: float
) -> None:
    clocks = Clocks(uptime, drift)
    seen, now = clocks.sighting(sent, sent + to, sent + to + back), sent + to + back + later
    window = seen.window(now, seconds)
    assert window.not_before <= int(clocks.uptime(now)) <= window.not_after
    assert window.not_after >= clocks.uptime(now) + seconds - 1e-3


@given(st.floats(0, 1e7), drifts, MOMENTS, st.floats(0, 60), st.floats(0, 60), st.floats(0, 86400), st.floats(0, 60))
def test_time_that_passes_is_no_reboot(
    uptime: float, drift: float, sent: float, to: float, back: float, later: float, took: float
) -> None:
    clocks = Clocks(uptime, drift)
    older = clocks.sighting(sent, sent + to, sent + to + back)
    again = older.received_at + later
    newer = clocks.sighting(again, again + took, again + took)
    assert not newer.rebooted_since(older)
    if later >= 1e-6:
        assert newer.newer_than(older)
        assert not older.newer_than(newer)


@given(st.floats(200, 1e7), MOMENTS, st.floats(0, 60), st.floats(0, 100))
def test_uptime_that_fell_is_a_reboot(uptime: float, sent: float, took: float, since: float) -> None:
    older = Sighting(int(uptime), sent, sent + took)
    newer = Sighting(int(since), sent + took + since, sent + took + since)
    assert newer.rebooted_since(older)


def test_a_window_closes_before_a_reboot_can_open_it_again() -> None:
    """Its first second is not before the uptime that was seen: after a reboot the line waits out of it for as long."""
    seen = Sighting(1000, 5.0, 5.5)
    assert seen.window(5.5, 30).not_before >= 999
    assert re.fullmatch(r"00:16:3\d", render_uptime(seen.window(5.5, 30).not_before))
