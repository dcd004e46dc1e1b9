"""The storage model: what a power cut takes back, what a kill leaves, how full the pool is, what it then refuses."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from rdscsi.simulator import Appliance, ApplianceOptions, Behaviour, ManualClock, PoolOptions
from rdscsi.simulator.console.failures import ConsoleError
from rdscsi.simulator.storage.signatures import NOTHING_THERE, recognise
from rdscsi.simulator.storage.store import StateDirectoryInUse

MakeAppliance = Callable[..., Appliance]
MIB, GIB = 1 << 20, 1 << 30
FLUSH = Behaviour(config_flush_delay=10, pool_flush_delay=10)


def add(appliance: Appliance, slot: str, size: int = MIB, more: str = "") -> str:
    return appliance.run(f"/disk/add type=file slot={slot} file-path=pool1/{slot} file-size={size} {more}").strip()


def slots(appliance: Appliance) -> list[str]:
    return [disk.slot for disk in appliance.storage.disks if disk.type == "file"]


def free(appliance: Appliance) -> int:
    return int(appliance.run(":put [/disk/get pool1 free]"))


def advance(appliance: Appliance, seconds: float) -> None:
    assert isinstance(appliance.clock, ManualClock)
    appliance.clock.advance(seconds)


def test_without_a_flush_delay_a_power_cut_loses_nothing(appliance: Appliance) -> None:
    add(appliance, "a")
    assert appliance.reboot() == 0
    assert slots(appliance) == ["a"]


def test_young_changes_are_lost_and_old_ones_stay(make_appliance: MakeAppliance) -> None:
    appliance = make_appliance(ApplianceOptions(behaviour=FLUSH))
    add(appliance, "old")
    advance(appliance, 11)
    add(appliance, "young")
    appliance.run("/disk/set old comment=young")
    assert appliance.reboot() > 0
    assert slots(appliance) == ["old"]
    assert appliance.run(":put [/disk/get old comment]") == "\r\n"
    assert sorted(path.name for path in appliance.storage.pool.directory.iterdir()) == ["old"]


def test_deleted_things_come_back_with_their_content_and_their_space(make_appliance: MakeAppliance) -> None:
    appliance = make_appliance(ApplianceOptions(behaviour=FLUSH))
    add(appliance, "v")
    appliance.storage.files.write_blocks("pool1/v", 0, b"data")
    appliance.run("/disk/btrfs/subvolume/add fs=pool1 name=s; /file/add name=pool1/s/f contents=x")
    advance(appliance, 11)
    before = free(appliance)
    appliance.run("/disk/remove v; /file/remove pool1/v; /disk/btrfs/subvolume/remove [find where name=s]")
    assert free(appliance) > before
    appliance.reboot()
    assert slots(appliance) == ["v"]
    assert (appliance.storage.pool.directory / "v").read_bytes()[:4] == b"data"
    assert appliance.run(":put [/file/get pool1/s/f contents]") == "x\r\n"
    assert appliance.run(":put [/disk/btrfs/subvolume/get [find where name=s] fullname]") == "s\r\n"
    assert free(appliance) == before


def test_configuration_and_pool_have_delays_of_their_own(make_appliance: MakeAppliance) -> None:
    appliance = make_appliance(ApplianceOptions(behaviour=Behaviour(config_flush_delay=10)))
    add(appliance, "a")
    appliance.reboot()
    assert slots(appliance) == []
    assert (appliance.storage.pool.directory / "a").exists()
    other = make_appliance(ApplianceOptions(behaviour=Behaviour(pool_flush_delay=10)), name="other")
    add(other, "a", more="nvme-tcp-export=yes")
    other.reboot()
    assert other.run(":put [/disk/get a block-device]") == "false\r\n"
    assert not list((other.state_dir / "exports").iterdir())


def test_an_orderly_reboot_loses_nothing(make_appliance: MakeAppliance) -> None:
    appliance = make_appliance(ApplianceOptions(behaviour=FLUSH))
    add(appliance, "a")
    assert appliance.reboot(lose_unflushed=False) == 0
    assert slots(appliance) == ["a"]


def test_unflushed_changes_survive_the_death_of_the_simulator(make_appliance: MakeAppliance) -> None:
    """A kill of the process is no power cut of the appliance. A copy of the directory is what a kill leaves."""
    first = make_appliance(ApplianceOptions(behaviour=FLUSH))
    add(first, "a", more="comment=kept nvme-tcp-export=yes")
    shutil.copytree(first.state_dir, first.state_dir.parent / "killed", symlinks=True)
    again = make_appliance(ApplianceOptions(behaviour=FLUSH), name="killed")
    assert slots(again) == ["a"]
    assert again.run(":put [/disk/get a comment]") == "kept\r\n"
    assert again.storage.exports.link_of("nqn.2000-02.com.mikrotik:a").exists()


def test_a_renamed_file_goes_back(make_appliance: MakeAppliance) -> None:
    appliance = make_appliance(ApplianceOptions(behaviour=FLUSH))
    appliance.run("/file/add name=pool1/a contents=xy")
    advance(appliance, 11)
    before = free(appliance)
    appliance.run("/file/set pool1/a name=pool1/b")
    appliance.reboot()
    assert appliance.run(":put [/file/get pool1/a contents]") == "xy\r\n"
    assert free(appliance) == before


def test_a_grown_disk_and_a_changed_file_go_back(make_appliance: MakeAppliance) -> None:
    appliance = make_appliance(ApplianceOptions(behaviour=FLUSH))
    add(appliance, "a")
    appliance.run("/file/add name=pool1/t contents=old")
    advance(appliance, 11)
    before = free(appliance)
    appliance.run("/disk/set a file-size=8M; /file/set pool1/t contents=newer")
    appliance.storage.files.write_blocks("pool1/a", 0, b"new")
    appliance.reboot()
    assert appliance.run(":put [/disk/get a size]; :put [/file/get pool1/t contents]").split() == [str(MIB), "old"]
    assert (appliance.storage.pool.directory / "a").read_bytes()[:3] == bytes(3)
    assert free(appliance) == before


def test_one_simulator_at_a_time_uses_a_state_directory(appliance: Appliance) -> None:
    with pytest.raises(StateDirectoryInUse):
        Appliance(appliance.state_dir)


# -- space ---------------------------------------------------------------------------------------------------------


def small(make_appliance: MakeAppliance, allocation: str = "full", **more: object) -> Appliance:
    behaviour = Behaviour(allocation=allocation)  # type: ignore[arg-type]
    pool = PoolOptions(size=GIB, overhead=0, **more)  # type: ignore[arg-type]
    return make_appliance(ApplianceOptions(behaviour=behaviour, pool=pool), name=allocation)


def test_a_full_allocation_takes_the_whole_size_at_once(make_appliance: MakeAppliance) -> None:
    appliance = small(make_appliance)
    add(appliance, "a", 600 * MIB)
    assert free(appliance) == GIB - 600 * MIB
    assert "not enough space" in add(appliance, "b", 600 * MIB)
    assert slots(appliance) == ["a"]
    assert not (appliance.storage.pool.directory / "b").exists()
    assert "not enough space" in appliance.run(f"/disk/set a file-size={2 * GIB}")
    assert appliance.run(":put [/disk/get a size]") == f"{600 * MIB}\r\n"
    assert "not enough space" in appliance.run(f"/disk/add type=file file-path=pool1/z file-size={GIB}")


def test_deletion_gives_the_space_back_to_a_full_pool(make_appliance: MakeAppliance) -> None:
    appliance = small(make_appliance)
    add(appliance, "a", GIB)
    assert free(appliance) == 0
    appliance.run("/disk/remove a; /file/remove pool1/a")
    assert free(appliance) == GIB


def test_a_sparse_allocation_takes_what_is_written(make_appliance: MakeAppliance) -> None:
    appliance = small(make_appliance, "sparse")
    for slot in "abc":
        assert add(appliance, slot, GIB) == ""
    assert free(appliance) == GIB
    appliance.storage.files.write_blocks("pool1/a", 0, os.urandom(8 * MIB))
    assert GIB - 9 * MIB < free(appliance) <= GIB - 8 * MIB


def test_a_sparse_pool_that_is_full_refuses_writes_and_new_files(make_appliance: MakeAppliance) -> None:
    pool = PoolOptions(size=16 * MIB, overhead=0)
    appliance = make_appliance(ApplianceOptions(behaviour=Behaviour(allocation="sparse"), pool=pool))
    add(appliance, "a", GIB)
    appliance.storage.files.write_blocks("pool1/a", 0, os.urandom(16 * MIB))
    with pytest.raises(ConsoleError, match="not enough space"):
        appliance.storage.files.write_blocks("pool1/a", 100 * MIB, b"x" * 4096)
    assert "not enough space" in add(appliance, "b", MIB)
    assert "not enough space" in appliance.run("/file/add name=pool1/t contents=xyz")


def test_a_clone_and_its_origin_count_once(make_appliance: MakeAppliance) -> None:
    appliance = small(make_appliance)
    appliance.run(
        f"/disk/btrfs/subvolume/add fs=pool1 name=v; /disk/add type=file file-path=pool1/v/d file-size={400 * MIB}"
    )
    before = free(appliance)
    appliance.run(
        "/disk/btrfs/subvolume/add fs=pool1 parent=v name=s; /disk/btrfs/subvolume/add fs=pool1 parent=s name=c"
    )
    assert free(appliance) == before
    appliance.run("/disk/remove [find where type=file]; /disk/btrfs/subvolume/remove [find where name=v]")
    assert free(appliance) == before
    appliance.run("/disk/btrfs/subvolume/remove [find where name=s or name=c]")
    assert free(appliance) == GIB


def test_the_books_survive_a_restart(make_appliance: MakeAppliance) -> None:
    first = small(make_appliance)
    first.run(
        f"/disk/btrfs/subvolume/add fs=pool1 name=v; /disk/add type=file file-path=pool1/v/d file-size={100 * MIB}"
    )
    first.run("/disk/btrfs/subvolume/add fs=pool1 parent=v name=s")
    before = free(first)
    first.close()
    assert free(small(make_appliance)) == before


# -- the pool's health ---------------------------------------------------------------------------------------------


def test_a_read_only_pool_refuses_every_change_of_files(appliance: Appliance) -> None:
    add(appliance, "a")
    appliance.run("/disk/btrfs/subvolume/add fs=pool1 name=s; /file/add name=pool1/t contents=x")
    appliance.change_pool(read_only=True)
    for line in (
        "/disk/add type=file file-path=pool1/b file-size=1M",
        "/disk/set a file-size=2M",
        "/disk/btrfs/subvolume/add fs=pool1 name=x",
        "/disk/btrfs/subvolume/remove [find where name=s]",
        "/file/add name=pool1/x",
        "/file/set pool1/t contents=y",
        "/file/set pool1/t name=pool1/u",
        "/file/remove pool1/t",
        "/file/copy pool1/t name=pool1/c",
    ):
        assert "Read-only file system" in appliance.run(line), line
    assert appliance.run("/disk/set a comment=still; :put [/disk/get pool1 mount-read-only]") == "true\r\n"


def test_an_unmounted_pool_shows_no_space_no_files_and_no_disks_content(appliance: Appliance) -> None:
    add(appliance, "a", more="nvme-tcp-export=yes")
    appliance.change_pool(mounted=False)
    assert appliance.run(":put [/disk/get pool1 free]; :put [:len [/file/find]]") == "\r\n0\r\n"
    assert appliance.run(":put [:len [/disk/find where slot=pool1 and mounted=yes]]") == "0\r\n"
    assert appliance.run(":put [/disk/get a block-device]") == "false\r\n"
    assert not list((appliance.state_dir / "exports").iterdir())
    assert "No such file or directory" in add(appliance, "b")
    appliance.change_pool(mounted=True)
    assert appliance.run(":put [/disk/get a block-device]") == "true\r\n"
    assert list((appliance.state_dir / "exports").iterdir())


def test_a_degraded_pool_says_so(appliance: Appliance) -> None:
    appliance.change_pool(state="clean, degraded")
    assert appliance.run(":put [/disk/get pool1 state]") == "clean, degraded\r\n"


# -- signatures ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offset", "magic", "kind"),
    [
        (0, b"XFSB", "xfs"),
        (1080, b"\x53\xef", "ext4"),
        (65536 + 64, b"_BHRfS_M", "btrfs"),
        (0, b"hsqs", "squashfs"),
        (3, b"NTFS    ", "ntfs"),
        (32769, b"CD001", "iso"),
    ],
)
def test_file_systems_are_recognised_by_their_magic(tmp_path: Path, offset: int, magic: bytes, kind: str) -> None:
    path = tmp_path / "image"
    path.write_bytes(bytes(offset) + magic + bytes(70000))
    assert recognise(path).kind == kind


def test_random_bytes_short_files_and_absent_ones_are_nothing(tmp_path: Path) -> None:
    (tmp_path / "short").write_bytes(b"X")
    (tmp_path / "noise").write_bytes(bytes(range(256)) * 1000)
    for name in ("short", "noise", "absent"):
        assert recognise(tmp_path / name) == NOTHING_THERE


def test_growing_a_disk_whose_file_is_gone_is_refused_in_words(appliance: Appliance) -> None:
    add(appliance, "a")
    appliance.run("/file/remove pool1/a")
    assert "No such file or directory" in appliance.run("/disk/set a file-size=2M")
