"""Copies behind snapshots: the same bytes, holes stay holes, and extents are shared where the host can share them."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rdscsi.simulator.storage.copying import copy_file, copy_tree

MIB = 1 << 20
PIECES = st.lists(st.tuples(st.integers(0, 8 * MIB), st.binary(min_size=1, max_size=5000)), max_size=5)


@settings(max_examples=30, deadline=None)
@given(PIECES, st.integers(0, 9 * MIB))
def test_a_copy_has_the_same_bytes_and_its_holes(pieces: list[tuple[int, bytes]], size: int) -> None:
    directory = Path(os.environ.get("PYTEST_DEBUG_TEMPROOT", "/tmp")) / f"copying-{os.getpid()}"
    directory.mkdir()
    try:
        source, target = directory / "source", directory / "target"
        with open(source, "wb") as file:
            for offset, data in pieces:
                file.seek(offset)
                file.write(data)
            file.truncate(size)
        copy_file(source, target)
        assert target.read_bytes() == source.read_bytes()
        assert target.stat().st_blocks <= source.stat().st_blocks + 64
    finally:
        shutil.rmtree(directory)


def test_a_tree_is_copied_without_nested_subvolumes_and_links(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "directory").mkdir(parents=True)
    (source / "directory/file").write_text("inside")
    (source / "nested").mkdir()
    (source / "nested/file").write_text("not copied")
    (source / "link").symlink_to("/etc/passwd")
    copy_tree(source, tmp_path / "target", frozenset({source / "nested"}))
    found = sorted(path.relative_to(tmp_path / "target").as_posix() for path in (tmp_path / "target").rglob("*"))
    assert found == ["directory", "directory/file", "nested"]


def test_an_existing_target_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("new")
    (tmp_path / "b").write_text("old")
    with pytest.raises(FileExistsError):
        copy_file(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_text() == "old"


@pytest.mark.root
@pytest.mark.parametrize("kind", ["xfs", "btrfs"])
def test_extents_are_shared_where_the_host_can(tmp_path: Path, kind: str) -> None:
    if os.geteuid() != 0 or shutil.which(f"mkfs.{kind}") is None or not Path("/dev/loop-control").exists():
        pytest.skip(f"needs root, loop devices and mkfs.{kind}")
    image, mount = tmp_path / "image", tmp_path / "mount"
    mount.mkdir()
    with open(image, "wb") as file:
        file.truncate(400 * MIB)
    subprocess.run([f"mkfs.{kind}", "-q", str(image)], check=True)
    if subprocess.run(["mount", "-o", "loop", str(image), str(mount)], check=False).returncode != 0:
        pytest.skip(f"this kernel cannot mount {kind}")
    try:
        (mount / "source").write_bytes(os.urandom(64 * MIB))
        os.sync()
        before = os.statvfs(mount)
        copy_file(mount / "source", mount / "target")
        os.sync()
        after = os.statvfs(mount)
        assert (before.f_bavail - after.f_bavail) * after.f_frsize < 16 * MIB
        assert (mount / "target").read_bytes() == (mount / "source").read_bytes()
    finally:
        subprocess.run(["umount", str(mount)], check=True)
