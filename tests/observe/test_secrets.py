"""No secret survives: by its key at any depth, by its shape in any text, in whatever form a log renders it."""

import json
from typing import Any

import pytest
import structlog
from hypothesis import assume, example, given
from hypothesis import strategies as st

from rdscsi.observe import logs
from rdscsi.observe.lines import as_json, text
from rdscsi.observe.secrets import REMOVED, is_secret_key, scrub, scrub_text
from rdscsi.testing.logbook import open_logbook

SECRET = "S3CRETxyzzy"
secrets = st.text(st.sampled_from("ABCxyz019+/=_-.!#%,;)(&"), max_size=10).map(lambda tail: SECRET + tail)
SECRET_KEYS = [
    "password", "passwords", "passwd", "passphrase", "pass", "secret", "secrets", "credential", "credentials",
    "authorization", "private-key", "privateKey", "private_key", "PRIVATE_KEYS", "accessToken", "access-token",
    "bearer_token", "service-account-token", "serviceAccountTokens", "id_token", "refreshToken", "authToken",
    "node-stage-secrets", "csi.storage.k8s.io/node-stage-secret", "rds.password", "nvme-tcp-server-password",
]  # fmt: skip
OPEN_KEYS = [
    "starting_token", "next_token", "token", "passed", "bypass", "compass", "secretary", "key", "keys", "public_key",
    "volume_id", "token_counter", "passive", "", "name",
]  # fmt: skip
keys = st.sampled_from(OPEN_KEYS) | st.text(max_size=8)
leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.binary(max_size=20)


def nested(leaf: "st.SearchStrategy[Any]") -> "st.SearchStrategy[Any]":
    return st.recursive(
        leaf,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.lists(inner, max_size=3).map(tuple)
            | st.dictionaries(keys, inner, max_size=3)
        ),
        max_leaves=10,
    )


holders = st.dictionaries(
    st.sampled_from(SECRET_KEYS), nested(secrets | secrets.map(str.encode)), min_size=1, max_size=2
)
PEM = "-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n-----END OPENSSH PRIVATE KEY-----\n"
shapes = st.sampled_from(
    [
        "password={}", "password: {}", 'PASSWORD="{}"', "passphrase='{}'", "secret={};", "login failed (secret={})",
        "Authorization: Bearer {}", "authorization: Basic {}", '{{"x": 1}} secret: "{}"', PEM,
        "-----BEGIN RSA PRIVATE KEY-----\n{}", 'password="a \\" {}"', 'password="unterminated {}',
        "https://rds/?user=a&password={}&x=1", '{{"password": "{}"}}', "{{'secret': '{}'}}", "my_password = {}",
        '{{\\"password\\": \\"{}\\"}}', "secrets={{'user': 'u', 'key': '{}'}}", "credentials: [1, '{}']",
        "nvme-tcp-server-password={}", "passwd:{}", "private-key={}",
    ]
)  # fmt: skip


@pytest.mark.parametrize("key", SECRET_KEYS)
def test_keys_that_name_a_secret(key: str) -> None:
    assert is_secret_key(key)
    assert scrub(SECRET, key=key) == REMOVED


@pytest.mark.parametrize("key", OPEN_KEYS)
def test_keys_that_name_none(key: str) -> None:
    assert not is_secret_key(key)
    assert scrub("value", key=key) == "value"


@given(holders, keys)
def test_what_lies_under_a_secret_key_goes_at_any_depth(holder: dict[str, object], key: str) -> None:
    for value in (holder, [holder], {key: (holder, {"deep": [holder]})}):
        assert SECRET not in repr(scrub(value))


@given(shapes, secrets, st.sampled_from(["", "before ", "x=1, "]), st.sampled_from(["", " after", "\nnext line"]))
def test_what_a_text_gives_away_goes(shape: str, secret: str, before: str, after: str) -> None:
    scrubbed = scrub_text(before + shape.format(secret) + after)
    assert SECRET not in scrubbed
    assert REMOVED in scrubbed
    assert scrubbed.startswith(before)
    assert scrub_text(scrubbed) == scrubbed


@given(nested(leaves))
def test_what_is_no_secret_stays(value: object) -> None:
    assume("password" not in repr(value) and "secret" not in repr(value))
    scrubbed = scrub(value)
    if isinstance(value, str | int | float | bool | None):
        assert scrubbed == value or value != value
    json.dumps(scrubbed, default=str)


@given(nested(leaves | secrets))
def test_there_is_always_an_answer_and_twice_is_once(value: object) -> None:
    once = scrub(value)
    assert repr(scrub(once)) == repr(once)


def test_what_lies_too_deep_is_taken_out_whole() -> None:
    value: object = {"password": SECRET}
    for _ in range(20):
        value = [value]
    assert SECRET not in repr(scrub(value))
    assert REMOVED in repr(scrub(value))


@given(holders, shapes, secrets)
@example({"password": SECRET}, "password={}", SECRET)
def test_no_secret_survives_in_any_form_of_log(holder: dict[str, object], shape: str, secret: str) -> None:
    event = {
        "event": shape.format(secret),
        "level": "info",
        "exception": f"Traceback …\n{shape.format(secret)}",
        "detail": shape.format(secret),
        "holder": holder,
        **holder,
    }
    for render in (text, as_json):
        scrubbed = logs._without_secrets(None, "info", dict(event))
        assert SECRET not in render(None, "info", scrubbed)


def test_not_even_in_a_traceback() -> None:
    with open_logbook() as log:
        try:
            raise ValueError(f"login failed: password={SECRET}")
        except ValueError:
            structlog.get_logger().error("login", exc_info=True, headers={"Authorization": f"Bearer {SECRET}"})
    assert SECRET not in log.text
    assert "login failed" in log.text
