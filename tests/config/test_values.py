"""Parsers of single settings: total (a value or ValueError), exact, and stable under being shown again."""

import contextlib
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdscsi.config import values
from rdscsi.config.definition import definitions
from rdscsi.config.settings import SECTIONS
from rdscsi.config.values import Kind
from rdscsi.tags import Marker, parse_marker, render_marker


def accepts(kind: Kind[Any], text: str) -> bool:
    """Tell whether a parser takes the text."""
    try:
        kind.parse(text)
    except ValueError:
        return False
    return True


ALL = sorted(
    {(d.name, d.kind) for section in SECTIONS.values() for d in definitions(section)}, key=lambda pair: pair[0]
)


@pytest.mark.parametrize(("name", "kind"), ALL, ids=[name for name, _ in ALL])
@given(text=st.text())
def test_every_parser_gives_a_value_or_a_value_error(name: str, kind: Kind[object], text: str) -> None:
    with contextlib.suppress(ValueError):
        kind.parse(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0", 0), ("1073741824", 1 << 30), ("1Ki", 1024), ("1Gi", 1 << 30), ("3Ti", 3 << 40), ("1Pi", 1 << 50)],
)
def test_sizes_are_bytes_or_binary_units(text: str, expected: int) -> None:
    assert values.size(0).parse(text) == expected


@pytest.mark.parametrize("text", ["", "1G", "1GB", "1 Gi", "-1", "1.5Gi", "1e9", "0x10", "٣", "9999999999999Pi"])
def test_a_size_that_could_mean_two_things_is_refused(text: str) -> None:
    assert not accepts(values.size(0), text)


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "1e3", "", " 1", "1s"])
@pytest.mark.parametrize("kind", [values.seconds(0, 10), values.factor(1, 100)])
def test_times_and_factors_are_plain_finite_numbers(text: str, kind: Kind[float]) -> None:
    assert not accepts(kind, text)


@pytest.mark.parametrize(
    ("kind", "text", "shown"),
    [
        (values.ENDPOINT, "unix:///run/csi.sock", "unix:///run/csi.sock"),
        (values.ENDPOINT, "tcp://[::1]:10000", "tcp://[::1]:10000"),
        (values.BASE_PATH, "/pool1/rdscsi/", "pool1/rdscsi"),
        (values.BASE_PATH, "", ""),
        (values.MODE, "0660", str(0o660)),
    ],
)
def test_accepted_texts_read_as(kind: Kind[object], text: str, shown: str) -> None:
    assert str(kind.parse(text)) == shown


@pytest.mark.parametrize(
    "text",
    ["", "unix://relative", "unix:///dir/", "unix:///" + "x" * 107, "tcp://host", "tcp://h:70000", "tcp://[zz]:1", "x"],
)
def test_refused_endpoints(text: str) -> None:
    assert not accepts(values.ENDPOINT, text)


@pytest.mark.parametrize("text", ["a/../b", "..", "a//b", 'a"b', "a b", "a/$x", "a/" + "b" * 55])
def test_refused_base_paths(text: str) -> None:
    assert not accepts(values.BASE_PATH, text)


@pytest.mark.parametrize("text", ["", ",", "1.2.3.4,", "host", "1.2.3.4:0", "1.2.3.4,1.2.3.4:4420", "::1:4420x"])
def test_refused_portals(text: str) -> None:
    assert not accepts(values.PORTALS, text)


@given(st.binary(min_size=1, max_size=200).map(lambda data: data.decode("latin-1")))
def test_a_cluster_id_is_printable_ascii(text: str) -> None:
    good = len(text) <= 64 and all("!" <= c <= "~" for c in text)
    assert good == accepts(values.CLUSTER_ID, text)


def test_the_longest_cluster_id_and_base_path_fit_a_marker() -> None:
    cluster_id = values.CLUSTER_ID.parse("c" * 64)
    base_path = values.BASE_PATH.parse("/".join(["b" * 27, "b" * 28]))
    marker = Marker(cluster_id, base_path, str(UUID(int=0)), "j" * 13, 10**11, "r" * 16)
    assert parse_marker(render_marker(marker)) == marker


@pytest.mark.parametrize("text", ["0.9", "10.1", "999999999999"])
def test_a_length_of_time_outside_its_bounds_is_refused(text: str) -> None:
    assert not accepts(values.seconds(1, 10), text)
    assert all(accepts(values.seconds(1, 10), inside) for inside in ("1", "10.000"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [("", None), ("127.0.0.1:8080", "tcp://127.0.0.1:8080"), ("[::1]:0", "tcp://[::1]:0"), ("h.x:1", "tcp://h.x:1")],
)
def test_an_address_for_health_may_be_nothing(text: str, shown: str | None) -> None:
    endpoint = values.TCP_ENDPOINT.parse(text)
    assert (None if endpoint is None else str(endpoint)) == shown


@pytest.mark.parametrize("text", ["8080", ":8080", "host", "host:", "unix:///x", "host:70000"])
def test_what_is_no_address_for_health(text: str) -> None:
    assert not accepts(values.TCP_ENDPOINT, text)
