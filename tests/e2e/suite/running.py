"""Runs scenarios one after another, each in a namespace of its own, with progress, a summary and JUnit XML."""

import json
import secrets
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cluster import evidence
from cluster.places import ARTEFACTS, ROOT
from cluster.programs_in import InitFailed
from cluster.world import ClusterFailed, World

from suite import failures, installation, leftovers, life, many, rights
from suite.scenario import Context, Scenario, Wrong

sys.path.insert(0, str(ROOT / "tests" / "run"))

from junit import Case, tally, write

SCENARIOS: tuple[Scenario, ...] = (
    *life.SCENARIOS,
    *many.SCENARIOS,
    *failures.SCENARIOS,
    *installation.SCENARIOS,
)
REPORT = ARTEFACTS / "e2e.xml"
GOES_WRONG = (Wrong, ClusterFailed, InitFailed, subprocess.SubprocessError, OSError, KeyError, ValueError)


@dataclass(slots=True)
class Run:
    """One run: its prefix, and how each scenario ended."""

    world: World
    prefix: str = field(default_factory=lambda: f"e2e-{secrets.token_hex(3)}")
    cases: list[Case] = field(default_factory=list)
    measured: dict[str, dict[str, float]] = field(default_factory=dict)


def run(world: World, chosen: Sequence[str], tell: Callable[[str], None]) -> bool:
    """Run the chosen scenarios, or all of them; whether every one passed."""
    wanted = [one for one in SCENARIOS if not chosen or one.name in chosen]
    if unknown := sorted(set(chosen) - {one.name for one in SCENARIOS}):
        raise Wrong(f"no such scenario: {', '.join(unknown)}; there are {', '.join(one.name for one in SCENARIOS)}")
    this = Run(world)
    for number, one in enumerate(wanted, 1):
        tell(f"[{number}/{len(wanted)}] {one.name}: {one.shows}")
        _run_one(this, one)
        last = this.cases[-1]
        tell(
            f"[{number}/{len(wanted)}] {one.name}: {last.state} in {last.seconds:.1f} s {this.measured[one.name] or ''}"
        )
    if not chosen:
        _check_manifests(this, tell)
        _check_rights(this, tell)
    _write(this)
    counts = tally(this.cases)
    print(f"e2e: {counts.passed} passed, {counts.failed} failed, {counts.skipped} skipped", flush=True)
    return counts.failed == 0


def _run_one(this: Run, one: Scenario) -> None:
    began = time.monotonic()
    context = Context(this.world, f"{this.prefix}-{one.name.replace('_', '-')}"[:63].rstrip("-"))
    state, why = "passed", ""
    try:
        this.world.kubectl("create", "namespace", context.namespace)
        one.body(context)
        this.world.kubectl("delete", "namespace", context.namespace, "--timeout=90s", seconds=100)
        leftovers.wait_nothing_left(this.world)
    except GOES_WRONG as error:
        state, why = "failed", f"{type(error).__name__}: {error}"
        kept = evidence.collect(this.world, one.name)
        traceback.print_exc()
        print(f"e2e: {one.name} failed; what there was to see is in {kept}", flush=True)
        this.world.kubectl("delete", "namespace", context.namespace, "--wait=false", check=False)
    this.measured[one.name] = context.measured
    this.cases.append(Case(one.name, state, why, time.monotonic() - began))


def _check_manifests(this: Run, tell: Callable[[str], None]) -> None:
    """Whether the plain manifests are what the chart makes today."""
    script = str(ROOT / "deploy" / "kubernetes" / "render.py")
    line = (sys.executable, script, "--check", "--helm", str(this.world.programs / "helm"))
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=120)
    this.cases.append(Case("manifests", "failed" if done.returncode else "passed", done.stdout + done.stderr, 0))
    tell(f"manifests: {'fresh' if done.returncode == 0 else done.stdout.strip()}")


def _check_rights(this: Run, tell: Callable[[str], None]) -> None:
    wrong = rights.report(this.world)
    this.cases.append(Case("rights", "failed" if wrong else "passed", "\n".join(wrong), 0))
    tell("rights: exactly what is used" if not wrong else "rights:\n  " + "\n  ".join(wrong))


def _write(this: Run, path: Path = REPORT) -> None:
    path.parent.mkdir(exist_ok=True)
    write(path, "e2e", this.cases)
    path.with_suffix(".json").write_text(json.dumps(this.measured, indent=1) + "\n")
