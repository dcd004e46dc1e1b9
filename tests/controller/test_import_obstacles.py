"""What keeps a disk from being imported, by what a look shows of it: pure."""

from dataclasses import replace

import pytest

from rdscsi.controller import importing
from rdscsi.model import MIB
from rdscsi.routeros.answers import DiskItem
from rdscsi.routeros.lines import Place

SLOT = importing.slot_of("cluster-1", "pool1/vm.img")
PLACE = Place("pool1", "uuid", "pool1", True, "pool1/rdscsi", "rdscsi")
GOOD = DiskItem("*1", "vm", "file", MIB, "", "pool1/vm.img", "ext4", True, False, "", 4420, True, False)


@pytest.mark.parametrize(
    ("item", "why"),
    [
        (replace(GOOD, type="partition"), "type=partition"),
        (replace(GOOD, size=1000), "size=1000"),
        (replace(GOOD, size=0), "size=0"),
        (replace(GOOD, size=1 << 63), "size="),
        (replace(GOOD, file_path="other/vm.img"), "must be on this backend's pool"),
        (replace(GOOD, file_path="pool10/vm.img"), "must be on this backend's pool"),
        (replace(GOOD, file_path="pool1/a b.img"), "cannot stand in a tag"),
        (replace(GOOD, file_path=f"pool1/{'x' * 60}.img"), "cannot stand in a tag"),
        (replace(GOOD, file_path=f"pool1/rdscsi/{SLOT}.{'a' * 13}/disk.img"), "is the file of a volume"),
        (replace(GOOD, comment="mine"), "another owner"),
        (replace(GOOD, other_uses=("mounted",)), "mounted is set"),
        (replace(GOOD, block_device=False), "no block device"),
        (replace(GOOD, nvme_tcp_export=True, nvme_tcp_server_nqn="nqn.x"), "as 'nqn.x'"),
    ],
)
def test_what_stands_in_the_way_is_named_with_what_would_be_right(item: DiskItem, why: str) -> None:
    [told] = importing.obstacles(item, PLACE)
    assert why in told
    assert repr(item.slot) in told


def test_nothing_stands_in_the_way_of_a_plain_file_disk() -> None:
    assert importing.obstacles(GOOD, PLACE) == []
    assert (
        importing.obstacles(replace(GOOD, size=10_000_000_000 // 512 * 512, file_path="pool1/images/a.img"), PLACE)
        == []
    )


@pytest.mark.parametrize("place", [PLACE, replace(PLACE, base_path="pool1", directory="")])
def test_the_pool_is_mounted_where_the_base_path_begins(place: Place) -> None:
    assert importing.mount_point(place) == "pool1"
