"""Which modules are loaded in which order, and which are not kept at all."""

import lzma
from pathlib import Path

import pytest

from lab.modules import kept, load_order, module_name, read_module

DEPENDENCIES = """\
kernel/fs/9p/9p.ko: kernel/net/9p/9pnet.ko kernel/fs/netfs/netfs.ko
kernel/net/9p/9pnet.ko:
kernel/net/9p/9pnet_virtio.ko.xz: kernel/net/9p/9pnet.ko
kernel/fs/netfs/netfs.ko:
"""


def test_a_module_comes_after_what_it_needs_and_only_once() -> None:
    order = load_order(DEPENDENCIES, "kernel/drivers/virtio/virtio_pci.ko\n", ["virtio-pci", "9pnet_virtio", "9p"])
    assert [module_name(path) for path in order] == ["9pnet", "9pnet_virtio", "netfs", "9p"]


def test_a_module_that_the_kernel_does_not_have_is_named() -> None:
    with pytest.raises(LookupError, match="no module overlay"):
        load_order(DEPENDENCIES, "", ["overlay"])


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("kernel/drivers/nvme/host/nvme-tcp.ko", True),
        ("kernel/drivers/net/virtio_net.ko", True),
        ("kernel/drivers/net/ethernet/intel/e1000/e1000.ko", False),
        ("kernel/sound/core/snd.ko", False),
        ("modules.builtin", True),
    ],
)
def test_hardware_that_no_machine_has_is_left_out(path: str, expected: bool) -> None:
    assert kept(path) is expected


def test_compressed_modules_are_read_as_plain_ones(tmp_path: Path) -> None:
    (tmp_path / "a.ko").write_bytes(b"module")
    (tmp_path / "b.ko.xz").write_bytes(lzma.compress(b"module"))
    assert read_module(tmp_path / "a.ko") == read_module(tmp_path / "b.ko.xz") == b"module"
