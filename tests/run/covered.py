"""Says where the tests leave something of the journal, operations and recovery untried. Nothing there may be.

    python tests/run/covered.py [COVERAGE.JSON]      default: artefacts/coverage.json, as `coverage json` writes it

What decides whether anybody's data survives a crash is tested line by line and branch by branch, by tests that assert;
what cannot happen is not written down, or is an assertion. The exit status is 1 when a line or a branch was not taken,
or a file of the list is not in the report at all. Nothing outside the standard library is imported.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
REPORT = ROOT / "artefacts" / "coverage.json"

WHOLE = (
    "rdscsi/journal/*.py",
    "rdscsi/operations.py",
    *(
        f"rdscsi/controller/{name}.py"
        for name in (
            *("abandoning", "boots", "catalogue", "creation", "deletion", "erasing", "expansion", "fencing"),
            *("inventory", "judgement", "keeper", "leadership", "overtaken", "publications", "repairs"),
            *("requests", "settling", "snapshot_catalogue", "snapshot_creation", "snapshot_deletion"),
            *("snapshot_inventory", "snapshot_resolving", "snapshot_survey", "sources", "unnamed"),
        )
    ),
    *(
        f"rdscsi/node/{name}.py"
        for name in (
            *("clearing", "expansion", "formatting", "identity", "mounting", "publishing", "recovery", "staging"),
            *("unstaging", "wishes"),
        )
    ),
)
"""What is covered as a whole, as patterns of paths from the root of the repository."""

# Any: JSON; coverage documents what is in it (https://coverage.readthedocs.io, "JSON reports").
Measured = Mapping[str, Mapping[str, Any]]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("report", nargs="?", type=Path, default=REPORT, help="what `coverage json` has written")
    report: Path = parser.parse_args(arguments).report
    measured: Measured = json.loads(report.read_text())["files"]
    files = expected(WHOLE)
    found = [*untried(measured, files), *unmeasured(measured, files)]
    for line in found:
        print(line)
    print(f"{len(files)} files of journal, operations and recovery: {'NOT ' if found else ''}covered as a whole")
    return 1 if found else 0


def expected(patterns: Iterable[str]) -> list[str]:
    """Return the files that are there for the patterns. A pattern without a file is a mistake: ValueError."""
    files: list[str] = []
    for pattern in patterns:
        there = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob(pattern))
        if not there:
            raise ValueError(f"tests/run/covered.py: {pattern}: there is no such file; it has another name now?")
        files += there
    return files


def untried(measured: Measured, files: Iterable[str]) -> list[str]:
    """Say of each file which lines never ran, and which ways out of a line were never taken."""
    told = []
    for file in files:
        one = measured.get(file, {})
        lines = [str(line) for line in one.get("missing_lines", ())]
        jumps = [_jump(*branch) for branch in one.get("missing_branches", ()) if str(branch[1]) not in lines]
        if lines:
            told.append(f"{file}: never run: line{'s' if len(lines) > 1 else ''} {', '.join(lines)}")
        if jumps:
            told.append(f"{file}: never taken: {', '.join(jumps)}")
    return told


def unmeasured(measured: Measured, files: Iterable[str]) -> list[str]:
    """Say which files the report does not tell of."""
    return [f"{file}: not in the report at all: no test has imported it" for file in files if file not in measured]


def _jump(line: int, to: int) -> str:
    """Write a branch; coverage gives the end of a function as a negative line."""
    return f"from line {line} {f'to line {to}' if to > 0 else 'out of the function'}"


if __name__ == "__main__":
    sys.exit(main())
