"""What a sandbox leaves in the kernel: found by backing file and mount point, and nothing else is touched."""

from pathlib import Path

from rdscsi.sandbox.remains import LoopDevice, find_loop_devices, owned_mounts, parse_mountinfo

MOUNTINFO = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:6 / /dev rw - devtmpfs devtmpfs rw
41 22 7:3 / /var/staging\\040one rw shared:5 - xfs /dev/loop3 rw
42 22 7:3 /sub /var/target rw shared:5 master:2 - xfs /dev/loop3 rw
43 22 0:6 /loop4 /var/block rw - devtmpfs devtmpfs rw
44 22 7:9 / /var/other rw - ext4 /dev/loop9 rw
45 22 0:40 / /sand/box/kernel/m rw - tmpfs tmpfs rw
46 22 0:6 /loop40 /var/foreign rw - devtmpfs devtmpfs rw
"""
LOOPS = [
    LoopDevice("/dev/loop3", "7:3", "/sand/box/a.img"),
    LoopDevice("/dev/loop4", "7:4", "/sand/box/b.img"),
]


def test_mountinfo_is_read_with_escapes_and_optional_fields() -> None:
    mounts = parse_mountinfo(MOUNTINFO)
    assert [mount.mount_point for mount in mounts][2:4] == ["/var/staging one", "/var/target"]
    assert (mounts[3].device, mounts[3].root, mounts[3].fs_type) == ("7:3", "/sub", "xfs")


def test_owned_mounts_are_those_of_its_devices_and_below_its_directory_innermost_first() -> None:
    owned = owned_mounts(parse_mountinfo(MOUNTINFO), LOOPS, Path("/sand/box"))
    assert [mount.mount_point for mount in owned] == [
        "/sand/box/kernel/m",
        "/var/block",
        "/var/target",
        "/var/staging one",
    ]


def test_nothing_is_owned_without_loop_devices_and_mounts_below() -> None:
    assert owned_mounts(parse_mountinfo(MOUNTINFO), [], Path("/sand/bo")) == []


def test_loop_devices_belong_by_backing_file_even_a_deleted_one(tmp_path: Path) -> None:
    for name, backing in [
        ("loop0", "/sand/box/a.img"),
        ("loop1", "/sand/boxes/a.img"),
        ("loop2", "/sand/box/x/b.img (deleted)"),
    ]:
        (tmp_path / name / "loop").mkdir(parents=True)
        (tmp_path / name / "loop" / "backing_file").write_text(backing + "\n")
        (tmp_path / name / "dev").write_text(f"7:{name[-1]}\n")
    (tmp_path / "loop3").mkdir()  # not attached: no `loop` directory
    assert find_loop_devices(Path("/sand/box"), tmp_path) == [
        LoopDevice("/dev/loop0", "7:0", "/sand/box/a.img"),
        LoopDevice("/dev/loop2", "7:2", "/sand/box/x/b.img"),
    ]
