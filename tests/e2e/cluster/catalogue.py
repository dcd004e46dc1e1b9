"""The images that the cluster needs beside the driver's: pause, systems for test pods, the CSI sidecars.

Sidecars go by the names and versions that the chart gives them; their registry is one that does not exist.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from cluster import guest_image, images
from cluster.build import pins
from cluster.node import PAUSE_IMAGE
from cluster.places import cache

TEST_IMAGE = "e2e.test/busybox:1"
SIDECAR_REGISTRY = "e2e.test/sidecars"
SIDECARS = {
    "csi-provisioner": "github.com/kubernetes-csi/external-provisioner/v6",
    "csi-attacher": "github.com/kubernetes-csi/external-attacher/v4",
    "csi-resizer": "github.com/kubernetes-csi/external-resizer/v2",
    "csi-snapshotter": "github.com/kubernetes-csi/external-snapshotter/v8",
}
"""The Go module of each sidecar, whose pin is the tag of its image."""

BUSYBOX_PACKAGE = "busybox-static"
_SECONDS = 300.0


def sidecar_image(name: str) -> str:
    """The image of a sidecar, at the version that is pinned."""
    return f"{SIDECAR_REGISTRY}/{name}:{pins()[SIDECARS[name]]}"


def archives(programs: Path) -> list[Path]:
    """The archives of all images, made first where they are missing; they are kept with the programs."""
    home = programs / "images"
    home.mkdir(exist_ok=True)
    pause = home / "pause.tar"
    if not pause.exists():
        images.write(pause, PAUSE_IMAGE, {"/pause": programs / "pause"}, ["/pause"])
    test = home / "busybox.tar"
    if not test.exists():
        _write_test_image(test)
    qemu = home / "qemu.tar"
    if not qemu.exists():
        busybox = ensure_debian_program(BUSYBOX_PACKAGE, "bin/busybox")
        inside = {"/bin/busybox": busybox} | guest_image.files()
        images.write(qemu, guest_image.QEMU_IMAGE, inside, ["/bin/sh"], applets(busybox))
    found = [pause, test, qemu]
    for name in SIDECARS:
        image = sidecar_image(name)
        sidecar = home / f"{image.replace('/', '_').replace(':', '_')}.tar"
        if not sidecar.exists():
            images.write(sidecar, image, {f"/{name}": programs / name}, [f"/{name}"])
        found.append(sidecar)
    return found


def _write_test_image(path: Path) -> None:
    busybox = ensure_debian_program(BUSYBOX_PACKAGE, "bin/busybox")
    images.write(path, TEST_IMAGE, {"/bin/busybox": busybox}, ["/bin/sh"], applets(busybox))


def applets(busybox: Path) -> dict[str, str]:
    """The links by which busybox goes by the names of its commands."""
    listed = subprocess.run((str(busybox), "--list"), capture_output=True, text=True, check=True, timeout=20).stdout
    return {f"/bin/{name}": "busybox" for name in listed.split() if name != "busybox"}


def ensure_debian_program(package: str, inside: str) -> Path:
    """A program out of a Debian package, which is fetched once and not installed. Raises CalledProcessError."""
    kept = cache() / "debian" / package / Path(inside).name
    if kept.exists():
        return kept
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent) as scratch:
        work = Path(scratch)
        fetch = ("apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", package)
        subprocess.run(fetch, cwd=work, check=True, timeout=_SECONDS)
        (archive,) = work.glob("*.deb")
        subprocess.run(("dpkg-deb", "--extract", archive.name, "tree"), cwd=work, check=True, timeout=_SECONDS)
        unfinished = kept.with_name(f".{kept.name}.{os.getpid()}")
        shutil.copy2(work / "tree" / inside, unfinished)
        unfinished.rename(kept)
    return kept
