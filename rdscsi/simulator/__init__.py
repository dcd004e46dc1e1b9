"""The simulated MikroTik ROSE Data Server: a RouterOS console over a storage model, and an SSH server around it.

For tests without SSH: `Appliance(state_dir).run("/disk/print")`. For Trio programs: `rdscsi.simulator.serving`, for
pytest: `rdscsi.simulator.pytest_plugin`, for people: docs/simulator.md. How sure we are of what it does is told in
`texts` and `behaviours`. Nothing here knows the driver.
"""

from rdscsi.simulator.appliance import Appliance, LineCut
from rdscsi.simulator.clock import ManualClock, SystemClock
from rdscsi.simulator.faults import Fault, Faults
from rdscsi.simulator.history import Exchange, History
from rdscsi.simulator.meddling import Operator
from rdscsi.simulator.options import ApplianceOptions, Behaviour, Board, Drive, Package, PoolOptions, User
from rdscsi.simulator.sessions import Attempt, Sessions

__all__ = [
    "Appliance",
    "ApplianceOptions",
    "Attempt",
    "Behaviour",
    "Board",
    "Drive",
    "Exchange",
    "Fault",
    "Faults",
    "History",
    "LineCut",
    "ManualClock",
    "Operator",
    "Package",
    "PoolOptions",
    "Sessions",
    "SystemClock",
    "User",
]
