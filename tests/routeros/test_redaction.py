"""Console lines and answers without the values of secret properties."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rdscsi.routeros.quoting import quote
from rdscsi.routeros.redaction import redact

SECRET_NAMES = ["password", "nvme-tcp-server-password", "secret", "radius-secret", "passphrase", "private-key",
                "key", "wpa2-pre-shared-key", "token", "api-token"]  # fmt: skip
OPEN_NAMES = ["slot", "comment", "monkey", "keyboard", "tokens", "password-hint", "keep", "name"]
values = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=30).map(lambda text: "S3CRET" + text)


@given(st.sampled_from(SECRET_NAMES), values, st.sampled_from(["=", " = ", "= "]))
@example("password", 'S3CRET" and "more', "=")
@example("password", "S3CRET\\", "=")
def test_a_quoted_secret_goes_whole(name: str, value: str, equals: str) -> None:
    line = f'/disk/set [find slot="v1"] {name}{equals}{quote(value)} comment="after"'
    shown = redact(line)
    assert "S3CRET" not in shown
    assert shown == f'/disk/set [find slot="v1"] {name}{equals}*** comment="after"'


@given(st.sampled_from(SECRET_NAMES), st.from_regex(r"S3CRET[A-Za-z0-9_.+/-]{0,20}", fullmatch=True))
def test_a_bare_secret_goes_too(name: str, value: str) -> None:
    for line in (
        f"set {name}={value}",
        f"[find {name}={value}]",
        f"do={{set {name}={value}}}",
        f"set {name}={value}; :put 1",
    ):
        assert "S3CRET" not in redact(line)


@given(st.sampled_from(SECRET_NAMES), values)
def test_an_unterminated_secret_goes_to_the_end(name: str, value: str) -> None:
    assert "S3CRET" not in redact(f"set {name}={quote(value)[:-1]}")


@pytest.mark.parametrize("name", OPEN_NAMES)
def test_other_properties_stay(name: str) -> None:
    line = f'/disk/set 0 {name}="my password is fine"'
    assert redact(line) == line


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=100))
def test_twice_is_once(line: str) -> None:
    assert redact(redact(line)) == redact(line)
    if not re.search(r"(?i)(password|passphrase|secret|key|token)\s*=", line):
        assert redact(line) == line
