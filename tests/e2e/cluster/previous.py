"""The commit before, for the upgrade: HEAD where there are changes that are not committed, else its parent.

One whose image cannot be built is passed over, and the one before it is taken.
"""

import json
import re
import subprocess
import tarfile
from collections.abc import Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster import driver
from cluster.places import ROOT, cache
from cluster.world import ClusterFailed

TAG = "before"
SETTINGS = Path("docs", "settings.md")
"""Names each setting in a heading; in every commit, rendered from the code."""
_SECONDS = 60.0
_TRIES = 3


@dataclass(frozen=True, slots=True)
class Previous:
    """An earlier commit, with its tree in a directory."""

    commit: str
    checkout: Path
    image: Path


def find() -> Previous | None:
    """The commit before; None where git does not know it (a shallow clone, no clone at all)."""
    first = 0 if _git("status", "--porcelain", "--untracked-files=no") else 1
    for back in range(first, first + _TRIES):
        commit = _git("rev-parse", "--verify", "--quiet", f"HEAD~{back}")
        if not commit or not _git("ls-tree", commit, str(driver.CHART / "Chart.yaml")):
            return None
        checkout = _unpacked(commit)
        try:
            return Previous(commit, checkout, driver.build_image(TAG, checkout))
        except ClusterFailed as error:
            print(f"e2e: {commit[:12]} is passed over: {str(error)[:200]}", flush=True)
    return None


def known_values(chosen: Mapping[str, object], checkout: Path) -> dict[str, object]:
    """Values of the chart without those that an earlier commit's chart, or its driver, does not know yet."""
    schema = json.loads((checkout / driver.CHART / "values.schema.json").read_text())
    settings = set(re.findall(r"^### (\S+)$", (checkout / SETTINGS).read_text(), re.M))
    return _known(chosen, schema, settings)


def _known(chosen: Mapping[str, object], schema: Mapping[str, Any], settings: Set[str]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in chosen.items():
        inner = schema["properties"].get(name)
        if name == "settings" and isinstance(value, dict):
            found[name] = {key: one for key, one in value.items() if key in settings}
        elif isinstance(value, dict) and inner and "properties" in inner:
            found[name] = _known(value, inner, settings)
        elif inner:
            found[name] = value
    return found


def _unpacked(commit: str) -> Path:
    checkout = cache() / "previous"
    mark = checkout / "commit"
    if not mark.exists() or mark.read_text() != commit:
        _unpack(commit, checkout)
        mark.write_text(commit)
    return checkout


def _unpack(commit: str, checkout: Path) -> None:
    subprocess.run(("rm", "-rf", "--", str(checkout)), check=True, timeout=_SECONDS)
    checkout.mkdir(parents=True)
    archive = checkout / "tree.tar"
    subprocess.run(("git", "archive", f"--output={archive}", commit), cwd=ROOT, check=True, timeout=_SECONDS)
    with tarfile.open(archive) as opened:
        opened.extractall(checkout, filter="data")
    archive.unlink()


def _git(*arguments: str) -> str:
    """What git says; empty where it fails, or is missing."""
    try:
        done = subprocess.run(
            ("git", *arguments), cwd=ROOT, capture_output=True, text=True, check=False, timeout=_SECONDS
        )
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
