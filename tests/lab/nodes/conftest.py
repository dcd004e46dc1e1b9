"""The world of three machines, once for all tests, and volumes that are gone after each."""

import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.kernel import ensure_kernel
from lab.nodes.program import ROOT
from lab.nodes.volume import Volume
from lab.nodes.world import World, open_world
from rdscsi.csi.pb.csi.v1 import VolumeCapability, VolumeContentSource
from rdscsi.sandbox import calls

collect_ignore_glob = [] if os.environ.get("LAB_BOOT") else ["*"]

MIB = 1 << 20
MakeVolume = Callable[..., Volume]
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Everything, up and ready. The programs' logs are kept in artefacts/lab/."""
    directory = tmp_path_factory.mktemp("world")
    with open_world(directory, ensure_kernel()) as world:
        try:
            yield world
        finally:
            _keep_logs(world, directory)


def _keep_logs(world: World, directory: Path) -> None:
    kept = ROOT / "artefacts" / "lab"
    kept.mkdir(parents=True, exist_ok=True)
    shutil.copy(directory / "controller.log", kept / "nodes-controller.log")
    for machine in (world.appliance.machine, *(node.machine for node in world.nodes)):
        name = machine.name.partition("-")[0]
        texts = [path.read_text(errors="replace") for path in sorted((machine.directory / "jobs").glob("*/err"))]
        (kept / f"nodes-{name}.log").write_text("".join(texts))
        (kept / f"nodes-{name}-console.log").write_text("\n".join(machine.console()) + "\n")


@pytest.fixture
def make_volume(world: World) -> Iterator[MakeVolume]:
    """Makes volumes; what a test leaves of them is taken off both nodes and deleted."""
    made: list[Volume] = []

    def make(
        capability: VolumeCapability | None = None, size: int = 400 * MIB, source: VolumeContentSource | None = None
    ) -> Volume:
        volume = Volume(world, f"pvc-{next(_numbers)}", capability or calls.filesystem("ext4"), size, source)
        made.append(volume)
        return volume.create()

    yield make
    for volume in made:
        for node in world.nodes:
            volume.unmount(node)
            volume.unstage(node)
            volume.unpublish(node)
        volume.delete()
