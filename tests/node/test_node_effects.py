"""A fault at each effect of a volume's life on a node: before, inside, after. The orchestrator goes on, or gives up.

Effects are the machine's and the journal's commits. After a death everything the dead process does fails too; the next
life finds the machine and the journal as they were left.
"""

import tempfile
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import trio.testing

from rdscsi.errors import DriverError
from rdscsi.host.simulated import disk
from rdscsi.model import MIB, AccessType
from rdscsi.node.formatting import stamp_of
from rdscsi.node.node import Node
from rdscsi.node.recovery import PATIENCE_SECONDS, ROUND_SECONDS
from rdscsi.testing.host import FAULTS, Fault, Life
from rdscsi.testing.node import Call, Kubelet, NodeProcess, NodeVolume, NodeWorld

DEATHS: tuple[Fault, ...] = ("die before", "die inside", "die after")
GROWN = 128 * MIB
DATA = {"file": "data that nobody may lose"}


@dataclass(slots=True)
class Story:
    """A world with one volume, and the calls of its life."""

    world: NodeWorld
    volume: NodeVolume

    @property
    def block(self) -> bool:
        return self.volume.capability.access_type is AccessType.BLOCK

    @property
    def staging(self) -> str:
        return self.world.path(f"{self.volume.name}-staged")

    async def stage(self, node: Node) -> None:
        await node.stage(self.world.stage_request(self.volume))

    async def publish(self, node: Node) -> None:
        await node.publish(self.world.publish_request(self.volume))

    async def write(self, node: Node) -> None:
        if self.block:
            with self.volume.file.open("r+b") as opened:
                opened.write(DATA["file"].encode())
        else:
            filesystem = disk.read_filesystem(self.volume.file)
            assert filesystem is not None
            disk.write_filesystem(self.volume.file, replace(filesystem, files=dict(DATA)))
        self.world.grow(self.volume, GROWN)

    async def expand(self, node: Node) -> None:
        request = self.world.expand_request(self.volume, self.world.path("pod"), GROWN)
        assert await node.expand(request) == GROWN

    async def unpublish(self, node: Node) -> None:
        await node.unpublish(self.volume.volume_id, self.world.path("pod"))

    async def unstage(self, node: Node) -> None:
        await node.unstage(self.volume.volume_id, self.staging)

    @property
    def life(self) -> tuple[Call, ...]:
        return (
            self.stage,
            self.publish,
            self.write,
            self.expand,
            self.publish,
            self.unpublish,
            self.stage,
            self.unstage,
        )

    def assert_data(self) -> None:
        if self.block:
            assert self.volume.file.read_bytes()[: len(DATA["file"])] == DATA["file"].encode()
            return
        filesystem = disk.read_filesystem(self.volume.file)
        assert filesystem is not None
        assert filesystem.files == DATA
        assert filesystem.size_bytes == GROWN
        assert not disk.is_stamped(self.volume.file, GROWN, stamp_of(self.volume.volume_id))

    async def assert_nothing_left(self, process: NodeProcess) -> None:
        kernel = process.host.kernel
        assert (kernel.attached, kernel.mounts, kernel.nodes) == ({}, [], {})
        assert not Path(self.world.path("pod")).exists()
        assert await process.journal.open_operations() == []
        assert await process.journal.stages() == []
        assert await process.journal.targets() == []

    async def assert_published(self, process: NodeProcess) -> None:
        """Staged and published exactly once, and nothing unfinished."""
        kernel, pod = process.host.kernel, self.world.path("pod")
        (attached,) = kernel.attached.values()
        numbers = [mount.number for mount in kernel.mounts]
        if self.block:
            assert kernel.node_at(pod) == attached.device.number
            assert len(kernel.mounts) + len(kernel.nodes) == 1
        else:
            assert [mount.mount_point for mount in kernel.mounts] == [self.staging, pod]
            assert numbers == [attached.device.number] * 2
        (record,) = await process.journal.stages()
        assert (record.state, record.identity) == ("staged", attached.device.identity)
        assert [one.target_path for one in await process.journal.targets()] == [pod]
        assert await process.journal.open_operations() == []


KINDS = {
    "filesystem": FAULTS,
    "block": (*DEATHS, "unknown after", "bug before"),
    "block on nodev": ("die before", "die after"),
}
"""Which faults each kind of volume meets: the code that differs between them is small."""

EVERY = [(kind, fault) for kind, faults in KINDS.items() for fault in faults]
EVERY_DEATH = [(kind, fault) for kind, fault in EVERY if fault in DEATHS]


@dataclass(slots=True)
class Stories:
    """Makes stories of one kind, each in a world of its own."""

    directory: Path
    count: int = 0

    def make(self, kind: str, *, permit: bool = True, fs_type: str = "") -> Story:
        self.count += 1
        own = self.directory / str(self.count)
        own.mkdir()
        world = NodeWorld(own)
        world.nodev = kind == "block on nodev"
        access_type = AccessType.MOUNT if kind == "filesystem" else AccessType.BLOCK
        return Story(world, world.volume(access_type=access_type, permit=permit, fs_type=fs_type))


@pytest.fixture
def stories() -> Iterator[Stories]:
    """Stories in memory, where there is a filesystem in memory: they write hundreds of journals."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as made:
        yield Stories(Path(made))


Body = Callable[[NodeProcess], Awaitable[None]]


async def live(world: NodeWorld, life: Life, body: Body) -> None:
    """Run a body in one life, and again in further ones for as long as lives end by death."""
    while True:
        async with world.process(life) as process:
            await body(process)
        if not life.dead:
            return
        life = Life()


async def at_each_effect(fault: Fault, at_least: int, tell: Callable[[Life], Awaitable[None]]) -> None:
    """Tell a story with a fault at effect 0, 1, 2 … until it has no effect of that number."""
    for effect in range(1000):
        life = Life(fault, effect)
        await tell(life)
        if not life.fired:
            assert effect >= at_least, "the story has fewer effects than it should"
            return
    raise AssertionError("more effects than can be")


@pytest.mark.parametrize(("kind", "fault"), EVERY)
async def test_a_volume_lives_its_whole_life_whatever_fails(
    stories: Stories, kind: str, fault: Fault, autojump_clock: trio.testing.MockClock
) -> None:
    async def tell(life: Life) -> None:
        story = stories.make(kind)
        begun, ended = Kubelet(story.life[:5]), Kubelet(story.life[5:])
        checked: list[str] = []

        async def body(process: NodeProcess) -> None:
            await begun.go_on(process.node)
            if not checked:
                await story.assert_published(process)
                checked.append(life.fired)
            await ended.go_on(process.node)
            await story.assert_nothing_left(process)

        await live(story.world, life, body)
        story.assert_data()

    await at_each_effect(fault, 20, tell)


@pytest.mark.parametrize(("kind", "fault"), EVERY)
async def test_nothing_is_left_when_the_orchestrator_gives_up(
    stories: Stories, kind: str, fault: Fault, autojump_clock: trio.testing.MockClock
) -> None:
    async def tell(life: Life) -> None:
        story = stories.make(kind)
        tried = Kubelet((story.stage, story.publish), gives_up=True)

        async def body(process: NodeProcess) -> None:
            await tried.go_on(process.node)
            await Kubelet((story.unpublish, story.unstage)).go_on(process.node)
            await story.assert_nothing_left(process)

        await live(story.world, life, body)

    await at_each_effect(fault, 10, tell)


@pytest.mark.parametrize(("kind", "fault"), EVERY_DEATH)
async def test_recovery_finishes_or_takes_off_what_a_death_left(
    stories: Stories, kind: str, fault: Fault, autojump_clock: trio.testing.MockClock
) -> None:
    outcomes: set[str] = set()

    async def tell(life: Life) -> None:
        story = stories.make(kind)
        async with story.world.process(life) as process:
            await Kubelet((story.stage, story.publish)).go_on(process.node)
        async with story.world.process() as process:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(process.node.recover)
                await trio.sleep(PATIENCE_SECONDS + 2 * ROUND_SECONDS)
                nursery.cancel_scope.cancel()
            assert await process.journal.open_operations() == []
            records = await process.journal.stages()
            outcomes.add(records[0].state if records else "nothing")
            if not records:
                await story.assert_nothing_left(process)
            await Kubelet((story.unpublish, story.unstage)).go_on(process.node)
            await story.assert_nothing_left(process)

    await at_each_effect(fault, 7, tell)
    assert outcomes == {"nothing", "staged"}


@pytest.mark.parametrize(("kind", "fault"), EVERY)
async def test_what_was_forgotten_goes_whatever_fails_on_the_way(
    stories: Stories, kind: str, fault: Fault, autojump_clock: trio.testing.MockClock
) -> None:
    """Staged, never published, withdrawn. The failure falls on each effect of a life that sweeps."""

    async def tell(life: Life) -> None:
        story = stories.make(kind)
        async with story.world.process() as process:
            await story.stage(process.node)
        story.world.exporter.withdraw(story.volume.subnqn)

        async def body(process: NodeProcess) -> None:
            with trio.move_on_after(3 * story.world.settings.forgotten_after):
                await process.node.recover()
            await story.assert_nothing_left(process)

        await live(story.world, life, body)
        story.world.publish(story.volume)
        async with story.world.process() as process:
            await Kubelet((story.stage, story.publish)).go_on(process.node)
            await story.assert_published(process)

    await at_each_effect(fault, 4, tell)


@pytest.mark.slow
async def test_two_deaths_in_a_stage_make_one_filesystem(
    stories: Stories, autojump_clock: trio.testing.MockClock
) -> None:
    fault: Fault = "die inside"
    for first in range(9):  # the effects of a stage, with the start's own
        for second in range(7):
            story = stories.make("filesystem", fs_type="xfs")
            kubelet = Kubelet((story.stage, story.publish, story.write, story.expand))
            async with story.world.process(Life(fault, first)) as process:
                await kubelet.go_on(process.node)
            async with story.world.process(Life(fault, second)) as process:
                await kubelet.go_on(process.node)
            async with story.world.process() as process:
                await kubelet.go_on(process.node)
                await story.assert_published(process)
            story.assert_data()


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_call_that_is_refused_leaves_nothing_whatever_fails_on_the_way(
    stories: Stories, fault: Fault, autojump_clock: trio.testing.MockClock
) -> None:
    """A final answer proves that nothing of ours is half made."""

    async def tell(life: Life) -> None:
        story = stories.make("filesystem", permit=False)
        refused: list[DriverError] = []

        async def body(process: NodeProcess) -> None:
            try:
                await Kubelet((story.stage,)).go_on(process.node)
            except DriverError as error:
                refused.append(error)
            await story.assert_nothing_left(process)

        await live(story.world, life, body)
        assert "does not permit" in str(refused[-1])
        assert disk.is_blank(story.volume.file, story.volume.size_bytes)

    await at_each_effect(fault, 4, tell)
