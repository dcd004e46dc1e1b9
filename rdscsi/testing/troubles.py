"""What goes wrong with the appliance and with lines to it, as a script says; the same for one controller or two."""

from rdscsi.simulator import LineCut
from rdscsi.simulator.console.failures import ConsoleError
from rdscsi.simulator.faults import Fault, Kind
from rdscsi.testing.invariants import holdings
from rdscsi.testing.script import LINE_TROUBLES, Trouble
from rdscsi.testing.world import World

_SCRIPTED_FAULTS = ("cut", "refuse")


class MachineTroubles:
    """Makes them, and keeps in mind what a power loss took back.

    `taken_back`: files and directories: whoever was told of them, they are lost. `forgotten`: slots of which any change
    was taken back: it is made again from the journal; without that nobody knows.
    """

    def __init__(self, world: World) -> None:
        self.reboots = 0
        self.taken_back: set[str] = set()
        self.forgotten: set[str] = set()
        self._world = world
        self._strike: Trouble | None = None
        self._statements = 0

    def make(self, trouble: Trouble) -> bool:
        """Make a trouble; False when it is none of the appliance's."""
        if trouble.kind in _SCRIPTED_FAULTS:
            self._strike, self._statements = trouble, 0
        elif trouble.kind in LINE_TROUBLES:
            kind: Kind = trouble.kind  # type: ignore[assignment]
            fault = Fault(kind, seconds=trouble.seconds, mutation=trouble.statement)
            self._world.faults.add(fault, times=1)
        elif trouble.kind == "reboot":
            self._reboot()
        else:
            return False
        return True

    def before_change(self) -> None:
        """Refuse the statement that is about to change something, or end the line there, if that is due."""
        strike = self._strike
        if strike is None:
            return
        self._statements += 1
        if self._statements < strike.statement:
            return
        self._strike = None
        if strike.kind == "cut":
            raise LineCut
        raise ConsoleError("failure: refused by the script")

    def end(self) -> None:
        """Nothing more goes wrong."""
        self._strike = None
        self._world.faults.clear()

    def _reboot(self) -> None:
        self.reboots += 1
        machine = self._world.machine
        leaves, before = machine.leaves(), holdings(machine)
        machine.reboot()
        gone = leaves - machine.leaves()
        self.taken_back |= gone
        self.forgotten |= before.differing(holdings(machine))
        self.forgotten |= {leaf.rpartition("/")[2].partition(".")[0] for leaf in leaves ^ machine.leaves()}
