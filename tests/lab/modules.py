"""Which modules of the kernel are kept, and in which order those for booting are loaded."""

import lzma
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

BOOT = ("virtio_pci", "9pnet_virtio", "9p", "overlay", "virtio_console")
"""Needed before the root is there; with all that they depend on."""

_DROPPED = (
    "sound/",
    "drivers/gpu/",
    "drivers/media/",
    "drivers/infiniband/",
    "drivers/net/wireless/",
    "drivers/net/ethernet/",
    "drivers/staging/",
    "drivers/iio/",
    "drivers/usb/",
    "drivers/input/",
    "drivers/hid/",
    "drivers/isdn/",
)


def kept(path: str) -> bool:
    """Tell whether a file below lib/modules/VERSION is worth its space: a machine has no such hardware."""
    return not path.removeprefix("kernel/").startswith(_DROPPED)


def module_name(path: str) -> str:
    """Return a module's name as the kernel has it: without directory and endings, underscores for hyphens."""
    return PurePosixPath(path).name.partition(".ko")[0].replace("-", "_")


def load_order(dependencies: str, builtin: str, wanted: Iterable[str]) -> list[str]:
    """Order the files to load from modules.dep and modules.builtin, each after what it needs.

    Raises LookupError for a module that the kernel does not have.
    """
    needs = {path: rest.split() for path, _, rest in (line.partition(":") for line in dependencies.splitlines())}
    files = {module_name(path): path for path in needs}
    inside = {module_name(path) for path in builtin.split()}
    ordered: dict[str, None] = {}
    for name in map(module_name, wanted):
        if name in files:
            ordered.update(dict.fromkeys(_with_needs(files[name], needs)))
        elif name not in inside:
            raise LookupError(f"the kernel has no module {name}")
    return list(ordered)


def _with_needs(path: str, needs: dict[str, list[str]]) -> Iterator[str]:
    for needed in needs[path]:
        yield from _with_needs(needed, needs)
    yield path


def read_module(path: Path) -> bytes:
    """Read a module, uncompressed: a small insmod knows no XZ."""
    return lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes()
