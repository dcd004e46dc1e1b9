"""Loop devices by ioctl, on the real kernel; needs root."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from rdscsi.errors import DeviceUnavailable
from rdscsi.host.devices import loops
from rdscsi.model import MIB
from rdscsi.testing.host import require_loop_devices

pytestmark = pytest.mark.root
NAME = "rdscsi-test-of-loops"


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Path]:
    require_loop_devices()
    path = tmp_path / "file"
    path.touch()
    os.truncate(path, MIB)
    yield path
    for loop in list(loops.loops()):
        if loop.name == NAME:
            loops.detach(loop)


def test_a_file_is_attached_under_a_name_that_the_kernel_keeps(file: Path) -> None:
    loop = loops.attach(file, NAME)
    assert loop in list(loops.loops())
    assert loops.read_loop(Path(loop.path)) == loop
    assert (loop.name, loop.size_bytes, loop.behind) == (NAME, MIB, (0, 0))
    assert loop.inode == (file.stat().st_dev, file.stat().st_ino)
    loops.detach(loop)
    found = loops.read_loop(Path(loop.path))
    assert found is None or found.name != NAME
    loops.detach(loop)


def test_a_loop_device_on_a_loop_device_names_it(file: Path) -> None:
    lower = loops.attach(file, NAME)
    upper = loops.attach(Path(lower.path), NAME)
    assert upper.behind == lower.number
    loops.detach(upper)
    loops.detach(lower)


def test_a_larger_file_is_taken_in(file: Path) -> None:
    loop = loops.attach(file, NAME)
    os.truncate(file, 2 * MIB)
    found = loops.read_loop(Path(loop.path))
    assert found is not None
    assert found.size_bytes == MIB
    loops.take_in_size(loop)
    found = loops.read_loop(Path(loop.path))
    assert found is not None
    assert found.size_bytes == 2 * MIB


def test_another_files_device_of_the_same_number_is_not_detached(file: Path) -> None:
    loop = loops.attach(file, NAME)
    stale = loops.Loop(loop.path, loop.number, loop.name, (0, 0), loop.behind, loop.size_bytes)
    loops.detach(stale)
    assert loops.read_loop(Path(loop.path)) == loop


def test_a_device_that_somebody_else_took_is_left_to_him(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = loops.attach(file, NAME)
    free = loops._free_device
    devices = [Path(taken.path), Path(taken.path)]
    monkeypatch.setattr(loops, "_free_device", lambda: devices.pop() if devices else free())
    assert loops.attach(file, NAME).path != taken.path
    monkeypatch.setattr(loops, "_free_device", lambda: Path(taken.path))
    with pytest.raises(DeviceUnavailable, match="no free loop device"):
        loops.attach(file, NAME)


def test_what_is_no_loop_device_is_an_error(file: Path) -> None:
    with pytest.raises(OSError, match="ioctl") as failed:
        loops.read_loop(file)
    assert failed.value.errno == errno.ENOTTY
    with pytest.raises(OSError, match="ioctl"):
        loops.detach(loops.Loop(str(file), (0, 0), "", (0, 0), (0, 0), 0))
    with pytest.raises(OSError, match=r"ioctl|Invalid"):
        loops._configured(file, bytes(304))
    assert loops.read_loop(Path("/dev/loop-of-nobody")) is None
