"""The kernel backend over a sysfs that answers as Linux does."""

from pathlib import Path

from rdscsi import names
from rdscsi.host.kernel import KernelHost
from rdscsi.host.local import Deadlines
from rdscsi.host.ports import Connection
from rdscsi.host.process import Processes
from rdscsi.model import Portal
from rdscsi.testing.sysfs import KernelCalls, NvmeTree

SUBNQN = names.subnqn(names.slot(names.KIND_VOLUME, "cluster", "pvc-1"), "a" * 16)
PORTALS = (Portal("192.0.2.1", 4420), Portal("192.0.2.2", 4420))
CONNECTION = Connection(SUBNQN, PORTALS, "nqn.2014-08.org.nvmexpress:uuid:h", "h")


class Bench:
    """A kernel host over a tree."""

    def __init__(self, directory: Path, *, multipath: bool = True, connect: float = 0.6) -> None:
        self.tree = NvmeTree(directory / "sys", multipath=multipath)
        self.calls = KernelCalls(self.tree)
        deadlines = Deadlines(connect=connect, mount=1, mkfs=1)
        self.host = KernelHost(
            processes=Processes(),
            calls=self.calls,
            deadlines=deadlines,
            sys_root=self.tree.sys,
            fabrics=Path("/fabrics"),
        )
        self.tree.offer(SUBNQN, *map(str, PORTALS))

    @property
    def connects(self) -> int:
        return sum("transport=tcp" in one for one in self.calls.made)

    @property
    def deleted(self) -> list[str]:
        return [one.removeprefix("delete_controller ") for one in self.calls.made if one.startswith("delete")]
