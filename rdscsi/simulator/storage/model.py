"""The storage model as a whole: pool, files, disks and subvolumes over one state directory, and the power cycle."""

from __future__ import annotations

from pathlib import Path

from rdscsi.simulator.clock import Clock
from rdscsi.simulator.options import ApplianceOptions
from rdscsi.simulator.storage.disks import Disks
from rdscsi.simulator.storage.exports import Exporter, Exports
from rdscsi.simulator.storage.files import FileTree
from rdscsi.simulator.storage.pool import Pool
from rdscsi.simulator.storage.store import Store
from rdscsi.simulator.storage.subvolumes import Subvolumes
from rdscsi.simulator.storage.undo import UndoLog
from rdscsi.simulator.version import minor


class Storage:
    """Everything that holds data. Built in the order in which the parts need each other."""

    def __init__(
        self,
        state: Path,
        store: Store,
        options: ApplianceOptions,
        clock: Clock,
        exporter: Exporter | None = None,
    ) -> None:
        behaviour = options.behaviour
        self.undo = UndoLog(clock, {"config": behaviour.config_flush_delay, "pool": behaviour.pool_flush_delay})
        self.pool = Pool(state, store, options.pool, behaviour)
        self.files = FileTree(state, self.pool, self.undo)
        self.exports = Exports(state / "exports", exporter)
        self.disks = Disks(
            store=store,
            files=self.files,
            pool=self.pool,
            exports=self.exports,
            undo=self.undo,
            behaviour=behaviour,
            nqn_prefix="nqn.2000-02.com.mikrotik:" if minor(options.version) >= (7, 21) else "",
        )
        self.subvolumes = Subvolumes(
            state=state, store=store, files=self.files, pool=self.pool, undo=self.undo, clock=clock
        )

    def boot(self, *, lose_unflushed: bool) -> int:
        """What a restart of the appliance does to storage; the number of changes that were lost."""
        self.exports.power_off()
        lost = self.undo.revert() if lose_unflushed else 0
        self.undo.flush()
        self.disks.rescan()
        return lost
