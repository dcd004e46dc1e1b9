"""The storage model against a much simpler one, over random histories with lost sessions, restarts and power cuts.

The simple model is two dictionaries (items, files) and what they were after each change. A power cut takes each back to
what it was one flush delay ago.
"""

import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from rdscsi.simulator import Appliance, ApplianceOptions, Behaviour, ManualClock, PoolOptions
from rdscsi.simulator.faults import Fault, Kind
from rdscsi.simulator.sessions import Sessions

MIB = 1 << 20
POOL = 64 * MIB
SLOTS = st.sampled_from(["a", "b"])
DELAYS = {"config": 20.0, "pool": 35.0}


@dataclass(frozen=True)
class Item:
    """What the simple model knows of a disk item."""

    file: str
    comment: str = ""
    export: bool = False


class StorageMachine(RuleBasedStateMachine):
    """Commands to a simulated appliance and to the simple model, compared after each step."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.clock = ManualClock()
        self.sessions: Sessions | None = None
        self.items: dict[str, Item] = {}
        self.files: dict[str, int] = {}
        self.history: list[tuple[float, dict[str, Item], dict[str, int]]] = []
        self.late: list[tuple[float, str]] = []

    @initialize()
    def start(self) -> None:
        behaviour = Behaviour(config_flush_delay=DELAYS["config"], pool_flush_delay=DELAYS["pool"])
        options = ApplianceOptions(behaviour=behaviour, pool=PoolOptions(size=POOL, overhead=0))
        self.sessions = Sessions(Appliance(self.directory, options, clock=self.clock))
        self._settle()

    def teardown(self) -> None:
        if self.sessions is not None:
            self.sessions.close()
            self.sessions.appliance.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    # -- the simple model ------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Everything is persistent: an orderly stop, or the start."""
        self.history = [(float("-inf"), dict(self.items), dict(self.files))]

    def _note(self) -> None:
        self.history.append((self.clock.now(), dict(self.items), dict(self.files)))

    def _used(self) -> int:
        return sum(self.files.values())

    def _apply(self, line: str) -> None:
        """What a line does, by the simple model."""
        verb, slot, *more = line.split()
        if verb == "add" and slot not in self.items:
            size = self.files.get(slot, 0)
            if size or self._used() + int(more[0]) * MIB <= POOL:
                self.files[slot] = max(size, int(more[0]) * MIB) if self._fits(slot, int(more[0]) * MIB) else size
                if self.files[slot] >= int(more[0]) * MIB:
                    self.items[slot] = Item(slot)
                elif not self.files[slot]:
                    del self.files[slot]
        elif verb == "comment" and slot in self.items:
            self.items[slot] = replace(self.items[slot], comment=more[0])
        elif verb == "export" and slot in self.items:
            self.items[slot] = replace(self.items[slot], export=more[0] == "yes")
        elif verb == "grow" and slot in self.items and slot in self.files:
            wanted = int(more[0]) * MIB
            if self._fits(slot, wanted):
                self.files[slot] = wanted
        elif verb == "remove":
            self.items.pop(slot, None)
        elif verb == "unlink":
            self.files.pop(slot, None)
        self._note()

    def _fits(self, slot: str, size: int) -> bool:
        return size - self.files.get(slot, 0) <= POOL - self._used()

    # -- the appliance ---------------------------------------------------------------------------------------------

    def _send(self, line: str, fault: Kind | None) -> None:
        assert self.sessions is not None
        if fault is not None:
            self.sessions.faults.add(Fault(fault, seconds=7), times=1)
        self._run_late()
        self.sessions.attempt(self._console(line))
        self.sessions.faults.clear()
        if fault == "late":
            self.late.append((self.clock.now() + 7, line))
        elif fault not in ("drop-before", "cut", "stall", "error"):
            self._apply(line)

    def _console(self, line: str) -> str:
        verb, slot, *more = line.split()
        find = f'[/disk/find where slot="{slot}" and type="file"]'
        return {
            "add": f"/disk/add type=file slot={slot} file-path=pool1/{slot} file-size={''.join(more)}M",
            "comment": f"/disk/set {find} comment={''.join(more)}",
            "export": f"/disk/set {find} nvme-tcp-export={''.join(more)}",
            "grow": f'/disk/set [/disk/find where slot="{slot}" and block-device=yes] file-size={"".join(more)}M',
            "remove": f"/disk/remove {find}",
            "unlink": f'/file/remove [/file/find where name="pool1/{slot}"]',
        }[verb]

    def _run_late(self) -> None:
        assert self.sessions is not None
        due = sorted((item for item in self.late if item[0] <= self.clock.now()), key=lambda item: item[0])
        self.late = [item for item in self.late if item not in due]
        self.sessions.run_due()
        for _, line in due:
            self._apply(line)

    FAULTS = st.sampled_from(
        [None, None, None, "drop-before", "drop-after", "cut", "late", "stall", "stall-after", "error"]
    )

    @rule(slot=SLOTS, size=st.integers(1, 40), fault=FAULTS)
    def add(self, slot: str, size: int, fault: Kind | None) -> None:
        self._send(f"add {slot} {size}", fault)

    @rule(slot=SLOTS, text=st.sampled_from(["x", "y"]), fault=FAULTS)
    def comment(self, slot: str, text: str, fault: Kind | None) -> None:
        self._send(f"comment {slot} {text}", fault)

    @rule(slot=SLOTS, export=st.sampled_from(["yes", "no"]), fault=FAULTS)
    def export(self, slot: str, export: str, fault: Kind | None) -> None:
        self._send(f"export {slot} {export}", fault)

    @rule(slot=SLOTS, size=st.integers(1, 60), fault=FAULTS)
    def grow(self, slot: str, size: int, fault: Kind | None) -> None:
        self._send(f"grow {slot} {size}", fault)

    @rule(slot=SLOTS, fault=FAULTS)
    def remove_disk(self, slot: str, fault: Kind | None) -> None:
        self._send(f"remove {slot}", fault)

    @rule(slot=SLOTS, fault=FAULTS)
    def remove_file(self, slot: str, fault: Kind | None) -> None:
        self._send(f"unlink {slot}", fault)

    @rule(seconds=st.sampled_from([1.0, 8.0, 21.0, 60.0]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self._run_late()

    @rule()
    def restart(self) -> None:
        assert self.sessions is not None
        self.sessions.close()
        self.sessions.appliance.close()
        self.late = []
        self._settle()
        options = self.sessions.appliance.options
        self.sessions = Sessions(Appliance(self.directory, options, clock=self.clock))

    @rule()
    def power_cut(self) -> None:
        assert self.sessions is not None
        self.sessions.appliance.reboot()
        now = self.clock.now()
        self.late = []
        self.items = [items for at, items, _ in self.history if now - at >= DELAYS["config"]][-1]
        self.files = [files for at, _, files in self.history if now - at >= DELAYS["pool"]][-1]
        self._settle()

    # -- they agree ------------------------------------------------------------------------------------------------

    @invariant()
    def both_show_the_same(self) -> None:
        if self.sessions is None:
            return
        storage = self.sessions.appliance.storage
        disks = {disk.slot: disk for disk in storage.disks if disk.type == "file"}
        assert set(disks) == set(self.items)
        for slot, item in self.items.items():
            assert (disks[slot].settings.get("comment", ""), disks[slot].exported) == (item.comment, item.export)
        found = {path.name: path.stat().st_size for path in storage.pool.directory.iterdir()}
        assert found == self.files
        assert storage.pool.space.used() == self._used()
        assert storage.pool.space.free() == POOL - self._used()


StorageMachine.TestCase.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)
TestStorageModel = StorageMachine.TestCase
