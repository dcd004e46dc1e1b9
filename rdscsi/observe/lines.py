"""Renders a log event as one line: `text` for people, JSON for machines. Pure; `rdscsi.observe.logs` sets it up.

Neither form ever raises, and no value can start a line of its own: a stranger's text must not look like a record.
"""

import json
import re
from collections.abc import MutableMapping

Event = MutableMapping[str, object]

_LEAD = ("timestamp", "level", "event")
_PLAIN = re.compile(r"[\w./:@%+,\[\]-]+")  # values that need no quotes


def text(_logger: object, _method: str, event: Event) -> str:
    """`2026-11-24T16:12:03.123Z info  volume.created rpc=CreateVolume seconds=0.21`; a traceback follows, indented."""
    trace = event.pop("exception", None)
    head = f"{_time(event)} {event.get('level', 'info')!s:<7} {one_line(str(event.get('event', '')))}"
    pairs = (f"{one_line(key)}={_value(value)}" for key, value in event.items() if key not in _LEAD)
    return " ".join((head, *pairs)) + _indented(trace)


def as_json(_logger: object, _method: str, event: Event) -> str:
    """One JSON object: time, level and event first, then what the event carries."""
    ordered = {key: event[key] for key in _LEAD if key in event} | dict(event)
    try:
        return json.dumps(ordered, default=str, allow_nan=False)
    except (TypeError, ValueError):  # a key that is no string, NaN, or a cycle: the words matter more than the types
        return json.dumps({str(key): _safe(value) for key, value in ordered.items()})


def one_line(text: str) -> str:
    """Escape whatever would end the line or move the cursor."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


def _time(event: Event) -> str:
    """Cut microseconds down to milliseconds: enough for a person."""
    return re.sub(r"(\.\d{3})\d+", r"\1", str(event.get("timestamp", "-")))


def _value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    rendered = str(value)
    if _PLAIN.fullmatch(rendered):
        return rendered
    return '"' + one_line(rendered).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _safe(value: object) -> str | int | bool | None:
    return value if isinstance(value, str | int | None) else str(value)


def _indented(trace: object) -> str:
    return "".join(f"\n    | {one_line(one)}" for one in str(trace).splitlines()) if trace else ""
