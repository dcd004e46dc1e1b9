"""What `make lab` runs: the tool's own tests, those inside a machine, those over several machines.

Two lanes of parts run side by side, each part a run of pytest; what it printed and its machines' logs are kept in
artefacts/lab/. At the end `lab.report` joins the parts' JUnit files to artefacts/lab.xml and says what was shown. Tests
marked `slow` are left out unless all are asked for. A computer that cannot run machines leaves all of it out, loudly;
with CI=true that is a failure.
"""

import compileall
import os
import shutil
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from lab import job, report
from lab.failures import CannotRun, LabFailed
from lab.kernel import Kernel, ensure_kernel
from lab.machine import open_machine
from lab.qemu import MIB, Options

ROOT = Path(__file__).resolve().parents[2]
ARTEFACTS = ROOT / "artefacts"
KEPT = ARTEFACTS / "lab"
"""What the parts print and report, and their machines' logs."""

LONGEST_PART = 1500.0
"""Seconds after which a part is ended: something in it waits for ever."""

_GUEST_DISK = 8192 * MIB
_TIMED_OUT, _LAB_FAILED = 124, 125
_TAIL_LINES = 30


@dataclass(frozen=True, slots=True)
class Part:
    """A run of pytest: over `tests`, inside a machine or here, where it starts its own machines.

    `timeout` is each test's, in seconds, with what it sets up for others.
    """

    name: str
    tests: str
    inside: bool = False
    timeout: float = 120.0
    environment: Mapping[str, str] = field(default_factory=dict)


TOOL = Part("tool", "tests/lab/tool", environment={"LAB_BOOT": "1"})
GUEST = Part("guest", "tests/lab/guest", inside=True, timeout=240.0)
NODES = Part("nodes", "tests/lab/nodes", timeout=400.0, environment={"LAB_BOOT": "1"})
LANES = ((NODES,), (TOOL, GUEST))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a part."""

    part: Part
    status: int
    seconds: float


def run(names: Sequence[str], arguments: Sequence[str], *, everything: bool = False) -> int:
    """Run the parts (all where none is named) with more arguments for pytest; 0 when all went well."""
    began = time.monotonic()
    shutil.rmtree(KEPT, ignore_errors=True)
    KEPT.mkdir(parents=True)
    (ARTEFACTS / "lab.xml").unlink(missing_ok=True)
    try:
        kernel = ensure_kernel()
    except CannotRun as lack:
        return leave_out(str(lack))
    compile_all()
    print(f"lab: kernel {kernel.release}, set up in {time.monotonic() - began:.1f} s", flush=True)
    chosen = [[part for part in lane if part.name in names or not names] for lane in LANES]
    which = () if everything else ("-m", "not slow")
    outcomes = Runner(kernel, (*which, *arguments)).run(chosen)
    said = [_explained(outcome) for outcome in outcomes if outcome.status != 0]
    cases = report.join(sorted(KEPT.glob("*.xml")), ARTEFACTS / "lab.xml")
    print(report.render(cases))
    for outcome in outcomes:
        how = "ok" if outcome.status == 0 else f"FAILED ({outcome.status})"
        print(f"lab: {outcome.part.name:<8}{how:<14}{outcome.seconds:7.1f} s")
    print("".join(said), end="")
    print(f"lab: all of it took {time.monotonic() - began:.1f} s; artefacts/lab.xml, artefacts/lab/", flush=True)
    well = len(outcomes) == sum(map(len, chosen)) and all(outcome.status == 0 for outcome in outcomes)
    return 0 if well and cases else 1


def _explained(outcome: Outcome) -> str:
    """Say how a part that failed ended; as a failed test too where none of its own is."""
    name, status = outcome.part.name, outcome.status
    tail = "\n".join((KEPT / f"{name}.log").read_text(errors="replace").splitlines()[-_TAIL_LINES:])
    own = KEPT / f"{name}.xml"
    if not own.exists() or not any(case.failed for case in report.read(own)):
        report.write_ended(name, status, tail, KEPT / f"{name}-itself.xml")
    return f"lab: {name} ended with status {status}; the end of what it said (all: artefacts/lab/{name}.log):\n{tail}\n"


def compile_all() -> None:
    """Compile what machines import: under emulation that would take them many times as long."""
    for directory in ("rdscsi", "tests/lab"):
        compileall.compile_dir(ROOT / directory, quiet=2)


class Runner:
    """Runs lanes of parts side by side."""

    def __init__(self, kernel: Kernel, arguments: Sequence[str]) -> None:
        self._kernel = kernel
        self._arguments = tuple(arguments)
        self._lock = threading.Lock()
        self._outcomes: list[Outcome] = []
        self._children: list[subprocess.Popen[bytes]] = []

    def run(self, lanes: Sequence[Sequence[Part]]) -> list[Outcome]:
        """Run all; the outcomes in the order in which the parts ended."""
        # Daemons: at Ctrl-C the process ends without them, and its machines with the process.
        threads = [threading.Thread(target=self._lane, args=(lane,), daemon=True) for lane in lanes]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            for child in self._children:
                child.terminate()
        return self._outcomes

    def _lane(self, parts: Sequence[Part]) -> None:
        for part in parts:
            began = time.monotonic()
            print(f"lab: {part.name} begins", flush=True)
            log = KEPT / f"{part.name}.log"
            with log.open("wb") as output:
                status = self._status(part, output.fileno())
            with self._lock:
                self._outcomes.append(Outcome(part, status, time.monotonic() - began))
                how = "ok" if status == 0 else f"FAILED\n{log.read_text(errors='replace')}"
                print(f"lab: {part.name} ended after {time.monotonic() - began:.0f} s: {how}", flush=True)

    def _status(self, part: Part, output: int) -> int:
        command = (
            *(sys.executable, "-m", "pytest", part.tests, "-p", "no:cacheprovider", "-rxs"),
            *(f"--timeout={part.timeout:g}", f"--junitxml={KEPT}/{part.name}.xml", *self._arguments),
        )
        try:
            return self._inside(part, command, output) if part.inside else self._here(part, command, output)
        except (TimeoutError, subprocess.TimeoutExpired) as error:
            os.write(output, f"lab: {error}\n".encode())
            return _TIMED_OUT
        except LabFailed as error:
            os.write(output, f"lab: {error}\n".encode())
            return _LAB_FAILED
        except Exception:
            os.write(output, f"lab: {traceback.format_exc()}\n".encode())
            return _LAB_FAILED

    def _here(self, part: Part, command: Sequence[str], output: int) -> int:
        environment = {**os.environ, **part.environment}
        child = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
        self._children.append(child)
        try:
            return child.wait(LONGEST_PART)
        finally:
            child.terminate()
            with suppress(subprocess.TimeoutExpired):
                child.wait(60)

    def _inside(self, part: Part, command: Sequence[str], output: int) -> int:
        options = Options(disks=(_GUEST_DISK,), shares=(KEPT,))
        with open_machine(f"{part.name}-{os.getpid()}", options, self._kernel) as machine:
            running = machine.start(command, job.Orders(directory=ROOT, env=part.environment))
            try:
                return machine.wait(running, job.passed_to(output), LONGEST_PART)
            finally:
                (KEPT / f"{part.name}-console.log").write_text("\n".join(machine.console()) + "\n")
                for line in machine.complaints():
                    os.write(output, f"lab: the kernel complained: {line}\n".encode())


def leave_out(lack: str) -> int:
    """Say why no machine can run here, to people and as a skipped test."""
    print(f"lab: left out: {lack}", flush=True)
    report.write_skipped(lack, ARTEFACTS / "lab.xml")
    return 1 if os.environ.get("CI") == "true" else 0
