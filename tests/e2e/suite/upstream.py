"""Kubernetes' own External Storage suite (test/e2e of its module) against the driver, with images that are made here.

What is left out, by `SKIP` and by the capabilities of upstream.yaml: Slow and Serial specs (time), Disruptive ones
(they stop kubelet over SSH), those of Windows, and every spec that asks for an image beside agnhost and busybox.
"""

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

from cluster import build, catalogue, images
from cluster.node import SPARE_TAINT
from cluster.places import ARTEFACTS
from cluster.programs_in import command
from cluster.world import World

FOCUS = "External.Storage"
SKIP = r"\[Slow\]|\[Serial\]|\[Disruptive\]|\[Feature:Windows\]|ntfs"
SECONDS = 3600.0
_REGISTRY = "e2e.test/upstream"
_WANTED = ("agnhost", "busybox")


def run(world: World, focus: str, tell: Callable[[str], None]) -> bool:
    """Run the specs that the focus selects; whether all passed. Raises BuildFailed or CalledProcessError."""
    program = build.build_optional(build.UPSTREAM)
    names = _image_names(program, world.state.directory)
    archives = [_archive(world, name, names[name]) for name in _WANTED]
    for one in world.nodes:
        images.load(one, archives)
    tell(f"the upstream suite's images are loaded: {', '.join(names[name] for name in _WANTED)}")
    ARTEFACTS.mkdir(exist_ok=True)
    flags = (
        f"-kubeconfig={world.state.kubeconfig}",
        f"-storage.testdriver={Path(__file__).with_name('upstream.yaml')}",
        "-provider=local",
        f"-ginkgo.focus={focus or FOCUS}",
        f"-ginkgo.skip={SKIP}",
        "-ginkgo.no-color",
        f"-ginkgo.timeout={SECONDS:g}s",
        f"-ginkgo.junit-report={ARTEFACTS / 'e2e-upstream.xml'}",
        "-num-nodes=2",
        f"-non-blocking-taints={SPARE_TAINT['key']}",  # else it waits for the spare node to take any pod
    )
    line = command(world.namespace, str(program), *flags, network_only=True)
    environment = {**os.environ, "KUBE_TEST_REPO_LIST": str(_repositories(world.state.directory))}
    done = subprocess.run(line, check=False, env=environment, timeout=SECONDS + 60, cwd=world.state.directory)
    return done.returncode == 0


def _repositories(directory: Path) -> Path:
    """The file that says where the suite's images come from; nothing is pulled, they are there already."""
    path = directory / "repositories.yaml"
    path.write_text(f"promoterE2eRegistry: {_REGISTRY}\nbuildImageRegistry: {_REGISTRY}\n")
    return path


def _image_names(program: Path, directory: Path) -> dict[str, str]:
    """The full names of the images that the suite uses, by their short ones."""
    environment = {**os.environ, "KUBE_TEST_REPO_LIST": str(_repositories(directory))}
    done = subprocess.run((str(program), "-list-images"), capture_output=True, text=True, check=True, env=environment)
    found = re.findall(rf"^({_REGISTRY}/([a-z-]+):\S+)$", done.stdout, re.M)
    return {short: full for full, short in found}


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
