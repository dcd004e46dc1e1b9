"""Flags that are not settings but have a setting's form: argparse types over the parsers of `rdscsi.config.values`."""

import argparse
from typing import TypeVar

from rdscsi.config import Endpoint, values
from rdscsi.config.values import Kind

T = TypeVar("T")


def read_endpoint(text: str) -> Endpoint:
    """An endpoint, or argparse's error with what would be right."""
    return _read(values.ENDPOINT, text)


def read_size(text: str) -> int:
    """A size in bytes, or argparse's error with what would be right."""
    return _read(values.size(0), text)


def _read(kind: Kind[T], text: str) -> T:
    try:
        return kind.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: expected {kind.expected}") from error
