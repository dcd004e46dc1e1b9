"""The SSH key pair with which the sandbox's driver enters the simulated RDS; made once, kept in the state directory."""

import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

_COMMENT = b"rdscsi-sandbox"


def ensure_key_pair(private: Path, public: Path) -> None:
    """Make an Ed25519 pair unless both files are there. The private one is readable by its owner only."""
    if private.exists() and public.exists():
        return
    key = Ed25519PrivateKey.generate()
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    _write(private, secret, 0o600)
    _write(
        public, key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH) + b" " + _COMMENT + b"\n", 0o644
    )


def _write(path: Path, content: bytes, mode: int) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
