"""A world for each test. Tests take `autojump_clock` too: pytest-trio looks for the clock among their own arguments."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio.testing
from claims_rig import SHORT, Cluster

from rdscsi.testing.world import World, open_world


@pytest.fixture
async def world(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> AsyncIterator[World]:
    async with open_world(tmp_path) as made:
        yield made


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
async def asking(tmp_path: Path, autojump_clock: trio.testing.MockClock, cluster: Cluster) -> AsyncIterator[World]:
    async with open_world(tmp_path, claims=cluster, options=SHORT) as made:
        yield made


@pytest.fixture
async def trusting(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> AsyncIterator[World]:
    async with open_world(tmp_path, options=SHORT) as made:
        yield made
