"""Runs csi-sanity against a sandbox: both access types, and a size that is no power of two.

Each run has a sandbox of its own in a short-lived directory; afterwards it must end with status 0, which it does only
when it left no process, mount, loop device or socket. Every skip is printed with its reason. The number of specs that
ran may not fall below `tests/sanity/expected.json`: a suite that skips what it once tested is no success. Results go
to artefacts/sanity-*.xml, the sandboxes' own words to artefacts/sandbox-*.log.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Timer

from junit import Case, Counts, read, tally

ROOT = Path(__file__).resolve().parents[2]
ARTEFACTS = ROOT / "artefacts"
SANITY = ROOT / ".cache" / "csi-sanity"
EXPECTED = ROOT / "tests" / "sanity" / "expected.json"
NODES = ("[BeforeSuite]", "[AfterSuite]", "[ReportAfterSuite]", "[DeferCleanup (Suite)]", "[SynchronizedBeforeSuite]")
"""What ginkgo reports beside the specs."""

GIB = 1 << 30
START_SECONDS = 120.0
STOP_SECONDS = 60.0
RUN_SECONDS = 900.0


@dataclass(frozen=True, slots=True)
class Run:
    """One run of csi-sanity: access type `mount` or `block`, the size of its volumes in bytes, and what is left out.

    `left_out` is a regular expression over the names of specs, `because` the reason.
    """

    name: str
    access: str
    size: int
    left_out: str = ""
    because: str = ""

    @property
    def grown(self) -> int:
        """The size to which volumes are grown: whole mebibytes, for the specs want exactly what they asked for."""
        return -(-self.size // MIB) * MIB + GIB


MIB = 1 << 20
EXACTLY = "already existing name and different capacity"
EXACTLY_WHY = (
    "it asks for exactly 10,000,000,000 bytes and not one more (limit_bytes is the same), which no whole number of "
    "mebibytes is: OUT_OF_RANGE"
)
RUNS = (
    Run("mount", "mount", 10 * GIB),
    Run("block", "block", 10 * GIB),
    Run("mount-decimal", "mount", 10_000_000_000, EXACTLY, EXACTLY_WHY),
    Run("block-decimal", "block", 10_000_000_000, EXACTLY, EXACTLY_WHY),
)


def main() -> int:
    if not SANITY.is_file():
        print("sanity: left out, csi-sanity is not built (make setup says what is missing)")
        return 1 if os.environ.get("CI") == "true" else 0
    ARTEFACTS.mkdir(exist_ok=True)
    expected: dict[str, int] = json.loads(EXPECTED.read_text())
    complaints = [f"{run.name}: {complaint}" for run in RUNS for complaint in complete(run, expected[run.name])]
    for complaint in complaints:
        print(f"sanity: {complaint}")
    return 1 if complaints else 0


def complete(run: Run, expected: int) -> list[str]:
    """Do one run, print what came of it, and return what is wrong with it."""
    report = ARTEFACTS / f"sanity-{run.name}.xml"
    report.unlink(missing_ok=True)
    complaints: list[str] = []
    with tempfile.TemporaryDirectory(prefix="rdscsi-sanity-") as scratch:
        directory = Path(scratch)
        with open_sandbox(directory, ARTEFACTS / f"sandbox-{run.name}.log", complaints) as endpoint:
            if endpoint:
                status = run_sanity(run, endpoint, directory, report)
                complaints += [f"csi-sanity ended with status {status}"] if status else []
    cases = specs_of(report) if report.is_file() else []
    print(told(run, cases), flush=True)
    return complaints + judge(tally(cases), expected)


def judge(counts: Counts, expected: int) -> list[str]:
    """Say what is wrong with the counters of a run."""
    wrong = [f"{counts.failed} specs failed"] if counts.failed else []
    if counts.ran < expected:
        wrong.append(f"{counts.ran} specs ran, and {expected} are expected (tests/sanity/expected.json)")
    return wrong


def specs_of(report: Path) -> list[Case]:
    """Read the specs of a report. What ginkgo reports beside them counts only when it failed."""
    return [case for case in read(report) if case.state == "failed" or not case.name.startswith(NODES)]


def told(run: Run, cases: list[Case]) -> str:
    """Write what came of a run: the counters, each failure, each skip with its reason."""
    counts = tally(cases)
    lines = [f"csi-sanity, {run.access}, {run.size:,} bytes:"]
    for state in ("failed", "skipped"):
        for case in sorted((one for one in cases if one.state == state), key=lambda one: one.name):
            reason = " ".join(case.why.split()).removeprefix("skipped - ")
            if state == "skipped" and run.left_out and run.left_out in case.name:
                reason = run.because
            lines.append(f"    {state}: {case.name.removeprefix('[It] ')}: {reason}")
    lines.append(f"sanity-{run.name}: {counts.passed} passed, {counts.failed} failed, {counts.skipped} skipped")
    return "\n".join(lines)


def run_sanity(run: Run, endpoint: str, directory: Path, report: Path) -> int:
    """Run csi-sanity to its end; its exit status."""
    command = [
        str(SANITY),
        f"--csi.endpoint={endpoint}",
        f"--csi.mountdir={directory / 'target'}",
        f"--csi.stagingdir={directory / 'staging'}",
        f"--csi.testvolumeaccesstype={run.access}",
        f"--csi.testvolumesize={run.size}",
        f"--csi.testvolumeexpandsize={run.grown}",
        "--csi.testnodevolumeattachlimit",
        f"--ginkgo.junit-report={report}",
        "--ginkgo.succinct",
        "--ginkgo.no-color",
        "--ginkgo.silence-skips",
        f"--ginkgo.timeout={RUN_SECONDS:.0f}s",
        *([f"--ginkgo.skip={run.left_out}"] if run.left_out else []),
    ]
    print(f"csi-sanity: {run.access}, {run.size:,} bytes", flush=True)
    with open(ARTEFACTS / f"csi-sanity-{run.name}.log", "w") as log:
        try:
            return subprocess.run(command, stdout=log, stderr=log, check=False, timeout=RUN_SECONDS + 60).returncode
        except subprocess.TimeoutExpired:
            return -1


@contextmanager
def open_sandbox(directory: Path, log_path: Path, complaints: list[str]) -> Iterator[str]:
    """Start a sandbox, yield its endpoint (empty when it did not start), and have it end in order."""
    endpoint = f"unix://{directory / 'csi.sock'}"
    rdscsi = str(Path(sys.executable).with_name("rdscsi"))
    command = [rdscsi, "sandbox", "--endpoint", endpoint, "--state-dir", str(directory / "state")]
    with open(log_path, "w") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    ready = first_line(process)
    if not ready:
        complaints.append(f"the sandbox did not start (artefacts/{log_path.name})")
    try:
        yield endpoint if ready else ""
    finally:
        status = stop(process)
        if ready and status:
            complaints.append(f"the sandbox ended with status {status}: something stayed (artefacts/{log_path.name})")


def first_line(process: "subprocess.Popen[str]") -> str:
    """Wait for the line that says ready; empty when the process ended, or said nothing for too long, without it."""
    timer = Timer(START_SECONDS, process.kill)
    timer.start()
    try:
        return process.stdout.readline() if process.stdout else ""
    finally:
        timer.cancel()


def stop(process: "subprocess.Popen[str]") -> int:
    """End a sandbox; its exit status. A second signal has it hurry, the third is not to be ignored."""
    for signum in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
        process.send_signal(signum)
        try:
            return process.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            continue
    return process.wait()


if __name__ == "__main__":
    sys.exit(main())
