"""The name of a Lease: a namespace and an object's name, or nothing."""

import re

import pytest

from rdscsi.config import LeaseName, values


@pytest.mark.parametrize(
    ("text", "namespace", "name"), [("a/b", "a", "b"), ("kube-system/x.y-1", "kube-system", "x.y-1")]
)
def test_a_name_is_read_and_shown(text: str, namespace: str, name: str) -> None:
    assert values.LEASE.parse(text) == LeaseName(namespace, name)
    assert str(values.LEASE.parse(text)) == text


def test_nothing_is_no_lease() -> None:
    assert values.LEASE.parse("") is None


@pytest.mark.parametrize(
    "text", ["a", "/", "a/", "/b", "A/b", "a/B", "a/b/c", "../b", "a/..", "a b/c", "a/" + "b" * 254]
)
def test_what_names_no_object_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        values.LEASE.parse(text)
