"""mountinfo, read as proc_pid_mountinfo(5) describes it."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdscsi.errors import DeviceUnavailable, UnexpectedAnswer
from rdscsi.host.mountinfo import parse_mountinfo, unescape
from rdscsi.host.mounts import Mounts
from rdscsi.host.ports import Mount
from rdscsi.host.process import Processes

TEXT = r"""22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,errors=remount-ro
30 22 0:6 / /dev rw,nosuid - devtmpfs devtmpfs rw
41 22 259:1 / /var/lib/a\040b\011c\134d rw,noatime shared:5 master:2 propagate_from:1 - xfs /dev/nvme0n1 ro,seclabel
42 22 259:1 /sub/dir /mnt\0121 ro - xfs /dev/nvme0n1 rw
43 22 0:6 /nvme0n1 /pods/block rw shared:7 - devtmpfs devtmpfs rw
44 22 0:40 / /odd\043x rw - fuse.x\054y none rw
"""


def test_every_field_is_where_it_belongs() -> None:
    mounts = parse_mountinfo(TEXT)
    assert len(mounts) == 6
    assert mounts[2] == Mount(
        mount_point="/var/lib/a b\tc\\d",
        number=(259, 1),
        root="/",
        fs_type="xfs",
        source="/dev/nvme0n1",
        options=("rw", "noatime"),
        super_options=("ro", "seclabel"),
    )
    assert (mounts[3].mount_point, mounts[3].root, mounts[3].readonly) == ("/mnt\n1", "/sub/dir", True)
    assert (mounts[4].root, mounts[4].number, mounts[4].fs_type) == ("/nvme0n1", (0, 6), "devtmpfs")
    assert mounts[5].mount_point == "/odd#x"


@pytest.mark.parametrize(
    "line",
    [
        "garbage",
        "41 22 259:1 / /mnt rw",
        "41 22 259:1 / /mnt rw - xfs /dev/x",
        "41 22 259 / /mnt rw - xfs /dev/x rw",
        "41 22 x:1 / /mnt rw - xfs /dev/x rw",
        "41 22 / /mnt rw - xfs /dev/x rw",
    ],
)
def test_a_line_that_cannot_be_read_is_no_absence(line: str) -> None:
    with pytest.raises(UnexpectedAnswer):
        parse_mountinfo(f"{TEXT}{line}\n")


def test_no_mounts_are_no_mounts() -> None:
    assert parse_mountinfo("") == []


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)
NUMBERS = st.integers(0, 4095)


def escape(text: str) -> str:
    """Escape as the kernel does (fs/proc_namespace.c, mangle): space, tab, line feed, backslash and #."""
    return "".join(f"\\{ord(one):03o}" if one in " \t\n\\#" else one for one in text)


@given(
    point=NAMES,
    root=NAMES,
    source=NAMES,
    number=st.tuples(NUMBERS, NUMBERS),
    tags=st.lists(st.sampled_from(["shared:1", "master:2", "propagate_from:3", "unbindable"]), max_size=4),
    readonly=st.booleans(),
)
def test_whatever_a_path_is_called_it_is_read_back(
    point: str, root: str, source: str, number: tuple[int, int], tags: list[str], readonly: bool
) -> None:
    option = "ro" if readonly else "rw"
    fields = ["1", "2", f"{number[0]}:{number[1]}", escape(f"/{root}"), escape(f"/{point}"), option, *tags]
    line = " ".join([*fields, "-", "ext4", escape(source), "rw"])
    (mount,) = parse_mountinfo(line + "\n")
    assert (mount.mount_point, mount.root, mount.source) == (f"/{point}", f"/{root}", source)
    assert (mount.number, mount.readonly, mount.fs_type) == (number, readonly, "ext4")


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30))
def test_unescaping_undoes_escaping(text: str) -> None:
    assert unescape(escape(text)) == text


async def test_mounts_that_cannot_be_read_are_no_absence(tmp_path: Path) -> None:
    with pytest.raises(DeviceUnavailable):
        await Mounts(Processes(), deadline=1, mountinfo=tmp_path / "gone").listed()
    strange = tmp_path / "mountinfo"
    strange.write_bytes(b"1 2 259:1 / /p\xff rw - ext4 x rw\n")
    (mount,) = await Mounts(Processes(), deadline=1, mountinfo=strange).listed()
    assert mount.mount_point.encode("utf-8", "surrogateescape") == b"/p\xff"
