"""A simulated machine for each test, or this one; what has virtual time takes `autojump_clock` itself too.

Otherwise pytest-trio does not see it.
"""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from real_bench import Bench, open_bench
from trio.testing import MockClock

from rdscsi.testing.host import clear_machine, require_loop_devices
from rdscsi.testing.node import NodeProcess, NodeWorld


@pytest.fixture
def world(tmp_path: Path) -> NodeWorld:
    return NodeWorld(tmp_path)


@pytest.fixture
async def process(world: NodeWorld, autojump_clock: MockClock) -> AsyncIterator[NodeProcess]:
    async with world.process() as made:
        yield made


@pytest.fixture
def real_world(tmp_path: Path) -> NodeWorld:
    """Exports for this machine: its loop devices, filesystems and mounts."""
    require_loop_devices()
    return NodeWorld(Path(os.path.realpath(tmp_path)))


@pytest.fixture
async def bench(real_world: NodeWorld) -> AsyncIterator[Bench]:
    """A node on this machine."""
    async with open_bench(real_world) as made:
        try:
            yield made
        finally:
            with trio.CancelScope(shield=True):
                await clear_machine(made.host, real_world.directory)
