"""Runs the Go tests of tests/conformance and leaves their results as JUnit XML in artefacts/.

Go is the one that the set-up chose (`.venv/.done/go`). Without it: skipped with a word, or failed when CI=true.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from junit import Case, tally, write

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "tests" / "conformance"
CHOSEN_GO = ROOT / ".venv" / ".done" / "go"
ENDINGS = {"pass": "passed", "fail": "failed", "skip": "skipped"}


def main() -> int:
    artefacts = ROOT / "artefacts"
    artefacts.mkdir(exist_ok=True)
    report = artefacts / "conformance.xml"
    if not CHOSEN_GO.is_file():
        print("conformance: left out, there is no Go (make setup says what is missing)")
        write(report, "conformance", [Case("conformance", "skipped", "no Go", 0)])
        return 1 if os.environ.get("CI") == "true" else 0
    environment = {**os.environ, "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"}
    command = [CHOSEN_GO.read_text().strip(), "test", "-json", "-count=1", "./..."]
    finished = subprocess.run(command, cwd=HERE, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    cases = cases_of(finished.stdout.splitlines())
    write(report, "conformance", cases)
    for case in cases:
        if case.state != "passed":
            print(f"{case.state}: {case.name}\n{case.why}")
    counts = tally(cases)
    print(f"conformance: {counts.passed} passed, {counts.failed} failed, {counts.skipped} skipped")
    return 1 if finished.returncode or not counts.passed else 0


def cases_of(lines: Iterable[str]) -> list[Case]:
    """Read `go test -json`. What the compiler or a panic says outside of any test makes a failed case of its own."""
    output: dict[str, str] = {}
    cases = []
    for line in lines:
        event = json.loads(line)
        name = event.get("Test") or event.get("Package") or event.get("ImportPath", "")
        output[name] = output.get(name, "") + event.get("Output", "")
        state = ENDINGS.get(event["Action"].removeprefix("build-"))
        if state and ("Test" in event or state == "failed"):
            cases.append(Case(name, state, output[name].strip(), float(event.get("Elapsed", 0))))
    return cases


if __name__ == "__main__":
    sys.exit(main())
