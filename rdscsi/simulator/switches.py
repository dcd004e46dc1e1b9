"""Switches of `Behaviour` by name and text, for the command line and for tests that try each of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, replace
from typing import get_args, get_type_hints

from rdscsi.simulator.options import Behaviour

Setting = str | int | float | bool | tuple[str, ...] | None


def names() -> list[str]:
    """All switches, as they are written on a command line."""
    return [field.name.replace("_", "-") for field in fields(Behaviour)]


def parse(text: str) -> tuple[str, Setting]:
    """`allocation=sparse`: the field of `Behaviour` and its value. Raises ValueError with what would be right."""
    name, separator, value = text.partition("=")
    field = name.replace("-", "_")
    hints = get_type_hints(Behaviour)
    if not separator or field not in hints:
        raise ValueError(f"{text!r}: expected NAME=VALUE with one of {', '.join(names())}")
    return field, _converted(name, value, hints[field])


def _converted(name: str, value: str, kind: object) -> Setting:
    if kind is bool or bool in get_args(kind):
        return _yes_no(name, value, optional=type(None) in get_args(kind))
    if kind is int:
        if not value.isdigit():
            raise ValueError(f"{name}={value!r}: expected a number")
        return int(value)
    if kind is float:
        return float(value)
    if str in get_args(kind):
        return tuple(word for word in value.split(",") if word)
    if value not in get_args(kind):
        raise ValueError(f"{name}={value!r}: expected one of {', '.join(map(str, get_args(kind)))}")
    return value


def _yes_no(name: str, value: str, *, optional: bool) -> bool | None:
    known = {"yes": True, "no": False, **({"auto": None} if optional else {})}
    if value not in known:
        raise ValueError(f"{name}={value!r}: expected {' or '.join(known)}")
    return known[value]


def with_switches(behaviour: Behaviour, settings: Iterable[tuple[str, Setting]]) -> Behaviour:
    """The behaviour with some switches set."""
    return replace(behaviour, **dict(settings))  # type: ignore[arg-type]  # `parse` made each of its field's type
