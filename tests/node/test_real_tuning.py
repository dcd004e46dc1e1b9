"""What a StorageClass says about the filesystem is what the real tools make, on a loop device. Needs root."""

import re
from dataclasses import replace

import pytest
from real_bench import SIZE, Bench

from rdscsi.model import Tuning

pytestmark = pytest.mark.root


@pytest.mark.parametrize(
    ("fs_type", "options", "shown", "told"),
    [
        (
            "ext4",
            "-b 4096 -i 65536 -m 3 -E stride=16,stripe_width=64",
            ("dumpe2fs", "-h"),
            [
                r"Inode count:\s+51[0-9][0-9]\n",
                r"RAID stride:\s+16\n",
                r"RAID stripe width:\s+64\n",
                r"Reserved block count:\s+2457",
            ],
        ),
        ("xfs", "-i size=1024 -m reflink=0 -n size=8192", ("xfs_info",), ["isize=1024", "reflink=0", "bsize=8192"]),
    ],
)
async def test_real_tools_make_what_the_class_asks_for(
    bench: Bench, fs_type: str, options: str, shown: tuple[str, ...], told: list[str]
) -> None:
    volume = bench.world.volume(size_bytes=SIZE, fs_type=fs_type)
    await bench.node.stage(replace(bench.world.stage_request(volume), tuning=Tuning(mkfs_options=options)))
    (mount,) = [one for one in await bench.host.mounts() if one.mount_point == bench.world.path("pvc-1-staged")]
    said = await bench.run(*shown, mount.source)
    assert all(re.search(one, said) for one in told), said
    await bench.node.unstage(volume.volume_id, mount.mount_point)
