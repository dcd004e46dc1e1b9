"""The simulated MikroTik ROSE Data Server: a RouterOS console over a storage model, and an SSH server around it.

For tests without SSH: `Appliance(state_dir).run("/disk/print")`. For Trio programs: `rdscsi.simulator.serving`. Texts
that are guesses are marked in `texts`. Nothing here knows the driver.
"""

from rdscsi.simulator.appliance import Appliance, LineCut
from rdscsi.simulator.clock import ManualClock, SystemClock
from rdscsi.simulator.history import Exchange, History
from rdscsi.simulator.options import ApplianceOptions, Behaviour, PoolOptions

__all__ = [
    "Appliance",
    "ApplianceOptions",
    "Behaviour",
    "Exchange",
    "History",
    "LineCut",
    "ManualClock",
    "PoolOptions",
    "SystemClock",
]
