"""The pinned host key of the appliance, as people keep it: what kinds of text a key file may hold. Pure.

The cryptography is `ssh`'s. Accepted: lines of ssh-keyscan or known_hosts (they count for the host they name), public
keys as in a `.pub` file (they count for whatever host), and one PEM or RFC 4716 block, as RouterOS exports it.
"""

from dataclasses import dataclass

_KEY_TYPES = ("ssh-rsa", "ssh-ed25519", "ssh-ed448", "ecdsa-sha2-")


@dataclass(frozen=True, slots=True)
class Pins:
    """A key file by kind: public keys, each a text of its own, and lines in the format of known_hosts."""

    keys: tuple[str, ...]
    known_hosts: tuple[str, ...]


def parse_pins(text: str) -> Pins:
    """Sort the content of a host key file. Raises ValueError when it holds no key, or a private one."""
    if "PRIVATE KEY" in text:
        raise ValueError("it holds a private key; the appliance's public key is wanted")
    if "-- BEGIN" in text or "--BEGIN" in text:
        return Pins((text.strip() + "\n",), ())
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
    if not lines:
        raise ValueError("it holds no key")
    return Pins(
        tuple(line for line in lines if line.startswith(_KEY_TYPES)),
        tuple(line for line in lines if not line.startswith(_KEY_TYPES)),
    )
