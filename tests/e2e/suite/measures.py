"""Figures for people: how long a claim takes to be Bound and its pod to be Ready, and what our containers weigh."""

import json
import math
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from cluster import driver
from cluster.places import ARTEFACTS
from cluster.world import World

from suite import leftovers, objects
from suite.scenario import Context

TIMES = 20
LATENCIES = ("none", "200")
_NAMESPACE = "measures"


def run(world: World, tell: Callable[[str], None]) -> bool:
    """Measure at each latency, print and keep the figures in artefacts/e2e-measures.json."""
    figures: dict[str, object] = {}
    context = Context(world, _NAMESPACE)
    world.kubectl("create", "namespace", _NAMESPACE)
    for latency in LATENCIES:
        driver.kill_appliance(world)
        driver.start_appliance(world, driver.Appliance(latency=latency))
        context.claim("warm", block=True)
        context.pod("warm", "warm", block=True)
        bound, ready = _series(context)
        figures[f"{latency} ms a command"] = {"bound": _shown(bound), "ready": _shown(ready)}
        tell(f"latency {latency}: Bound {_shown(bound)}, pod Ready {_shown(ready)}")
        context.delete("pod", "--all")
        context.delete("pvc", "--all")
        leftovers.wait_nothing_left(world)
    figures["resident MiB"] = resident()
    tell(f"resident: {figures['resident MiB']}")
    (ARTEFACTS / "e2e-measures.json").write_text(json.dumps(figures, indent=1) + "\n")
    return True


def _series(context: Context) -> tuple[list[float], list[float]]:
    """The seconds of each of TIMES claims, one at a time, until Bound and until its pod was Ready."""
    bound, ready = [], []
    storage_class = objects.storage_class("measures")
    context.world.kubectl("apply", "-f", "-", text=objects.text(storage_class))
    for number in range(TIMES):
        name = f"m{number}"
        began = time.monotonic()
        context.claim(name, storage_class="measures")
        context.bound(name)
        bound.append(time.monotonic() - began)
        began = time.monotonic()
        context.pod(name, name)
        ready.append(time.monotonic() - began)
        context.delete("pod", name)
    return bound, ready


def _shown(seconds: Sequence[float]) -> str:
    return f"p50 {percentile(seconds, 0.5):.2f} s, p99 {percentile(seconds, 0.99):.2f} s"


def percentile(seconds: Iterable[float], part: float) -> float:
    """The value that this part of the values does not exceed; one of them."""
    ordered = sorted(seconds)
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)]


def resident() -> dict[str, float]:
    """Resident memory of the driver's and the sidecars' processes, in MiB, the largest of each name."""
    found: dict[str, float] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().decode().split("\0")
            pages = int((entry / "statm").read_text().split()[1])
        except OSError:
            continue
        name = _name(words)
        if name:
            found[name] = max(found.get(name, 0), round(pages * 4096 / (1 << 20), 1))
    return found


def _name(words: Sequence[str]) -> str:
    if words[0].startswith("/csi-"):
        return words[0].removeprefix("/")
    if "/usr/bin/rdscsi" in words:
        return f"rdscsi {words[words.index('/usr/bin/rdscsi') + 1]}"
    return ""
