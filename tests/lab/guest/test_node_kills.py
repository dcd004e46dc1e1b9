"""The node half killed by SIGKILL at every effect of stage and unstage, over the real kernel.

Whatever is left: the next life finishes what was asked, the data is whole, and nothing stays behind.
"""

import itertools
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from lab.guest import initiator
from lab.guest.lives import CLUSTER, KILLED, Kill, live
from lab.guest.target import Target, sh
from rdscsi import names
from rdscsi.model import AccessMode, AccessType, Portal, PublishContext, StageRequest, VolumeCapability
from rdscsi.node.node import Node
from rdscsi.simulator.storage.exports import Export

MIB = 1 << 20
SLOT = names.slot(names.KIND_VOLUME, CLUSTER, "pvc-1")
VOLUME_ID = names.volume_id("rds", SLOT)
EPOCH = names.epoch(bytes(10))
SUBNQN = names.subnqn(SLOT, EPOCH)


@dataclass(frozen=True)
class Bench:
    """A volume that is exported, and a directory for one history of lives over it."""

    directory: Path
    permit: str = EPOCH

    @property
    def staging_path(self) -> Path:
        return self.directory / "staged"

    async def stage(self, node: Node) -> None:
        capability = VolumeCapability(AccessType.MOUNT, AccessMode.SINGLE_NODE_WRITER, "ext4", ())
        context = PublishContext(SUBNQN, (Portal("127.0.0.1", 4420),), self.permit)
        await node.stage(StageRequest(VOLUME_ID, str(self.staging_path), capability, context))

    async def unstage(self, node: Node) -> None:
        await node.unstage(VOLUME_ID, str(self.staging_path))


@pytest.fixture
def bench(target: Target, tmp_path: Path) -> Bench:
    volume = target.file(64 * MIB)
    target.nvmet.offer(Export(SUBNQN, volume.file))
    bench = Bench(tmp_path)
    bench.staging_path.mkdir()
    assert live(tmp_path, rest)[0] == 0
    shutil.copy(tmp_path / "node.db", tmp_path / "new.db")
    return bench


async def rest(_node: Node) -> None:
    """Do nothing."""


def nothing_left(bench: Bench) -> bool:
    mounts = Path("/proc/self/mountinfo").read_text()
    return str(bench.directory) not in mounts and not initiator.controllers(SUBNQN) and not initiator.subsystem(SUBNQN)


SLOW = {"connect", "write_stamp", "make_filesystem", "mount"}
"""Effects that take long enough to be killed within."""


@pytest.mark.parametrize("inside", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.timeout(600)
def test_a_kill_at_any_effect_of_stage_is_recovered(bench: Bench, inside: bool) -> None:
    """Within each effect that takes its time; in the slow run behind every effect too."""
    status, effects = live(bench.directory, bench.stage)
    assert status == 0
    assert set(effects) >= SLOW
    finish(bench)
    kills = [Kill(number, inside=inside) for number, name in enumerate(effects) if name in SLOW or not inside]
    for kill in kills:
        start_anew(bench)
        status, done = live(bench.directory, bench.stage, kill)
        assert status == KILLED
        assert done == effects[: kill.effect + 1]
        assert live(bench.directory, bench.stage)[0] == 0, kill
        finish(bench)


def finish(bench: Bench) -> None:
    """Use the volume, and take it off."""
    (bench.staging_path / "data").write_text("written")
    sh("sync", "-f", str(bench.staging_path))
    assert live(bench.directory, bench.unstage)[0] == 0
    assert nothing_left(bench)


def start_anew(bench: Bench) -> None:
    """The next history begins with a blank disk and a new journal: a copy, as making one takes a while."""
    file = next(path for path in Path("/srv/rds").glob("*.img"))
    sh("truncate", "-s", "0", str(file))
    sh("truncate", "-s", str(64 * MIB), str(file))
    for path in bench.directory.glob("node.db*"):
        path.unlink()
    shutil.copy(bench.directory / "new.db", bench.directory / "node.db")


@pytest.mark.timeout(600)
def test_a_kill_at_any_effect_of_unstage_is_recovered(bench: Bench) -> None:
    assert live(bench.directory, bench.stage)[0] == 0
    (bench.staging_path / "data").write_text("kept")
    for effect in itertools.count():
        status, effects = live(bench.directory, bench.unstage, Kill(effect))
        assert live(bench.directory, bench.unstage)[0] == 0, effects
        assert nothing_left(bench), effects
        if status != KILLED:
            break
        # What holds a filesystem already is staged without a permit.
        assert live(bench.directory, replace(bench, permit="").stage)[0] == 0
        assert (bench.staging_path / "data").read_text() == "kept"
    assert status == 0
    assert effect == len(effects) > 1
