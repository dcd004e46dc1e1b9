"""Debian's kernel, fetched and unpacked once into the cache; it is never installed.

The package's name changes with each update of the kernel; it is found through linux-image-amd64. An unpacked kernel is
used for as long as the cache holds it. Setting up needs apt and the network once, later nothing.
"""

import fcntl
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from lab import archive, initramfs, modules, places
from lab.failures import CannotRun, LabFailed

META_PACKAGE = "linux-image-amd64"
"""The generic kernel: the one for clouds has no 9p, and virtiofs lost requests under emulation."""

PROGRAMS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "depmod": "kmod",
    "modprobe": "kmod",
    "nvme": "nvme-cli",
    "udevadm": "udev",
    "mkfs.btrfs": "btrfs-progs",
    "mkfs.xfs": "xfsprogs",
    "mkfs.ext4": "e2fsprogs",
    "ip": "iproute2",
    "apt-get": "apt",
    "dpkg-deb": "dpkg",
}
"""Programs that the tool, booting or a machine needs, with Debian's package of each."""

_SBIN = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"))
_APT_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel in the cache: `release` as uname(1) says, `image` for QEMU's -kernel, `tree` holds lib/modules."""

    package: str
    release: str
    image: Path
    tree: Path

    @property
    def modules(self) -> Path:
        """The directory for /lib/modules/<release>."""
        return self.tree / "lib" / "modules" / self.release


def program(name: str) -> str:
    """Return the path of a program of `PROGRAMS`. Raises CannotRun."""
    if found := shutil.which(name, path=_SBIN):
        return found
    raise CannotRun(f"{name} is missing (Debian: {PROGRAMS.get(name, name)})")


def check_computer() -> None:
    """Raise CannotRun, naming all that is missing, where no machine can run."""
    lacks = [f"{name} (Debian: {package})" for name, package in PROGRAMS.items() if not shutil.which(name, path=_SBIN)]
    if not initramfs.BUSYBOX.is_file():
        lacks.append(f"{initramfs.BUSYBOX} (Debian: busybox-static)")
    if platform.machine() != "x86_64":
        lacks.append(f"an x86-64 processor (this is {platform.machine()})")
    if os.geteuid() != 0:
        lacks.append("root: a machine shows all of /, and only root can read that")
    if lacks:
        raise CannotRun("machines of the laboratory need " + ", ".join(lacks))


def ensure_kernel() -> Kernel:
    """Return the kernel in the cache, fetching it first where there is none; a second caller waits for the first.

    Raises CannotRun, and LabFailed when apt cannot deliver.
    """
    check_computer()
    home = places.cache() / "kernel"
    with _lock(places.cache() / "kernel.lock"):
        if found := _find(home):
            return found
        with tempfile.TemporaryDirectory(dir=places.cache(), prefix="fetching-") as scratch:
            _make(Path(scratch))
            shutil.rmtree(home, ignore_errors=True)
            (Path(scratch) / "kernel").rename(home)
        kernel = _find(home)
        assert kernel is not None
        return kernel


def _find(home: Path) -> Kernel | None:
    try:
        facts = json.loads((home / "kernel.json").read_text())
    except FileNotFoundError:
        return None
    return Kernel(facts["package"], facts["release"], home / "image", home)


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _make(scratch: Path) -> None:
    """Fetch the package and unpack it below `scratch`/kernel."""
    package = _fetch(scratch)
    home = scratch / "kernel"
    _unpack(package, home)
    (release,) = (path.name for path in (home / "lib" / "modules").iterdir())
    _run(program("depmod"), "-b", str(home), release)
    boot_image = home / "boot" / f"vmlinuz-{release}"
    (home / "image").write_bytes(archive.find_vmlinux(boot_image.read_bytes()) or boot_image.read_bytes())
    shutil.rmtree(home / "boot")
    kernel = Kernel(package.name, release, home / "image", home)
    (home / "kernel.json").write_text(json.dumps({key: str(value) for key, value in asdict(kernel).items()}) + "\n")


def _fetch(scratch: Path) -> Path:
    """Download the newest kernel package that apt knows; the lists are refreshed where they are missing or too old."""
    name = _package_name() or _refreshed_name()
    if not _download(name, scratch):
        name = _refreshed_name()
        if not _download(name, scratch):
            raise LabFailed(f"apt-get could not download {name}")
    return next(scratch.glob("*.deb"))


def _package_name() -> str | None:
    shown = subprocess.run(
        ("apt-cache", "depends", META_PACKAGE), capture_output=True, text=True, check=False, timeout=_APT_SECONDS
    ).stdout
    found = re.search(r"Depends: (linux-image-\d\S+)", shown)
    return found.group(1) if found else None


def _refreshed_name() -> str:
    _run("apt-get", "-q", "update")
    if name := _package_name():
        return name
    raise CannotRun(f"apt knows no {META_PACKAGE}: the laboratory boots Debian's kernel")


def _download(name: str, scratch: Path) -> bool:
    command = ("apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", name)
    done = subprocess.run(command, cwd=scratch, stdout=sys.stderr, check=False, timeout=_APT_SECONDS)
    return done.returncode == 0


def _run(*command: str) -> None:
    done = subprocess.run(command, stdout=sys.stderr, check=False, timeout=_APT_SECONDS)
    if done.returncode != 0:
        raise LabFailed(f"{' '.join(command)} ended with status {done.returncode}")


def _unpack(package: Path, home: Path) -> None:
    """Write the files of the package that a machine uses, straight from the stream."""
    command = ("dpkg-deb", "--fsys-tarfile", str(package))
    with subprocess.Popen(command, stdout=subprocess.PIPE) as unpacking:
        assert unpacking.stdout is not None
        with tarfile.open(fileobj=unpacking.stdout, mode="r|") as tar:
            for member in tar:
                path = member.name.removeprefix("./").removeprefix("usr/")
                if member.isfile() and _used(path) and (content := tar.extractfile(member)):
                    target = home / path
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with target.open("wb") as file:
                        shutil.copyfileobj(content, file, 1 << 20)
    if unpacking.returncode != 0:
        raise LabFailed(f"{package.name} could not be unpacked")


def _used(path: str) -> bool:
    """Tell whether a file of the package is used: the image and the kept modules."""
    if path.startswith("lib/modules/"):
        return modules.kept(path.split("/", 3)[-1])
    return path.startswith("boot/vmlinuz-")
