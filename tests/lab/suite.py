"""What `make lab` runs: the tool's own tests, those inside a machine, those over several machines.

Each part is a run of pytest with its own JUnit file, artefacts/lab-PART.xml; the times are printed at the end. A
computer that cannot run machines leaves all of it out, loudly; with CI=true that is a failure.
"""

import compileall
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from lab import job
from lab.failures import CannotRun
from lab.kernel import Kernel, ensure_kernel
from lab.machine import open_machine
from lab.qemu import MIB, Options

ROOT = Path(__file__).resolve().parents[2]
ARTEFACTS = ROOT / "artefacts"
LONGEST_PART = 1500.0
"""Seconds after which a part is ended: something in it waits for ever."""

_GUEST_DISK = 8192 * MIB


@dataclass(frozen=True, slots=True)
class Part:
    """A run of pytest: over `tests`, inside a machine or here, where it starts its own machines."""

    name: str
    tests: str
    inside: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)


PARTS = (
    Part("tool", "tests/lab/tool", environment={"LAB_BOOT": "1"}),
    Part("guest", "tests/lab/guest", inside=True),
    Part("nodes", "tests/lab/nodes", environment={"LAB_BOOT": "1"}),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a part."""

    part: Part
    status: int
    seconds: float


def run(names: Sequence[str], arguments: Sequence[str]) -> int:
    """Run the parts (all where none is named) with more arguments for pytest; 0 when all went well."""
    began = time.monotonic()
    ARTEFACTS.mkdir(exist_ok=True)
    for report in ARTEFACTS.glob("lab*.xml"):
        report.unlink()
    try:
        kernel = ensure_kernel()
    except CannotRun as lack:
        return leave_out(str(lack))
    compile_all()
    print(f"lab: kernel {kernel.release}, set up in {time.monotonic() - began:.1f} s", flush=True)
    outcomes = [run_part(part, kernel, arguments) for part in PARTS if part.name in names or not names]
    for outcome in outcomes:
        how = "ok" if outcome.status == 0 else f"FAILED ({outcome.status})"
        print(f"lab: {outcome.part.name:<8}{how:<14}{outcome.seconds:7.1f} s")
    print(f"lab: all of it took {time.monotonic() - began:.1f} s", flush=True)
    return 0 if all(outcome.status == 0 for outcome in outcomes) else 1


def compile_all() -> None:
    """Compile what machines import: under emulation that would take them many times as long."""
    for directory in ("rdscsi", "tests/lab"):
        compileall.compile_dir(ROOT / directory, quiet=2)


def run_part(part: Part, kernel: Kernel, arguments: Sequence[str]) -> Outcome:
    """Run a part, its output going where ours goes."""
    began = time.monotonic()
    command = (
        *(sys.executable, "-m", "pytest", part.tests, "-p", "no:cacheprovider", "--durations=5"),
        *(f"--junitxml={ARTEFACTS}/lab-{part.name}.xml", *arguments),
    )
    print(f"--- lab: {part.name}", flush=True)
    try:
        status = _inside(part, kernel, command) if part.inside else _here(part, command)
    except (TimeoutError, subprocess.TimeoutExpired) as error:
        print(f"lab: {part.name}: {error}", flush=True)
        status = 124
    return Outcome(part, status, time.monotonic() - began)


def _here(part: Part, command: Sequence[str]) -> int:
    environment = {**os.environ, **part.environment}
    return subprocess.run(command, cwd=ROOT, env=environment, check=False, timeout=LONGEST_PART).returncode


def _inside(part: Part, kernel: Kernel, command: Sequence[str]) -> int:
    options = Options(disks=(_GUEST_DISK,), shares=(ARTEFACTS,))
    with open_machine(f"{part.name}-{os.getpid()}", options, kernel) as machine:
        running = machine.start(command, job.Orders(directory=ROOT, env=part.environment))
        try:
            status = machine.wait(running, job.passed_through(), LONGEST_PART)
        finally:
            (ARTEFACTS / f"lab-{part.name}-console.log").write_text("\n".join(machine.console()) + "\n")
        for line in machine.complaints():
            print(f"lab: the kernel complained: {line}", flush=True)
    return status


def leave_out(lack: str) -> int:
    """Say why no machine can run here, to people and as a skipped test."""
    print(f"lab: left out: {lack}", flush=True)
    suites = ElementTree.Element("testsuites")
    suite = ElementTree.SubElement(suites, "testsuite", name="lab", tests="1", skipped="1")
    case = ElementTree.SubElement(suite, "testcase", name="machines of the laboratory", classname="lab")
    ElementTree.SubElement(case, "skipped", message=lack)
    ElementTree.ElementTree(suites).write(ARTEFACTS / "lab.xml", encoding="utf-8", xml_declaration=True)
    return 1 if os.environ.get("CI") == "true" else 0
