"""A simulated appliance that runs the lines in their frame, for the tests of `lines` and `surveys`."""

import itertools
from collections.abc import Mapping
from pathlib import Path

from rdscsi import names
from rdscsi.names import Backing
from rdscsi.routeros import lines, surveys
from rdscsi.routeros.answers import Answer, DiskItem, parse_answer
from rdscsi.routeros.framing import Frame, Ran, Stopped
from rdscsi.routeros.lines import Guard, NewVolume, Place
from rdscsi.routeros.uptime import Window
from rdscsi.simulator import Appliance, ApplianceOptions, Behaviour, LineCut, ManualClock, PoolOptions
from rdscsi.tags import Marker, render_marker

MIB, GIB = 1 << 20, 1 << 30
CLUSTER, BACKEND = "cluster-1", "rds"
SLOT = names.slot("v", CLUSTER, "pvc-1")
OTHER_SLOT = names.slot("v", CLUSTER, "pvc-2")
BACKING = Backing(SLOT, "aaaqeayeaudao")
MARKER_SLOT = names.marker_slot(CLUSTER, BACKEND)
SUBNQN = names.subnqn(SLOT, names.epoch(bytes(10)))
OTHER_SUBNQN = names.subnqn(SLOT, names.epoch(bytes(range(10))))


class Refused(Exception):
    """The line ended at a run-time error with this text."""


class Rig:
    """An appliance with a pool, a marker and a window that is open."""

    def __init__(self, directory: Path, fs: str) -> None:
        self.clock = ManualClock()
        options = ApplianceOptions(
            pool=PoolOptions(fs=fs, size=100 * GIB),  # type: ignore[arg-type]
            behaviour=Behaviour(error_suffix=False),
            initial_uptime=1000,
        )
        self.appliance = Appliance(directory, options, clock=self.clock)
        self.nonces = itertools.count()
        answer = self.send(surveys.look("pool1", MARKER_SLOT))
        assert answer.pool is not None
        mount = answer.pool.mount_point
        self.place = Place(
            "pool1", answer.pool.fs_uuid, answer.pool.fs_label, fs == "btrfs", f"{mount}/rdscsi", "rdscsi"
        )
        self.path = BACKING.file_path(self.place.base_path, btrfs=self.place.btrfs)
        self.marker = Marker(CLUSTER, self.place.base_path, self.place.fs_uuid, "journal", 1, "random")
        self.window = Window(900, 1100)
        path = f"{self.place.base_path}/{MARKER_SLOT}.img"
        self.send(surveys.first_marker(self.place, self.window, MARKER_SLOT, path, render_marker(self.marker)))

    @property
    def guard(self) -> Guard:
        return Guard(MARKER_SLOT, render_marker(self.marker), self.place, self.window)

    def send(self, body: str, *, cut_before: int = 0) -> Answer:
        """Run one line. With `cut_before` the power fails before its nth change."""
        frame = Frame(body, f"{next(self.nonces):016}")
        left = itertools.count(1)

        def cut(_path: str, _arguments: Mapping[str, object]) -> None:
            if next(left) == cut_before:
                raise LineCut

        text = self.appliance.run(frame.line, before=cut).replace("\r\n", "\n")
        finding = frame.read(text)
        if isinstance(finding, Stopped):
            raise Refused(finding.text)
        assert isinstance(finding, Ran), finding
        return parse_answer(finding.lines)

    def item(self, slot: str = SLOT) -> DiskItem | None:
        """Look without any guard, by a line that no line of the driver has a part in."""
        put = ':put ("I " . [:serialize to=json value=[/disk/get $zi] options=json.no-string-conversion])'
        return self.send(f':foreach zi in=[/disk/find where slot="{slot}"] do={{{put}}}').disk(slot)

    def get(self, slot: str = SLOT) -> DiskItem:
        found = self.item(slot)
        assert found is not None
        return found

    def leaves(self) -> set[str]:
        """List what lies on the pool under the base path, as `/file` sees it."""
        text = self.appliance.run(":foreach zi in=[/file/find] do={:put [/file/get $zi name]}")
        below = f"{self.place.base_path}/"
        return {line.removeprefix(below) for line in text.split("\r\n") if line.startswith(below)} - {
            f"{MARKER_SLOT}.img"
        }

    def volume(self, size: int = GIB, **changes: object) -> NewVolume:
        values: dict[str, object] = {
            "slot": SLOT,
            "backing": BACKING,
            "file_path": self.path,
            "size_bytes": size,
            "creating": "rdscsi1 v creating uuid=",
            "ready": "rdscsi1 v ready uuid=",
            "keep_free_bytes": GIB,
        }
        return NewVolume(**(values | changes))  # type: ignore[arg-type]

    def create(self, size: int = GIB) -> str:
        """Create the volume; return its tag."""
        self.send(lines.create(self.guard, self.volume(size)))
        return self.get().comment
