"""An image with QEMU, as a KubeVirt virt-launcher has it: this machine's program with its libraries and firmware."""

import re
import shutil
import subprocess
from pathlib import Path

QEMU_IMAGE = "e2e.test/qemu:1"
QEMU = "qemu-system-x86_64"
PACKAGE = "qemu-system-x86"
_SECONDS = 60.0
_FIRMWARE = ("bios-256k.bin", "kvmvapic.bin")
_FIRMWARE_HOMES = (Path("/usr/share/seabios"), Path("/usr/share/qemu"))
_EMULATOR = "accel-tcg-x86_64.so"
"""The part that emulates a processor, which QEMU loads from beside its other modules where it is not built in."""


def files() -> dict[str, Path]:
    """What the image holds beside busybox, by path inside. Raises FileNotFoundError where QEMU is not installed."""
    qemu = shutil.which(QEMU)
    if qemu is None:
        raise FileNotFoundError(f"{QEMU} is missing (Debian: {PACKAGE})")
    found = [Path(qemu), *_libraries(Path(qemu)), *_modules()]
    found += [home / name for home in _FIRMWARE_HOMES for name in _FIRMWARE if (home / name).exists()]
    return {str(path): path for path in found}


def _libraries(program: Path) -> list[Path]:
    listed = subprocess.run(("ldd", str(program)), capture_output=True, text=True, check=True, timeout=_SECONDS).stdout
    return [Path(path) for path in re.findall(r"(/\S+) \(0x", listed)]


def _modules() -> list[Path]:
    return [path for home in Path("/usr/lib").glob("*/qemu") for path in home.glob(_EMULATOR)]
