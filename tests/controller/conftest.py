"""A world for each test. Tests take `autojump_clock` too: pytest-trio looks for the clock among their own arguments."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio.testing

from rdscsi.testing.world import World, open_world


@pytest.fixture
async def world(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> AsyncIterator[World]:
    async with open_world(tmp_path) as made:
        yield made
