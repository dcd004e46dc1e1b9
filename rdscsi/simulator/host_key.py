"""The host key of a simulated appliance: made at the first start, kept in the state directory, made anew on request."""

import os
from pathlib import Path

import asyncssh

_KINDS = {"rsa": "ssh-rsa", "ed25519": "ssh-ed25519"}


def load(state_dir: Path, kind: str) -> asyncssh.SSHKey:
    """The host key of the state directory, made if there is none (RSA-2048 is the device's default, §5)."""
    private = state_dir / "host_key"
    key = asyncssh.read_private_key(private) if private.exists() else _generate(private, kind)
    (state_dir / "host_key.pub").write_bytes(key.export_public_key())
    return key


def regenerate(state_dir: Path, kind: str) -> asyncssh.SSHKey:
    """Another key in the place of the old one."""
    (state_dir / "host_key").unlink(missing_ok=True)
    return load(state_dir, kind)


def _generate(private: Path, kind: str) -> asyncssh.SSHKey:
    algorithm = _KINDS.get(kind, kind)
    if algorithm == "ssh-rsa":
        key = asyncssh.generate_private_key(algorithm, key_size=2048)
    else:
        key = asyncssh.generate_private_key(algorithm)
    fresh = private.with_suffix(".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(key.export_private_key())
    fresh.replace(private)
    return key
