"""Kubernetes' own External Storage suite (test/e2e of its module) against the driver, with images that are made here.

What is left out, by `SKIP` and by the capabilities of upstream.yaml: Slow and Serial specs (time), Disruptive ones
(they stop kubelet over SSH), those of Windows, and every spec that asks for an image beside agnhost and busybox.
"""

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from cluster import build, catalogue, images
from cluster.node import SPARE_TAINT
from cluster.places import ARTEFACTS, ROOT
from cluster.programs_in import command
from cluster.world import World

sys.path.insert(0, str(ROOT / "tests" / "run"))

from junit import Case, read

FOCUS = "External.Storage"
NGINX = "should allow exec of files on the volume"
"""It asks for the image of nginx, to run a script in it."""

SKIP = rf"\[Slow\]|\[Serial\]|\[Disruptive\]|\[Feature:Windows\]|ntfs|{NGINX}"
SECONDS = 3600.0
_REGISTRY = "e2e.test/upstream"
_WANTED = ("agnhost", "busybox")
_SPEC = "[It]"
"""How the report marks a spec; the rest is what is done before and after all of them."""

_OTHERS = "skipped"
"""What the report says of specs that the focus does not select."""


SHARDS = (
    (rf"{FOCUS}.*Dynamic PV .default fs", ""),
    (rf"{FOCUS}.*Dynamic PV .(block|filesystem|ext|immediate|delayed)", ""),
    (FOCUS, r"Dynamic PV \("),
)
"""What each of the processes that run at once focuses on, and skips: one alone would wait most of its time."""


def run(world: World, focus: str, tell: Callable[[str], None]) -> bool:
    """Run the specs that the focus selects; whether all passed. Raises BuildFailed or CalledProcessError."""
    program = build.build_optional(build.UPSTREAM)
    wanted = _images(program, world.state.directory)
    archives = [_archive(world, short, name) for name, short in wanted.items()]
    for one in world.nodes:
        images.load(one, archives)
    tell(f"the upstream suite's images are loaded: {', '.join(wanted)}")
    ARTEFACTS.mkdir(exist_ok=True)
    shards = ((focus, ""),) if focus else SHARDS
    processes = [_start(world, program, number, shard) for number, shard in enumerate(shards)]
    try:
        codes = [process.wait(SECONDS + 60) for process in processes]
    finally:
        for process in processes:
            process.kill()  # after Ctrl-C: it would go on against a cluster that is gone
            process.wait()
    cases = [case for number in range(len(shards)) for case in read(_report(number))]
    _tell_cases(cases, tell)
    return not any(codes)


def _start(world: World, program: Path, number: int, shard: tuple[str, str]) -> "subprocess.Popen[bytes]":
    """Start one process of the suite. What it says is kept beside its report."""
    focus, skip = shard
    flags = (
        f"-kubeconfig={world.state.kubeconfig}",
        f"-storage.testdriver={Path(__file__).with_name('upstream.yaml')}",
        "-provider=local",
        f"-ginkgo.focus={focus}",
        f"-ginkgo.skip={'|'.join(filter(None, (SKIP, skip)))}",
        "-ginkgo.no-color",
        f"-ginkgo.timeout={SECONDS:g}s",
        f"-ginkgo.junit-report={_report(number)}",
        "-num-nodes=2",
        f"-non-blocking-taints={SPARE_TAINT['key']}",  # else it waits for the spare node to take any pod
    )
    line = command(world.namespace, str(program), *flags, network_only=True)
    environment = {**os.environ, "KUBE_TEST_REPO_LIST": str(_repositories(world.state.directory))}
    with _report(number).with_suffix(".log").open("wb") as log:
        return subprocess.Popen(line, stdout=log, stderr=log, env=environment, cwd=world.state.directory)


def _report(number: int) -> Path:
    return ARTEFACTS / f"e2e-upstream-{number}.xml"


def _tell_cases(cases: Sequence[Case], tell: Callable[[str], None]) -> None:
    """Say what ran, what failed, and what was left out for which reason; what no shard was to run is not told."""
    cases = [case for case in cases if case.name.startswith(_SPEC)]
    ran = [case for case in cases if case.state != "skipped"]
    left = Counter(
        case.why.partition("\n")[0][:160] for case in cases if case.state == "skipped" and case.why != _OTHERS
    )
    for case in ran:
        if case.state == "failed":
            tell(f"failed: {case.name}: {case.why.partition(chr(10))[0][:300]}")
    for why, count in left.most_common():
        tell(f"left out {count}: {why}")
    failed = sum(case.state == "failed" for case in ran)
    tell(f"upstream: {len(ran) - failed} passed, {failed} failed, {left.total()} left out by the suite itself")


def _repositories(directory: Path) -> Path:
    """The file that says where the suite's images come from; nothing is pulled, they are there already."""
    path = directory / "repositories.yaml"
    path.write_text(f"promoterE2eRegistry: {_REGISTRY}\nbuildImageRegistry: {_REGISTRY}\n")
    return path


def _images(program: Path, directory: Path) -> dict[str, str]:
    """The short names of the images that the suite uses and that are made here, by the full ones: several versions."""
    environment = {**os.environ, "KUBE_TEST_REPO_LIST": str(_repositories(directory))}
    done = subprocess.run((str(program), "-list-images"), capture_output=True, text=True, check=True, env=environment)
    found = re.findall(rf"^({_REGISTRY}/([a-z-]+):\S+)$", done.stdout, re.M)
    return {full: short for full, short in found if short in _WANTED}


def _archive(world: World, short: str, name: str) -> Path:
    path = world.programs / "images" / f"upstream-{name.rpartition('/')[2].replace(':', '-')}.tar"
    if not path.exists():
        busybox = catalogue.ensure_debian_program(catalogue.BUSYBOX_PACKAGE, "bin/busybox")
        files = {"/bin/busybox": busybox}
        entry = ["/bin/sh"]
        if short == "agnhost":
            files["/agnhost"] = build.build_optional("agnhost")
            entry = ["/agnhost"]
        images.write(path, name, files, entry, catalogue.applets(busybox))
    return path
