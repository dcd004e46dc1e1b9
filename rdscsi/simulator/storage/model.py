"""The storage model as a whole: pool, files, disks and subvolumes over one state directory, and the power cycle."""

from __future__ import annotations

import uuid
from pathlib import Path

from rdscsi.simulator import texts
from rdscsi.simulator.clock import Clock
from rdscsi.simulator.console.failures import ConsoleError
from rdscsi.simulator.options import ApplianceOptions
from rdscsi.simulator.storage.disks import Disk, Disks
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
        self.files = FileTree(state, self.pool, self.undo, clock)
        self.exports = Exports(state / "exports", exporter)
        self.disks = Disks(
            store=store,
            files=self.files,
            pool=self.pool,
            exports=self.exports,
            undo=self.undo,
            behaviour=behaviour,
            nqn_prefix="nqn.2000-02.com.mikrotik:" if minor(options.version) >= (7, 21) else "",
            drives=options.drives,
        )
        self.subvolumes = Subvolumes(
            state=state, store=store, files=self.files, pool=self.pool, undo=self.undo, clock=clock
        )

    def change_pool(
        self, *, mounted: bool | None = None, read_only: bool | None = None, state: str | None = None
    ) -> None:
        """What may befall the pool: gone, read-only, degraded. File disks over it follow when it comes or goes."""
        self.pool.change(mounted=mounted, read_only=read_only, state=state)
        if mounted is not None:
            self.disks.rescan()

    def is_busy(self, disk: Disk) -> bool:
        """Whether a file system cannot be unmounted: a disk item uses a file on it."""
        if disk.slot != self.pool.slot or not self.pool.mounted:
            return disk.exported
        return any(other.type == "file" and self.files.on_pool(other.file_name) for other in self.disks)

    def format(self, disk: Disk, kind: str, label: str) -> list[str]:
        """Make a new file system; what the console tells of it. Raises ConsoleError where the item is in use."""
        if self.is_busy(disk):
            raise ConsoleError(texts.COULD_NOT_UNMOUNT())
        if disk.slot != self.pool.slot:
            raise ConsoleError(texts.NOT_SIMULATED(path=f"/disk/format of {disk.slot}"))
        if kind not in ("btrfs", "xfs", "ext4"):
            raise ConsoleError(texts.NOT_SIMULATED(path=f"/disk/format file-system={kind}"))
        self.subvolumes.forget_all()
        self.files.empty_pool()
        self.pool.change(fs=kind, label=label, fs_uuid=str(uuid.uuid4()), mounted=True)
        command = {"ext4": "mke2fs -t ext4 -L", "xfs": "mkfs.xfs -f -L", "btrfs": "mkfs.btrfs -f -L"}[kind]
        device = "/dev/md15" if disk.type == "raid" else "/dev/nvme0n1"
        return [f"file-system: {kind}", f"{command} {label} {device}", "format done"]

    def boot(self, *, lose_unflushed: bool) -> int:
        """What a restart of the appliance does to storage; the number of changes that were lost."""
        self.exports.power_off()
        lost = self.undo.revert() if lose_unflushed else 0
        self.undo.flush()
        self.disks.rescan()
        return lost
