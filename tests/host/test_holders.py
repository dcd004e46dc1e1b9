"""Who holds a device: what stands on it, loop devices, swap, and its partitions' mounts."""

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from rdscsi.errors import DeviceUnavailable
from rdscsi.host.devices import holders, loops
from rdscsi.host.devices.holders import find_holders
from rdscsi.host.devices.loops import Loop
from rdscsi.host.ports import Mount

NUMBER, PARTITION = (259, 1), (259, 2)
SWAPS = r"""Filename Type Size Used Priority
/dev/a\040b partition 1 0 -2
/gone file 1 0 -3
/file file 1 0 -4
"""


@pytest.fixture
def system(tmp_path: Path) -> Path:
    disk = tmp_path / "sys/devices/disk"
    for directory in ("holders", "part/holders"):
        (disk / directory).mkdir(parents=True)
    (disk / "dev").write_text("259:1\n")
    (disk / "part/dev").write_text("259:2\n")
    (disk / "part/partition").write_text("1\n")
    (tmp_path / "sys/dev/block").mkdir(parents=True)
    (tmp_path / "sys/dev/block/259:1").symlink_to("../../devices/disk")
    (tmp_path / "swaps").write_text("Filename Type Size Used Priority\n")
    return tmp_path


def found(system: Path, *, mounts: tuple[Mount, ...] = (), attached: tuple[Loop, ...] = ()) -> list[str]:
    return find_holders(NUMBER, mounts=mounts, loops=attached, sys_root=system / "sys", swaps=system / "swaps")


def mount(number: tuple[int, int]) -> Mount:
    return Mount("/somewhere", number, "/", "ext4", "x", ("rw",))


def loop(behind: tuple[int, int]) -> Loop:
    return Loop("/dev/loop7", (7, 7), "", (1, 1), behind, 1 << 20)


def test_nobody_holds_a_device_that_nobody_holds(system: Path) -> None:
    assert found(system, mounts=(mount(NUMBER), mount((8, 1))), attached=(loop((8, 1)), loop((0, 0)))) == []
    assert find_holders((8, 9), mounts=(), loops=(), sys_root=system / "sys", swaps=system / "swaps") == []


def test_what_stands_on_it_or_on_a_partition_is_told(system: Path) -> None:
    (system / "sys/devices/disk/holders/dm-0").mkdir()
    (system / "sys/devices/disk/part/holders/md0").mkdir()
    assert [one.split()[0] for one in found(system)] == ["dm-0", "md0"]


@pytest.mark.parametrize("behind", [NUMBER, PARTITION])
def test_a_loop_device_on_it_is_told(system: Path, behind: tuple[int, int]) -> None:
    assert found(system, attached=(loop(behind),)) == ["loop device /dev/loop7 is attached to it"]


def test_the_mount_of_a_partition_is_told(system: Path) -> None:
    assert found(system, mounts=(mount(PARTITION),)) == ["a partition of it is mounted at /somewhere"]


def test_swap_on_it_is_told(system: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (system / "swaps").write_text(SWAPS)
    modes = {"/dev/a b": (0o060660, os.makedev(*NUMBER)), "/file": (0o100600, 0)}

    def stat(path: str) -> object:
        if path not in modes:
            raise FileNotFoundError(errno.ENOENT, path)
        return SimpleNamespace(st_mode=modes[path][0], st_rdev=modes[path][1])

    monkeypatch.setattr(os, "stat", stat)
    told = [holders._number(path) for path in holders._swaps(system / "swaps")]
    monkeypatch.undo()
    assert told == [NUMBER, None, None]


def test_what_cannot_be_told_is_not_nobody(system: Path) -> None:
    (system / "swaps").unlink()
    with pytest.raises(DeviceUnavailable):
        found(system)


def test_a_name_longer_than_the_kernel_keeps_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="63"):
        loops.attach(tmp_path / "file", "x" * 64)
