"""Real Kubernetes on this machine: `make e2e`, `make cluster`, `make cluster-down`.

python tests/e2e/e2e.py build         build what is missing
python tests/e2e/e2e.py up            start the cluster, with the driver and a simulated RDS, and leave it running
python tests/e2e/e2e.py down          end it and clear up, whatever state it is in
python tests/e2e/e2e.py run [NAME…]   start it, run the suite (or these scenarios), take it down

It needs root, Go (as deploy/setup finds it) and Debian's iproute2, util-linux, mount, procps, e2fsprogs, xfsprogs for
the nodes; qemu-system-x86 for a guest; gcc, libc6-dev, pkg-config, libseccomp-dev for runc; apt and dpkg for the
images; git for the upgrade.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from cluster import build, catalogue, driver, evidence, places, previous, snapshots, world
from cluster.programs_in import InitFailed
from suite import measures, running, upstream
from suite.scenario import Wrong

WHAT_TO_TRY = """
kubectl for this cluster is {kubectl}. What to try:
  alias k={kubectl}
  k get nodes; k -n rdscsi get pods -o wide
  k apply -f deploy/examples/filesystem.yaml; k get pvc,pod -w
  k -n rdscsi exec deploy/rdscsi-controller -- rdscsi journal list --state all
  k -n rdscsi logs deploy/rdscsi-controller -f
  {console}      the simulated RDS
make cluster-down ends it.
"""

PROGRAMS = (
    *("gcc", "ip", "losetup", "mkfs.ext4", "mkfs.xfs", "nsenter", "pkg-config", "ps", "qemu-system-x86_64", "unshare"),
)
"""By one program each of the Debian packages; Go is found or fetched by the build."""

EXPECTED = (
    build.BuildFailed,
    Wrong,
    world.ClusterFailed,
    InitFailed,
    subprocess.SubprocessError,
    RuntimeError,
    OSError,
)


class Stopwatch:
    """Tells what has been reached, and how long after the start and after the last time."""

    def __init__(self) -> None:
        self._began = self._last = time.monotonic()

    def tell(self, text: str) -> None:
        now = time.monotonic()
        print(f"e2e: {now - self._began:7.1f} s  (+{now - self._last:5.1f})  {text}", flush=True)
        self._last = now


def main(arguments: Sequence[str] | None = None) -> int:
    chosen = _parser().parse_args(arguments)
    if missing := lacking(chosen.verb):
        print(f"e2e: skipped, this needs {'; '.join(missing)}", file=sys.stderr, flush=True)
        return 1 if os.environ.get("CI") == "true" else 0
    clock = Stopwatch()
    for number in (signal.SIGINT, signal.SIGTERM):  # also where a shell started this in the background, without SIGINT
        signal.signal(number, signal.default_int_handler)
    try:
        return _do(chosen, clock)
    except KeyboardInterrupt:
        print(f"e2e: {chosen.verb} was interrupted", file=sys.stderr, flush=True)
        return 130
    except EXPECTED as error:
        print(f"e2e: {chosen.verb} failed: {error}", file=sys.stderr, flush=True)
        return 1


def lacking(verb: str) -> list[str]:
    """Return what this machine and user lack for a verb; `down` and `status` need nothing."""
    if verb in ("down", "status"):
        return []
    wanted = [] if os.geteuid() == 0 else ["root, for namespaces, mounts and loop devices"]
    return wanted + [f"the program {name}" for name in PROGRAMS if shutil.which(name) is None]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Real Kubernetes on this machine.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("build", help="build what is missing")
    up = verbs.add_parser("up", help="start a cluster and leave it running")
    up.add_argument("--bare", action="store_true", help="without the driver and the simulated RDS")
    up.add_argument("--latency", default="200:50", help="of the simulated RDS, default %(default)s ms a command")
    verbs.add_parser("down", help="end the cluster and clear up")
    run = verbs.add_parser("run", help="start a cluster, run the suite, take it down")
    run.add_argument("scenarios", nargs="*", metavar="NAME", help="only these")
    run.add_argument("--keep", action="store_true", help="use the cluster that runs, and leave it running")
    run.add_argument("--latency", default="50:20", help="of the simulated RDS, default %(default)s ms a command")
    suite = verbs.add_parser("upstream", help="start a cluster, run Kubernetes' own storage suite, take it down")
    suite.add_argument("scenarios", nargs="?", default="", metavar="FOCUS", help="a regular expression of specs")
    suite.add_argument("--keep", action="store_true", help="use the cluster that runs, and leave it running")
    suite.add_argument("--latency", default="none", help="of the simulated RDS, default %(default)s ms a command")
    measure = verbs.add_parser("measure", help="start a cluster, measure claims and memory, take it down")
    measure.add_argument("--keep", action="store_true", help="use the cluster that runs, and leave it running")
    measure.add_argument("--latency", default="none", help="of the simulated RDS at first, default %(default)s")
    verbs.add_parser("status", help="what runs")
    return parser


def _do(chosen: argparse.Namespace, clock: Stopwatch) -> int:
    state = places.state()
    if chosen.verb == "down":
        world.down(state, tell=clock.tell)
        clock.tell("nothing is left")
        return 0
    programs = build.programs()
    archives = catalogue.archives(programs)
    clock.tell(f"programs and images are in {programs}")
    match chosen.verb:
        case "status":
            print(world.describe(world.find(state, programs)))
        case "run" | "upstream" | "measure":
            return _run(chosen, state, programs, archives, clock)
        case "up":
            _up(chosen, state, programs, archives, clock)
    return 0


def _up(
    chosen: argparse.Namespace, state: places.State, programs: Path, archives: Sequence[Path], clock: Stopwatch
) -> None:
    try:
        image = [] if chosen.bare else [driver.build_image()]
        clock.tell("the driver's image is built")
        started = world.up(state, programs, [*archives, *image], leash=None, tell=clock.tell)
        if not chosen.bare:
            install(started, driver.Appliance(latency=chosen.latency), clock)
    except BaseException:
        evidence.collect(world.World(state, programs), "up")
        world.down(state, tell=clock.tell)
        raise
    print(WHAT_TO_TRY.format(kubectl=state.kubectl, console=driver.console(started)))


def _run(
    chosen: argparse.Namespace, state: places.State, programs: Path, archives: Sequence[Path], clock: Stopwatch
) -> int:
    if chosen.keep:
        return 0 if _tests(chosen, world.find(state, programs), clock) else 1
    held, leash = os.pipe()  # the cluster ends when the other end closes, however this process ends
    try:
        before = previous.find() if _begins_before(chosen) else None
        own = [driver.build_image()]
        if before:
            own.append(before.image)
        clock.tell("the driver's image is built" + (f", and that of {before.commit[:12]}" if before else ""))
        started = world.up(state, programs, [*archives, *own], leash=held, tell=clock.tell)
        install(started, driver.Appliance(latency=chosen.latency), clock, before)
        well = _tests(chosen, started, clock)
    except BaseException:
        evidence.collect(world.World(state, programs), "run")
        raise
    finally:
        world.down(state, tell=clock.tell)
        os.close(leash)
        os.close(held)
    clock.tell("nothing is left")
    return 0 if well else 1


def _tests(chosen: argparse.Namespace, started: world.World, clock: Stopwatch) -> bool:
    if chosen.verb == "measure":
        return measures.run(started, clock.tell)
    if chosen.verb == "upstream":
        return upstream.run(started, chosen.scenarios, clock.tell)
    return running.run(started, chosen.scenarios, clock.tell)


def _begins_before(chosen: argparse.Namespace) -> bool:
    """Whether the run begins with an upgrade from the commit before."""
    return chosen.verb == "run" and any(one.name == "upgraded_under_load" for one in running.find(chosen.scenarios))


def install(
    started: world.World,
    appliance: driver.Appliance,
    clock: Stopwatch,
    before: previous.Previous | None = None,
) -> None:
    """Start a simulated RDS, let the cluster know snapshots, install the driver by its chart or an earlier one."""
    driver.start_appliance(started, appliance)
    snapshots.install(started)
    if before:
        known = previous.known_values(driver.values(started, previous.TAG), before.checkout)
        driver.install(started, known, before.checkout)
    else:
        driver.install(started, driver.values(started))
    clock.tell("the driver is installed and registered on every node")


if __name__ == "__main__":
    os.chdir(places.ROOT)
    sys.exit(main())
