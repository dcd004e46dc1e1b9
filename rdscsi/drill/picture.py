"""A timeline of one rehearsal as inline SVG: time goes down, one lane each for caller, controller, journal, appliance.

The controller's lane is a bar for each of its lives, so that a crash is a gap. Pure.
"""

from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby

from rdscsi.drill.results import Event, Lane, Mark

ROW, TOP, LEFT, LANE_WIDTH, WIDTH = 20, 44, 84, 86, 1040
LANES = tuple(Lane)
COLOURS = {Mark.STEP: "#4b5563", Mark.TROUBLE: "#c81e1e", Mark.RECOVERY: "#15803d"}
_BAR = "#93c5fd"


def timeline(events: Sequence[Event]) -> str:
    """Draw the events; an empty picture for none."""
    rows = list(_merged(events))
    height = TOP + ROW * len(rows) + 10
    drawn = [*_lanes(height), *_lives(rows), *(mark for number, row in enumerate(rows) for mark in _event(number, row))]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'font-family="ui-monospace, monospace" font-size="12" role="img">{"".join(drawn)}</svg>'
    )


def _merged(events: Sequence[Event]) -> Iterator[tuple[Event, int]]:
    """Events that repeat themselves at once become one, with their number."""
    for _, group in groupby(events, key=lambda event: (event.lane, event.text, event.mark, event.life)):
        same = list(group)
        yield same[0], len(same)


def _x(lane: Lane) -> int:
    return LEFT + LANE_WIDTH * LANES.index(lane) + LANE_WIDTH // 2


def _y(number: int) -> int:
    return TOP + ROW * number + ROW // 2


def _lanes(height: int) -> Iterator[str]:
    for lane in LANES:
        yield f'<text x="{_x(lane)}" y="20" text-anchor="middle" font-weight="bold" fill="#111827">{lane}</text>'
        yield f'<line x1="{_x(lane)}" y1="30" x2="{_x(lane)}" y2="{height - 6}" stroke="#d1d5db"/>'


def _lives(rows: Sequence[tuple[Event, int]]) -> Iterator[str]:
    numbered = [(number, event.life) for number, (event, _) in enumerate(rows)]
    for life, group in groupby(numbered, key=lambda pair: pair[1]):
        numbers = [number for number, _ in group]
        top, bottom = _y(numbers[0]) - 8, _y(numbers[-1]) + 8
        yield (
            f'<rect x="{_x(Lane.CONTROLLER) - 6}" y="{top}" width="12" height="{bottom - top}" rx="3" fill="{_BAR}">'
            f"<title>process {life}</title></rect>"
        )


def _event(number: int, row: tuple[Event, int]) -> Iterator[str]:
    event, times = row
    x, y, colour = _x(event.lane), _y(number), COLOURS[event.mark]
    yield f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end" fill="#6b7280">{event.at:.1f} s</text>'
    if event.mark is Mark.TROUBLE:
        yield f'<path d="M{x - 5} {y - 5}l10 10m0 -10l-10 10" stroke="{colour}" stroke-width="3"/>'
    else:
        yield f'<circle cx="{x}" cy="{y}" r="4" fill="{colour}"/>'
    text = event.text if times == 1 else f"{event.text} ({times} times)"
    at = LEFT + LANE_WIDTH * len(LANES) + 12
    weight = "normal" if event.mark is Mark.STEP else "bold"
    yield f'<text x="{at}" y="{y + 4}" fill="{colour}" font-weight="{weight}">{escape(_short(text))}</text>'


def _short(text: str) -> str:
    return text if len(text) <= 82 else f"{text[:81]}…"
