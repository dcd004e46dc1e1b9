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
from rdscsi.journal import StageRecord
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


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory in memory, where there is one: these tests write hundreds of journals."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as made:
        yield Path(made)


@pytest.fixture(params=["filesystem", "block", "block on nodev"])
def make_story(request: pytest.FixtureRequest, directory: Path) -> Callable[[], Story]:
    count = 0

    def make() -> Story:
        nonlocal count
        count += 1
        own = directory / str(count)
        own.mkdir()
        world = NodeWorld(own)
        if request.param == "block on nodev":
            world.nodev = True
        access_type = AccessType.MOUNT if request.param == "filesystem" else AccessType.BLOCK
        return Story(world, world.volume(access_type=access_type))

    return make


async def live(world: NodeWorld, life: Life, body: Callable[[NodeProcess], Awaitable[None]]) -> None:
    """Run a body in one life, and again in further ones for as long as lives end by death."""
    while True:
        async with world.process(life) as process:
            await body(process)
        if not life.dead:
            return
        life = Life()


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_volume_lives_its_whole_life_whatever_fails(
    make_story: Callable[[], Story], fault: Fault, autojump_clock: trio.testing.MockClock
) -> None:
    for effect in range(1000):
        story = make_story()
        kubelet = Kubelet(story.life[:5])
        life = Life(fault, effect)

        async def body(process: NodeProcess, story: Story = story, kubelet: Kubelet = kubelet) -> None:
            await kubelet.go_on(process.node)

        async def check(process: NodeProcess, story: Story = story) -> None:
            await story.assert_published(process)
            await Kubelet(story.life[5:]).go_on(process.node)
            await story.assert_nothing_left(process)

        await live(story.world, life, body)
        await live(story.world, Life(), check)
        story.assert_data()
        if not life.fired:
            assert effect > 10, "the life has fewer effects than it should"
            return
    raise AssertionError("more effects than can be")


@pytest.mark.parametrize("fault", FAULTS)
async def test_the_end_of_a_life_is_reached_whatever_fails(
    make_story: Callable[[], Story], fault: Fault, autojump_clock: trio.testing.MockClock
) -> None:
    for effect in range(1000):
        story = make_story()
        life = Life(fault, effect)
        ending = Kubelet(story.life[5:])

        async def begin(process: NodeProcess, story: Story = story) -> None:
            await Kubelet(story.life[:5]).go_on(process.node)

        async def end(process: NodeProcess, ending: Kubelet = ending) -> None:
            await ending.go_on(process.node)

        await live(story.world, Life(), begin)
        await live(story.world, life, end)
        await live(story.world, Life(), story.assert_nothing_left)
        story.assert_data()
        if not life.fired:
            assert effect > 5
            return


@pytest.mark.parametrize("fault", FAULTS)
async def test_nothing_is_left_when_the_orchestrator_gives_up(
    make_story: Callable[[], Story], fault: Fault, autojump_clock: trio.testing.MockClock
) -> None:
    for effect in range(1000):
        story = make_story()
        life = Life(fault, effect)
        tried = Kubelet((story.stage, story.publish), gives_up=True)

        async def body(process: NodeProcess, story: Story = story, tried: Kubelet = tried) -> None:
            await tried.go_on(process.node)
            await Kubelet((story.unpublish, story.unstage)).go_on(process.node)
            await story.assert_nothing_left(process)

        await live(story.world, life, body)
        if not life.fired:
            assert effect > 5
            return


@pytest.mark.parametrize("fault", DEATHS)
async def test_recovery_finishes_or_takes_off_what_a_death_left(
    make_story: Callable[[], Story], fault: Fault, autojump_clock: trio.testing.MockClock
) -> None:
    outcomes: set[str] = set()
    for effect in range(1000):
        story = make_story()
        life = Life(fault, effect)

        async def body(process: NodeProcess, story: Story = story) -> None:
            await Kubelet((story.stage, story.publish)).go_on(process.node)

        async def alone(process: NodeProcess, story: Story = story) -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(process.node.recover)
                await trio.sleep(PATIENCE_SECONDS + 2 * ROUND_SECONDS)
                nursery.cancel_scope.cancel()
            assert await process.journal.open_operations() == []
            records = await process.journal.stages()
            outcomes.add(_state(records))
            if not records:
                await story.assert_nothing_left(process)
            await Kubelet((story.unpublish, story.unstage)).go_on(process.node)
            await story.assert_nothing_left(process)

        async with story.world.process(life) as process:
            await body(process)
        await live(story.world, Life(), alone)
        if not life.fired:
            break
    assert outcomes == {"nothing", "staged"}


def _state(records: list[StageRecord]) -> str:
    return records[0].state if records else "nothing"


@pytest.mark.parametrize("first", DEATHS)
@pytest.mark.parametrize("second", DEATHS)
async def test_two_deaths_in_a_stage_make_one_filesystem(
    first: Fault, second: Fault, directory: Path, autojump_clock: trio.testing.MockClock
) -> None:
    for effect in range(12):
        for again in range(12):
            own = directory / f"{effect}-{again}"
            own.mkdir()
            world = NodeWorld(own)
            story = Story(world, world.volume(fs_type="xfs"))
            lives = [Life(first, effect), Life(second, again)]
            kubelet = Kubelet((story.stage, story.publish, story.write, story.expand, story.unpublish, story.unstage))
            for life in lives:
                async with world.process(life) as process:
                    await kubelet.go_on(process.node)

            async def end(process: NodeProcess, story: Story = story, kubelet: Kubelet = kubelet) -> None:
                await kubelet.go_on(process.node)
                await story.assert_nothing_left(process)

            await live(world, Life(), end)
            story.assert_data()


async def test_a_call_that_is_refused_leaves_nothing_whatever_fails_on_the_way(
    directory: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """A final answer proves that nothing of ours is half made."""
    for fault in FAULTS:
        for effect in range(1000):
            own = directory / f"{fault}-{effect}"
            own.mkdir()
            world = NodeWorld(own)
            story = Story(world, world.volume(permit=False))
            life = Life(fault, effect)
            refused: list[DriverError] = []

            async def body(process: NodeProcess, story: Story = story, refused: list[DriverError] = refused) -> None:
                try:
                    await Kubelet((story.stage,)).go_on(process.node)
                except DriverError as error:
                    refused.append(error)
                await story.assert_nothing_left(process)

            await live(world, life, body)
            assert "does not permit" in str(refused[-1])
            assert disk.is_blank(story.volume.file, story.volume.size_bytes)
            if not life.fired:
                break
