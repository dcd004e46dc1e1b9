"""What an exporter hears of the disks: each change of an export, in time, and no more than it can serve."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from rdscsi.simulator.appliance import Appliance
from rdscsi.simulator.storage.exports import Export

NQN = "nqn.2026-01.io.example:v1"
ADD = (
    "/disk/add type=file slot=v1 file-path=pool1/v1.img file-size=1000000 mount-filesystem=no "
    f"nvme-tcp-export=yes nvme-tcp-server-nqn={NQN}"
)


class Recorder:
    """An exporter that remembers what is exported now, and what it was told."""

    def __init__(self) -> None:
        self.offered: dict[str, Export] = {}
        self.told: list[str] = []

    def offer(self, export: Export) -> None:
        self.told.append(f"offer {export.nqn} {export.backing.stat().st_size}")
        self.offered[export.nqn] = export

    def withdraw(self, nqn: str) -> None:
        self.told.append(f"withdraw {nqn}")
        self.offered.pop(nqn, None)

    def reset(self, exports: Iterable[Export]) -> None:
        self.offered = {export.nqn: export for export in exports}
        self.told.append(f"reset {' '.join(self.offered)}".strip())

    def power_off(self) -> None:
        self.told.append("power off")
        self.offered = {}


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def appliance(tmp_path: Path, recorder: Recorder) -> Iterator[Appliance]:
    with Appliance(tmp_path / "rds", exporter=recorder) as appliance:
        yield appliance


def link(appliance: Appliance, nqn: str) -> Path:
    return appliance.storage.exports.link_of(nqn)


def test_an_added_disk_is_offered_with_port_and_host(appliance: Appliance, recorder: Recorder) -> None:
    appliance.run(f"{ADD} nvme-tcp-server-port=4421 nvme-tcp-server-allow-host-name=nqn.host")
    export = recorder.offered[NQN]
    assert (export.port, export.allowed_host) == (4421, "nqn.host")
    assert export.backing == link(appliance, NQN).resolve()


def test_a_disk_that_is_not_exported_is_not_offered(appliance: Appliance, recorder: Recorder) -> None:
    appliance.run(ADD.replace("export=yes", "export=no"))
    assert recorder.offered == {}


@pytest.mark.parametrize("line", ["/disk/set v1 nvme-tcp-export=no", "/disk/remove v1"])
def test_what_ends_is_withdrawn_before_the_line_ends(appliance: Appliance, recorder: Recorder, line: str) -> None:
    appliance.run(ADD)
    appliance.run(line)
    assert recorder.told[-1] == f"withdraw {NQN}"
    assert not link(appliance, NQN).is_symlink()


def test_a_new_name_ends_the_old_one_first(appliance: Appliance, recorder: Recorder) -> None:
    appliance.run(ADD)
    appliance.run(f"/disk/set v1 nvme-tcp-server-nqn={NQN}-2")
    assert recorder.told[-2:] == [f"withdraw {NQN}", f"offer {NQN}-2 1000000"]


def test_growth_is_told_after_the_file_has_grown(appliance: Appliance, recorder: Recorder) -> None:
    appliance.run(ADD)
    appliance.run("/disk/set v1 file-size=2000000")
    assert recorder.told[-1] == f"offer {NQN} 2000000"


def test_a_reboot_cuts_everything_and_brings_it_back(appliance: Appliance, recorder: Recorder) -> None:
    appliance.run(ADD)
    appliance.reboot()
    assert recorder.told[-2:] == ["power off", f"reset {NQN}"]


def test_a_start_sets_right_what_was_left(appliance: Appliance, recorder: Recorder) -> None:
    appliance.run(ADD)
    appliance.close()
    later = Recorder()
    with Appliance(appliance.state_dir, exporter=later):
        assert later.told == [f"reset {NQN}"]


def test_a_disk_whose_file_is_gone_is_not_served(appliance: Appliance, recorder: Recorder) -> None:
    appliance.run(ADD)
    recorder.offered[NQN].backing.unlink()
    appliance.close()
    later = Recorder()
    with Appliance(appliance.state_dir, exporter=later):
        assert later.offered == {}
