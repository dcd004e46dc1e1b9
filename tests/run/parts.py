"""Runs parts of the tests, all of them even when one fails, and says how long each took and what it counted.

    python tests/run/parts.py [PART …]        without names: the parts of make test, in this order
    python tests/run/parts.py --recorded      what each part counted when it last ran, without running any

Reports go to artefacts/: JUnit XML of every test, coverage, and parts.json with the times and counters of each part's
last run. The exit status is 1 when a part failed. Nothing outside the standard library is imported.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from junit import Counts, count

ROOT = Path(__file__).resolve().parents[2]
ARTEFACTS = ROOT / "artefacts"
BIN = Path(sys.executable).parent

Step = tuple[str, ...]


def tool(name: str, *arguments: str) -> Step:
    """Make a step of a tool that is installed beside this Python."""
    return (str(BIN / name), *arguments)


def script(*arguments: str) -> Step:
    """Make a step of a script of this repository."""
    return (sys.executable, *arguments)


def pytest(report: str, *arguments: str) -> Step:
    """Make a step of pytest on all cores, with a report in artefacts/.

    A test that takes too long ends its process, not the run: an exception thrown into Trio's own code would leave
    a process in which nothing that follows can be believed.
    """
    common = ("-n", "auto", "--dist", "worksteal", "-o", "timeout_method=thread", "--durations=10")
    return tool("pytest", *common, f"--junitxml=artefacts/{report}.xml", *arguments)


PARTS: dict[str, tuple[Step, ...]] = {
    "check": (
        tool("ruff", "check"),
        tool("ruff", "format", "--check"),
        tool("mypy"),
        tool("lint-imports"),
        script("proto/generate.py", "--check"),
    ),
    "unit": (
        tool("coverage", "erase"),
        pytest("unit", "--ignore=tests/simulation", "--cov", "--cov-report=", "--cov-fail-under=0"),
        tool("coverage", "xml", "-q", "--fail-under=0", "-o", "artefacts/coverage.xml"),
        tool("coverage", "report"),
        tool("coverage", "json", "-q", "--fail-under=0", "-o", "artefacts/coverage.json"),
        script("tests/run/covered.py"),
    ),
    "simulation": (pytest("simulation", "tests/simulation"),),  # thousands of runs of the same code: no coverage
    "conformance": (script("tests/run/go_tests.py"),),
    "sanity": (script("tests/run/csi_sanity.py"),),
    "kills": (script("tests/crash/kills.py", "--kills", "10"),),
    "model": (script("docs/model/run.py", "--if-possible"),),
    "lab": (script("tests/lab", "test"),),
    "e2e": (script("tests/e2e/e2e.py", "run"),),
}
"""The steps of a part. A step that fails does not stop the others: one run tells all that is wrong."""

TEST = ("check", "unit", "simulation", "conformance", "sanity", "kills", "model")
"""The parts of make test; the others have commands of their own."""

REPORTS = {
    "unit": "unit.xml",
    "simulation": "simulation.xml",
    "conformance": "conformance.xml",
    "sanity": "sanity*.xml",
    "lab": "lab.xml",
    "e2e": "e2e.xml",
}
"""Which files in artefacts/ tell a part's tests."""

RECORD = ARTEFACTS / "parts.json"

LONGEST_STEP = 2700.0
"""Seconds after which a step is ended: something in it waits for ever."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a part."""

    part: str
    seconds: float
    failed_steps: tuple[str, ...]
    counts: Counts

    @property
    def well(self) -> bool:
        """Tell whether every step ended with status 0 and no test failed."""
        return not self.failed_steps and self.counts.failed == 0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Run parts of the tests.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; default: make test's")
    parser.add_argument("--recorded", action="store_true", help="run nothing, show what the last runs counted")
    parsed = parser.parse_args(arguments)
    if parsed.recorded:
        print(summary(recorded().values()), flush=True)
        return 0
    chosen: list[str] = parsed.parts
    if unknown := sorted(set(chosen) - PARTS.keys()):
        parser.error(f"no such part: {', '.join(unknown)}")
    ARTEFACTS.mkdir(exist_ok=True)
    outcomes = [run_part(name) for name in chosen or TEST]
    record(outcomes)
    print(summary(outcomes), flush=True)
    return 0 if all(outcome.well for outcome in outcomes) else 1


def run_part(name: str) -> Outcome:
    """Run all steps of a part. Reports of an earlier run go first, so that none is mistaken for this one's."""
    for report in reports_of(name):
        report.unlink()
    began = time.monotonic()
    failed = tuple(shown(step) for step in PARTS[name] if not run_step(step))
    return Outcome(name, round(time.monotonic() - began, 1), failed, count(reports_of(name)))


def run_step(step: Step) -> bool:
    """Run one step with its output going where ours goes; True when its status is 0."""
    print(f"--- {shown(step)}", flush=True)
    environment = {**os.environ, "PATH": os.pathsep.join([str(BIN), os.environ.get("PATH", os.defpath)])}
    try:
        status = subprocess.run(step, cwd=ROOT, env=environment, check=False, timeout=LONGEST_STEP).returncode
    except subprocess.TimeoutExpired:
        print(f"--- {shown(step)}: ended after {LONGEST_STEP:.0f} s", flush=True)
        return False
    if status != 0:
        print(f"--- {shown(step)}: status {status}", flush=True)
    return status == 0


def recorded() -> dict[str, Outcome]:
    """Read what the last run of each part counted."""
    found = json.loads(RECORD.read_text()) if RECORD.is_file() else []
    outcomes = [Outcome(**{**one, "counts": Counts(**one["counts"])}) for one in found]
    return {outcome.part: outcome for outcome in outcomes}


def record(outcomes: Iterable[Outcome]) -> None:
    """Keep what these runs counted, beside the last runs of other parts."""
    known = recorded() | {outcome.part: outcome for outcome in outcomes}
    ordered = [asdict(known[part]) for part in PARTS if part in known]
    RECORD.write_text(json.dumps(ordered, indent=2) + "\n")


def reports_of(part: str) -> list[Path]:
    """List the JUnit files of a part that are there."""
    return sorted(ARTEFACTS.glob(REPORTS[part])) if part in REPORTS else []


def shown(step: Step) -> str:
    """Write a step as a person would type it."""
    first = Path(step[0]).name if Path(step[0]).is_relative_to(BIN) else step[0]
    return " ".join([first, *step[1:]])


def summary(outcomes: Iterable[Outcome]) -> str:
    """Write the table of parts and the closing line."""
    lines = ["", f"{'part':<14}{'':<8}{'time':>8}{'passed':>9}{'failed':>9}{'skipped':>9}"]
    total = Counts()
    for outcome in outcomes:
        total += outcome.counts
        counts = "".join(f"{number:>9}" for number in asdict(outcome.counts).values()) if outcome.counts.ran else ""
        lines.append(f"{outcome.part:<14}{'ok' if outcome.well else 'FAILED':<8}{outcome.seconds:>6.1f} s{counts}")
        lines += [f"    failed: {step}" for step in outcome.failed_steps]
    lines.append(f"total: {total.passed} passed, {total.failed} failed, {total.skipped} skipped")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
