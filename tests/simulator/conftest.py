"""What the simulator's tests share: appliances in a directory of their own, under a clock that stands still."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rdscsi.simulator import Appliance, ApplianceOptions, ManualClock

MakeAppliance = Callable[..., Appliance]


@pytest.fixture
def make_appliance(tmp_path: Path) -> Iterator[MakeAppliance]:
    """Make appliances; called again after `close`, it opens the same state directory."""
    made: list[Appliance] = []
    clock = ManualClock()

    def make(options: ApplianceOptions | None = None, *, name: str = "rds") -> Appliance:
        appliance = Appliance(tmp_path / name, options, clock=clock)
        made.append(appliance)
        return appliance

    yield make
    for appliance in made:
        appliance.close()


@pytest.fixture
def appliance(make_appliance: MakeAppliance) -> Appliance:
    """An appliance with a Btrfs pool of 2 TiB, newest version."""
    return make_appliance()
