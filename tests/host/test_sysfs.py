"""What sysfs tells of NVMe, read from trees as the kernel made them."""

import os
from pathlib import Path

import pytest

from rdscsi.errors import DeviceUnavailable, UnexpectedAnswer
from rdscsi.host.devices import sysfs
from rdscsi.host.kernel import usable_device
from rdscsi.testing.sysfs import restore_capture

CAPTURES = Path(__file__).with_name("captures")
SUBNQN = "nqn.2025-01.io.example:vol-1"
CONTROLLER = "sys/devices/virtual/nvme-fabrics/ctl"
SUBSYSTEM = "sys/devices/virtual/nvme-subsystem/nvme-subsys0"


@pytest.fixture(params=["multipath-two-paths", "no-multipath-two-paths"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    restore_capture((CAPTURES / f"{request.param}.txt").read_text(), tmp_path)
    return tmp_path


def multipath(root: Path) -> bool:
    return (root / SUBSYSTEM / "nvme0n1").exists()


def subsystem(root: Path) -> sysfs.Subsystem:
    [found] = sysfs.read_subsystems(root / "sys", lambda subnqn: subnqn == SUBNQN)
    return found


def test_a_subsystem_is_found_by_its_nqn_with_its_controllers(root: Path) -> None:
    found = subsystem(root)
    assert [(one.name, one.state, one.hostnqn) for one in found.controllers] == [
        ("nvme0", "live", "nqn.2025-01.io.example:host-1"),
        ("nvme1", "live", "nqn.2025-01.io.example:host-1"),
    ]
    assert found.controllers[1].address == {"traddr": "127.0.0.1", "trsvcid": "4421", "src_addr": "127.0.0.1"}
    assert found.live == found.controllers
    assert sysfs.read_subsystems(root / "sys", lambda subnqn: subnqn == f"{SUBNQN}0") == []


def test_the_disk_is_never_a_hidden_path(root: Path) -> None:
    device = usable_device(subsystem(root))
    assert device.path == "/dev/nvme0n1"
    assert device.number == ((259, 1) if multipath(root) else (259, 0))
    assert device.size_bytes == 2097152 * 512
    assert device.identity == "nsid 1 uuid.aaaaaaaa-0000-4000-8000-000000000001"
    assert len(subsystem(root).disks) == (1 if multipath(root) else 2)


@pytest.mark.parametrize("state", ["connecting", "resetting", "new", "deleting", "deleting (no IO)", "dead"])
def test_without_a_live_controller_there_is_no_usable_device(root: Path, state: str) -> None:
    for name in ("nvme0", "nvme1"):
        (root / CONTROLLER / name / "state").write_text(f"{state}\n")
    (root / CONTROLLER / "nvme0/address").write_text("traddr=127.0.0.1,trsvcid=4420\n")
    found = subsystem(root)
    assert found.controllers[0].address == {"traddr": "127.0.0.1", "trsvcid": "4420"}
    with pytest.raises(DeviceUnavailable, match=f"nvme0 {state}".replace("(", r"\(").replace(")", r"\)")):
        usable_device(found)
    (root / CONTROLLER / "nvme1/state").write_text("live\n")
    assert usable_device(subsystem(root)).path


def test_a_namespace_that_is_cut_off_leaves_no_device(root: Path) -> None:
    for disk in (root / "sys/devices").rglob("nvme*n1"):
        for attribute in ("dev", "size"):
            (disk / attribute).unlink(missing_ok=True)
    with pytest.raises(DeviceUnavailable, match="namespace is not there"):
        usable_device(subsystem(root))


def test_a_namespace_without_a_size_is_no_device(root: Path) -> None:
    for size in (root / "sys/devices").rglob("size"):
        size.write_text("0\n")
    with pytest.raises(DeviceUnavailable):
        usable_device(subsystem(root))


def test_several_namespaces_are_nothing_that_this_driver_exports(root: Path) -> None:
    other = root / SUBSYSTEM / "nvme0n2"
    other.mkdir()
    for name, text in {"dev": "259:7", "size": "8", "hidden": "0", "nsid": "2", "wwid": "uuid.x"}.items():
        (other / name).write_text(text)
    with pytest.raises(UnexpectedAnswer, match="nvme0n2"):
        usable_device(subsystem(root))


def test_a_subsystem_that_awaits_its_last_user_has_no_controllers(root: Path) -> None:
    for name in ("nvme0", "nvme1"):
        (root / "sys/class/nvme" / name).unlink()
    found = subsystem(root)
    assert found.controllers == ()
    assert found.states == "no controller"


def test_a_controller_without_a_subsystem_yet_is_seen(root: Path) -> None:
    (root / "sys/class/nvme-subsystem/nvme-subsys0").unlink()
    assert len(subsystem(root).controllers) == 2


def test_a_machine_without_nvme_has_no_subsystems(tmp_path: Path) -> None:
    assert sysfs.read_subsystems(tmp_path) == []
    assert not sysfs.multipath(tmp_path)


def test_a_controller_that_vanishes_while_it_is_read_was_removed(root: Path) -> None:
    (root / CONTROLLER / "nvme1/state").unlink()
    assert [one.name for one in subsystem(root).controllers] == ["nvme0"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_what_cannot_be_read_is_no_absence(root: Path) -> None:
    (root / "sys/class/nvme").chmod(0)
    with pytest.raises(PermissionError):
        sysfs.read_subsystems(root / "sys")
    (root / "sys/class/nvme").chmod(0o700)


def test_a_loop_of_links_is_no_absence(root: Path) -> None:
    state = root / CONTROLLER / "nvme0/state"
    state.unlink()
    state.symlink_to(state)
    with pytest.raises(OSError, match="symbolic links"):
        sysfs.read_subsystems(root / "sys")
    (root / "sys/class/nvme").rename(root / "sys/class/former")
    (root / "sys/class/nvme").symlink_to("nvme")
    with pytest.raises(OSError, match="symbolic links"):
        sysfs.read_subsystems(root / "sys")


def test_partitions_and_holders_are_found_by_number(tmp_path: Path) -> None:
    disk = tmp_path / "devices/disk"
    (disk / "disk1/holders/dm-0").mkdir(parents=True)
    (disk / "holders/md0").mkdir(parents=True)
    (disk / "queue").mkdir()
    (disk / "dev").write_text("259:1\n")
    (disk / "disk1/dev").write_text("259:2\n")
    (disk / "disk1/partition").write_text("1\n")
    (tmp_path / "dev/block").mkdir(parents=True)
    (tmp_path / "dev/block/259:1").symlink_to("../../devices/disk")
    found = sysfs.partitions(tmp_path, (259, 1))
    assert [sysfs.read_number(path) for path in found] == [(259, 1), (259, 2)]
    assert [sysfs.holders_of(path) for path in found] == [["md0"], ["dm-0"]]
    assert sysfs.partitions(tmp_path, (259, 7)) == []
    assert sysfs.read_number(disk / "queue") is None


def test_an_address_is_pairs_in_any_order() -> None:
    assert sysfs.parse_address("trsvcid=4420,traddr=fe80::1,host_iface=eth0,odd") == {
        "traddr": "fe80::1",
        "trsvcid": "4420",
        "host_iface": "eth0",
    }
    assert sysfs.parse_address("") == {}
