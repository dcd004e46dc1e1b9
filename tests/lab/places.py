"""Where things are kept: what is fetched once, and the directories of machines that are running."""

import os
import re
import tempfile
from pathlib import Path

from lab.failures import LabFailed

_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}\Z")


def cache() -> Path:
    """Return the directory that outlives checkouts, the same as in deploy/setup."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path(os.environ.get("HOME") or "/tmp") / ".cache")
    return Path(os.environ.get("RDSCSI_CACHE") or home / "rdscsi") / "lab"


def machines() -> Path:
    """Return the directory of running machines; each has a directory of its own in it while it runs."""
    return Path(tempfile.gettempdir()) / f"rdscsi-lab-{os.getuid()}"


def machine(name: str) -> Path:
    """Return the directory of one machine. Raises LabFailed for what is no name."""
    if not _NAME.match(name):
        raise LabFailed(f"{name!r} is no name for a machine: small letters, digits and hyphens, a letter first")
    return machines() / name
