"""Host key files, as people keep them: known_hosts lines, public keys, one exported block; never a private key."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdscsi.routeros.hostkeys import Pins, parse_pins

ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG rds"
RSA = "ssh-rsa AAAAB3NzaC1yc2E"
ECDSA = "ecdsa-sha2-nistp256 AAAAE2VjZHNh x"
KNOWN = "192.0.2.1 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG"
HASHED = "|1|hash|salt= ssh-rsa AAAAB3NzaC1yc2E"
MARKED = "@revoked * ssh-rsa AAAAB3NzaC1yc2E"
BLOCK = "---- BEGIN SSH2 PUBLIC KEY ----\nComment: x\nAAAA\n---- END SSH2 PUBLIC KEY ----"
PEM = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"


def test_kinds_are_sorted_and_comments_left_out() -> None:
    text = f"# keys of the lab\n\n{ED25519}\r\n  {KNOWN}\n{HASHED}\n{RSA}\n#{RSA}\n{MARKED}\n{ECDSA}\n"
    assert parse_pins(text) == Pins((ED25519, RSA, ECDSA), (KNOWN, HASHED, MARKED))


@pytest.mark.parametrize("block", [BLOCK, PEM])
def test_a_block_is_one_key(block: str) -> None:
    assert parse_pins(f"\n{block}\n\n") == Pins((f"{block}\n",), ())


@pytest.mark.parametrize("text", ["", "\n \n", "# nothing\n"])
def test_a_file_without_a_key_is_a_mistake(text: str) -> None:
    with pytest.raises(ValueError, match="holds no key"):
        parse_pins(text)


@pytest.mark.parametrize("kind", ["OPENSSH ", "RSA ", "EC ", ""])
def test_a_private_key_is_a_mistake_and_is_not_repeated(kind: str) -> None:
    with pytest.raises(ValueError, match="private key") as caught:
        parse_pins(f"-----BEGIN {kind}PRIVATE KEY-----\nhush\n-----END {kind}PRIVATE KEY-----\n")
    assert "hush" not in str(caught.value)


@given(st.text(max_size=200))
def test_whatever_a_file_holds_there_is_an_answer(text: str) -> None:
    try:
        pins = parse_pins(text)
    except ValueError:
        return
    assert pins.keys or pins.known_hosts
