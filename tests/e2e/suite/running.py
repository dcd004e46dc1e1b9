"""Runs scenarios, each in a namespace of its own, some of them at once; with progress, a summary and JUnit XML."""

import concurrent.futures
import json
import os
import secrets
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cluster import driver, evidence
from cluster.places import ARTEFACTS, ROOT
from cluster.programs_in import InitFailed
from cluster.world import ClusterFailed, World

from suite import appliance, copies, failures, guests, installation, leftovers, life, many, measures, rights
from suite.scenario import ANYWHERE, PATIENCE, Context, Scenario, Skipped, Wrong

sys.path.insert(0, str(ROOT / "tests" / "run"))

from junit import Case, tally, write

SCENARIOS: tuple[Scenario, ...] = (
    *(one for one in installation.SCENARIOS if one.name == "upgraded_under_load"),
    *failures.SCENARIOS,
    *life.SCENARIOS,
    *copies.SCENARIOS,
    *guests.SCENARIOS,
    *appliance.SCENARIOS,
    *many.SCENARIOS,
    *(one for one in installation.SCENARIOS if one.name != "upgraded_under_load"),
)
"""In this order, but for those with a lane, which come after the first."""

AT_ONCE = 4
REPORT = ARTEFACTS / "e2e.xml"
GOES_WRONG = (Wrong, ClusterFailed, InitFailed, subprocess.SubprocessError, OSError, KeyError, ValueError)


@dataclass(slots=True)
class Run:
    """One run: its prefix, and how each scenario ended."""

    world: World
    tell: Callable[[str], None]
    wanted: Sequence[Scenario]
    prefix: str = field(default_factory=lambda: f"e2e-{secrets.token_hex(3)}")
    cases: list[Case] = field(default_factory=list)
    known: set[str] = field(default_factory=set)
    """What earlier scenarios failed for leaving: those that come after do not fail for it again."""
    measured: dict[str, dict[str, float]] = field(default_factory=dict)


def find(chosen: Sequence[str]) -> list[Scenario]:
    """The scenarios of these names, or all of them. Raises Wrong for a name that there is not."""
    if unknown := sorted(set(chosen) - {one.name for one in SCENARIOS}):
        raise Wrong(f"no such scenario: {', '.join(unknown)}; there are {', '.join(one.name for one in SCENARIOS)}")
    return [one for one in SCENARIOS if not chosen or one.name in chosen]


def run(world: World, chosen: Sequence[str], tell: Callable[[str], None]) -> bool:
    """Run the chosen scenarios, or all of them; whether every one passed."""
    this = Run(world, tell, find(chosen))
    first = [one for one in this.wanted if not one.lane][:1]
    rest = [one for one in this.wanted if not one.lane][1:]
    for one in first:
        _run_one(this, one)
    _run_lanes(this, [one for one in this.wanted if one.lane])
    for one in rest:
        _run_one(this, one)
    this.measured["resident MiB"] = measures.resident()
    tell(f"resident MiB: {this.measured['resident MiB']}")
    if not chosen:
        _check_chart(this)
        _check_api(this)
        _check_rights(this)
    _write(this)
    _summary(this)
    return tally(this.cases).failed == 0


def _run_lanes(this: Run, wanted: Sequence[Scenario]) -> None:
    """Run scenarios of different lanes at once, those of one node one after another, and those first."""
    lanes = {one.lane for one in wanted} - {ANYWHERE}
    rows = [[one for one in wanted if one.lane == lane] for lane in lanes]
    rows += [[one] for one in wanted if one.lane == ANYWHERE]
    pool = concurrent.futures.ThreadPoolExecutor(AT_ONCE)
    try:
        for done in [pool.submit(_run_row, this, row) for row in rows]:
            done.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # after Ctrl-C the rest ends with the cluster
    if wanted:
        _check_nothing_left(this)


def _run_row(this: Run, row: Sequence[Scenario]) -> None:
    for one in row:
        _run_one(this, one)


def _run_one(this: Run, one: Scenario) -> None:
    began = time.monotonic()
    context = Context(this.world, f"{this.prefix}-{one.name.replace('_', '-')}"[:63].rstrip("-"))
    this.tell(f"{one.name}: {one.shows}")
    state, why = "passed", ""
    try:
        this.world.kubectl("create", "namespace", context.namespace)
        one.body(context)
        this.world.kubectl("delete", "namespace", context.namespace, f"--timeout={PATIENCE:g}s", seconds=PATIENCE + 10)
        leftovers.wait_volumes_gone(context)
        if not one.lane:
            leftovers.wait_nothing_left(this.world, this.known)
    except Skipped as reason:
        state, why = "skipped", str(reason)
    except GOES_WRONG as error:
        state, why = "failed", f"{type(error).__name__}: {error}"
        kept = evidence.collect(this.world, one.name)
        traceback.print_exc()
        print(f"e2e: {one.name} failed; what there was to see is in {kept}", flush=True)
    if state != "passed":
        this.world.kubectl("delete", "namespace", context.namespace, "--wait=false", check=False)
        if not one.lane:
            _clear_up(this)
    case = Case(one.name, state, why, time.monotonic() - began)
    this.measured[one.name] = context.measured
    this.cases.append(case)
    this.tell(f"[{len(this.cases)}/{len(this.wanted)}] {_line(this, case)}")


def _check_nothing_left(this: Run) -> None:
    """Whether scenarios that ran at once left something behind: on the appliance, on nodes, in the API."""
    began = time.monotonic()
    try:
        leftovers.wait_nothing_left(this.world, this.known)
    except GOES_WRONG as error:
        evidence.collect(this.world, "leftovers")
        this.cases.append(Case("leftovers", "failed", str(error), time.monotonic() - began))
        this.tell(str(error))
        _clear_up(this)


def _clear_up(this: Run) -> None:
    """After a failure: the driver as it should be, and what is left known, so that the next scenario is not blamed."""
    try:
        driver.install(this.world, driver.values(this.world))
        leftovers.wait_nothing_left(this.world, this.known)
    except GOES_WRONG as error:
        print(f"e2e: clearing up after it: {error}", flush=True)
        this.known |= leftovers.clear(this.world)


def _check_chart(this: Run) -> None:
    """Whether the plain manifests are what the chart makes today, and whether it says what is missing."""
    helm = str(this.world.programs / "helm")
    fresh = _output(sys.executable, str(ROOT / "deploy" / "kubernetes" / "render.py"), "--check", "--helm", helm)
    this.cases.append(Case("manifests", "failed" if fresh else "passed", fresh, 0))
    given = "clusterId=c,appliance.address=a,appliance.poolSlot=p,appliance.portals={192.0.2.1}"
    said = _output(helm, "template", str(ROOT / driver.CHART), "--set", given)
    well = "sidecars.registry: say where" in said
    this.cases.append(Case("registry_is_asked_for", "passed" if well else "failed", said[:500], 0))
    this.tell(f"manifests: {fresh or 'fresh'}; without a registry of the sidecars: {'refused' if well else said[:500]}")


def _check_api(this: Run) -> None:
    """Whether an API server of these programs keeps what the driver relies on, and its fakes say of it."""
    began, contract = time.monotonic(), str(ROOT / "tests" / "kube" / "test_lease_contract.py")
    line = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short", contract)
    wrong = _output(*line, RDSCSI_KUBE_PROGRAMS=str(this.world.programs))
    this.cases.append(Case("api_contract", "failed" if wrong else "passed", wrong, time.monotonic() - began))
    this.tell(f"the API server's contract: {wrong[-2000:] or 'kept'}")


def _output(*line: str, **environment: str) -> str:
    """What a command prints, empty when its status is 0."""
    own = {**os.environ, **environment}
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=120, cwd=ROOT, env=own)
    return (done.stdout + done.stderr).strip() if done.returncode else ""


def _check_rights(this: Run) -> None:
    wrong = rights.report(this.world)
    this.cases.append(Case("rights", "failed" if wrong else "passed", "\n".join(wrong), 0))
    this.tell("rights: exactly what is used" if not wrong else "rights:\n  " + "\n  ".join(wrong))


def _write(this: Run, path: Path = REPORT) -> None:
    path.parent.mkdir(exist_ok=True)
    write(path, "e2e", this.cases)
    path.with_suffix(".json").write_text(json.dumps(this.measured, indent=1) + "\n")


def _summary(this: Run) -> None:
    counts = tally(this.cases)
    lines = [f"e2e:   {_line(this, case)}" for case in this.cases]
    print("\n".join(lines), flush=True)
    print(f"e2e: {counts.passed} passed, {counts.failed} failed, {counts.skipped} skipped", flush=True)


def _line(this: Run, case: Case) -> str:
    """A scenario's outcome: name, time, what it measured in seconds, or why it did not pass."""
    measured = ", ".join(f"{what} {seconds} s" for what, seconds in this.measured.get(case.name, {}).items())
    first = case.why.partition("\n")[0][:200] if case.state != "passed" else ""
    return f"{case.state:<8}{case.seconds:>7.1f} s  {case.name}  {first or measured}".rstrip()
