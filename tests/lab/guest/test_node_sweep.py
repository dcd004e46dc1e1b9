"""What kubelet forgot, over the real kernel: a target that withdrew it, one that is silent, and one that offers it."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from lab.guest import initiator
from lab.guest.lives import CLUSTER, live
from lab.guest.target import Target, sh
from rdscsi import names
from rdscsi.journal import changes
from rdscsi.model import AccessMode, AccessType, Portal, PublishContext, StageRequest, VolumeCapability
from rdscsi.node.node import Node
from rdscsi.node.sweep import Sweep
from rdscsi.simulator.storage.exports import Export

MIB = 1 << 20
SLOT = names.slot(names.KIND_VOLUME, CLUSTER, "pvc-1")
VOLUME_ID = names.volume_id("rds", SLOT)
EPOCH = names.epoch(bytes(10))
SUBNQN = names.subnqn(SLOT, EPOCH)


async def stage(staging_path: Path, access_type: AccessType, node: Node) -> None:
    capability = VolumeCapability(access_type, AccessMode.SINGLE_NODE_WRITER, "", ())
    permit = EPOCH if access_type is AccessType.MOUNT else ""
    context = PublishContext(SUBNQN, (Portal("127.0.0.1", 4420),), permit)
    await node.stage(StageRequest(VOLUME_ID, str(staging_path), capability, context))


async def look(node: Node) -> None:
    """Sweep without a wait: one look is enough."""
    await Sweep(machine=node._machine, operations=node._operations, after=0).look()


async def lose_record(node: Node) -> None:
    await node._machine.journal.commit(changes.drop_stage(VOLUME_ID))


@dataclass(frozen=True)
class Bench:
    """A volume that is staged, beside another one that keeps the target's port open."""

    target: Target
    directory: Path
    file: Path

    @property
    def staged(self) -> Path:
        return self.directory / "staged"

    def run(self, work: object) -> None:
        status, _ = live(self.directory, work)  # type: ignore[arg-type]
        assert status == 0

    def is_gone(self) -> bool:
        mounted = str(self.directory) in Path("/proc/self/mountinfo").read_text()
        return not mounted and not initiator.controllers(SUBNQN) and not initiator.subsystem(SUBNQN)


@pytest.fixture
def bench(target: Target, tmp_path: Path) -> Iterator[Bench]:
    target.volume()
    volume = target.file()
    target.nvmet.offer(Export(SUBNQN, volume.file))
    (tmp_path / "staged").mkdir()
    yield Bench(target, tmp_path, volume.file)
    sh("umount", str(tmp_path / "staged"), check=False)


@pytest.mark.parametrize("access_type", list(AccessType))
@pytest.mark.timeout(600)
def test_what_was_forgotten_goes_once_its_export_is_withdrawn(bench: Bench, access_type: AccessType) -> None:
    bench.run(partial(stage, bench.staged, access_type))
    bench.run(look)
    assert not bench.is_gone()
    bench.target.nvmet.withdraw(SUBNQN)
    bench.run(look)  # a path that is lost: whether anybody holds its disk cannot be told while the kernel tries
    initiator.wait_for(lambda: initiator.state(SUBNQN) != "live" or None)
    for controller in initiator.controllers(SUBNQN):
        (controller / "delete_controller").write_text("1")
    initiator.wait_for(lambda: not initiator.controllers(SUBNQN) or None)
    bench.run(look)
    assert bench.is_gone()


@pytest.mark.timeout(600)
def test_a_live_connection_whose_namespace_is_gone_goes(bench: Bench) -> None:
    bench.run(partial(stage, bench.staged, AccessType.MOUNT))
    (Path("/sys/kernel/config/nvmet/subsystems") / SUBNQN / "namespaces" / "1" / "enable").write_text("0")
    initiator.wait_for(lambda: initiator.find_node(SUBNQN) is None or None)
    bench.run(look)
    assert not bench.is_gone()  # it is offered
    bench.target.nvmet.withdraw(SUBNQN)
    bench.run(look)
    assert bench.is_gone()


@pytest.mark.timeout(600)
def test_a_target_that_is_silent_withdraws_nothing(bench: Bench) -> None:
    bench.run(partial(stage, bench.staged, AccessType.MOUNT))
    bench.target.nvmet.power_off()
    for controller in initiator.controllers(SUBNQN):
        (controller / "delete_controller").write_text("1")
    initiator.wait_for(lambda: not initiator.controllers(SUBNQN) or None)
    bench.run(look)
    assert not bench.is_gone()
    assert str(bench.staged) in Path("/proc/self/mountinfo").read_text()


@pytest.mark.timeout(600)
def test_a_connection_without_a_record_goes_and_a_strangers_stays(bench: Bench) -> None:
    bench.run(partial(stage, bench.staged, AccessType.BLOCK))
    bench.run(lose_record)
    strange = bench.target.volume()
    initiator.connected(strange.nqn)
    bench.run(look)
    assert not bench.is_gone()
    (Path("/sys/kernel/config/nvmet/subsystems") / SUBNQN / "namespaces" / "1" / "enable").write_text("0")
    initiator.wait_for(lambda: initiator.find_node(SUBNQN) is None or None)
    bench.target.nvmet.withdraw(SUBNQN)
    bench.target.nvmet.withdraw(strange.nqn)
    bench.run(look)
    assert bench.is_gone()
    assert initiator.controllers(strange.nqn)
