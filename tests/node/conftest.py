"""A simulated machine for each test; a test takes `autojump_clock` itself too, or pytest-trio does not see it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from trio.testing import MockClock

from rdscsi.testing.node import NodeProcess, NodeWorld


@pytest.fixture
def world(tmp_path: Path) -> NodeWorld:
    return NodeWorld(tmp_path)


@pytest.fixture
async def process(world: NodeWorld, autojump_clock: MockClock) -> AsyncIterator[NodeProcess]:
    async with world.process() as made:
        yield made
