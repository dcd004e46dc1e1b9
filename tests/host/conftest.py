"""A kernel host for each test, without threads."""

from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from kernel_bench import Bench

from rdscsi.host import kernel as kernel_module


@pytest.fixture
def no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """What would look at sysfs in a thread looks at once: so no deadline here depends on the machine."""

    async def at_once(work: Callable[[], object]) -> object:
        await trio.lowlevel.checkpoint()
        return work()

    monkeypatch.setattr(kernel_module, "in_thread", at_once)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)
