"""What the controller is told once, at its start: which backend it serves and which limits hold on it."""

from dataclasses import dataclass

from rdscsi.model import GIB, Portal


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerOptions:
    """Sizes in bytes, times in seconds.

    `reserve_bytes` of the pool are never given to volumes; at most `overcommit` times its size is promised.
    `flush_delay` is how long the appliance may keep a change of its configuration in memory (law 8). A create whose
    caller has not come back for `abandon_after` is undone. `refresh_every` is the time between two inventories,
    `retry_every` between two attempts to reach the appliance or to settle what is open. `operation_deadline` bounds
    one attempt to settle. `cut_ends_io`: switching an export off is known to end the I/O of connected nodes (law 8).
    """

    cluster_id: str
    backend: str
    portals: tuple[Portal, ...]
    reserve_bytes: int = GIB
    overcommit: float = 1.0
    default_capacity: int = GIB
    flush_delay: float = 10.0
    abandon_after: float = 600.0
    cut_ends_io: bool = False
    refresh_every: float = 60.0
    retry_every: float = 5.0
    operation_deadline: float = 300.0
