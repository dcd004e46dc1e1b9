"""Builds the image: `make image`, and the E2E suite.

    .venv/bin/python deploy/image/build.py [--name NAME:TAG] [--output FILE] [--cached]

Writes an OCI archive (ctr images import, docker load, podman load, skopeo copy oci-archive:…) and its bill of materials
beside it. Needs apt-get and dpkg-deb (a Debian, or a container of one), no root, no container engine, no base image.
Three layers, so that a new version of the driver moves the smallest alone: Debian, wheels, driver. `--cached` takes the
first two from the last build of the same recipe and lock file; without it Debian's newest packages are taken.
"""

import argparse
import hashlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from recipe import archive, debian, sbom, tree, wheels
from recipe.archive import Layer
from recipe.debian import Recipe, RecipeFailed

ROOT = Path(__file__).resolve().parents[2]
HERE = ROOT / "deploy" / "image"
LOCK = ROOT / "deploy" / "requirements" / "run.txt"
NAME = "rdscsi:dev"
SBOM = "usr/share/sbom/rdscsi.spdx.json"
SERVED = ("rdscsi.cli.main", "rdscsi.app", "rdscsi.controller.opening", "rdscsi.node.node", "rdscsi.registration")
"""What both halves import in the end; all of it must be in the image."""
LARGEST = 150_000_000
_KEEP = 2


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Build the image of rdscsi.")
    parser.add_argument("--name", default=NAME, help="name and tag, default %(default)s")
    parser.add_argument("--output", type=Path, default=ROOT / "artefacts" / "rdscsi-image.tar", metavar="FILE")
    parser.add_argument("--cached", action="store_true", help="take Debian's part and the wheels from the last build")
    chosen = parser.parse_args(arguments)
    began = time.monotonic()
    try:
        digest, size = build(chosen.name, chosen.output, cached=chosen.cached)
    except RecipeFailed as error:
        print(f"image: {error}", file=sys.stderr)
        return 1
    print(f"image: {chosen.name} {digest}")
    print(f"image: {chosen.output}: {size / 1e6:.1f} MB in {time.monotonic() - began:.1f} s")
    return 0


def build(name: str, output: Path, *, cached: bool) -> tuple[str, int]:
    """Build the image; its digest and the sum of its compressed layers. Raises RecipeFailed."""
    recipe = Recipe.read(HERE / "packages.toml")
    home = cache()
    home.mkdir(parents=True, exist_ok=True)
    ground = find_ground(home, recipe) if cached else None
    ground = ground or make_ground(home, recipe)
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home) as scratch:
        work = Path(scratch)
        driver = make_driver_layer(work, ground, recipe, name)
        layers = [archive.read_layer(ground / "debian.tgz"), archive.read_layer(ground / "wheels.tgz"), driver]
        size = sum(layer.size for layer in layers)
        if size > LARGEST:
            raise RecipeFailed(f"{size} bytes compressed; {LARGEST} at most")
        digest = archive.write_archive(output, name, layers, config(recipe))
        shutil.copyfile(work / "driver" / SBOM, output.with_suffix(".spdx.json"))
    return digest, size


def config(recipe: Recipe) -> dict[str, object]:
    """How a container of the image starts: as a user without rights; the node half is given root by its manifest."""
    return {
        "User": f"{tree.USER_ID}:{tree.USER_ID}",
        "Entrypoint": ["/usr/bin/rdscsi"],
        "WorkingDir": "/",
        "Env": [
            "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG=C.UTF-8",
            "PYTHONDONTWRITEBYTECODE=1",
            "PYTHONUNBUFFERED=1",
        ],
        "Labels": {
            "org.opencontainers.image.title": "rdscsi",
            "org.opencontainers.image.licenses": "Apache-2.0",
            "org.opencontainers.image.base.name": f"debian:{recipe.suite}",
        },
    }


def cache() -> Path:
    """Where layers are kept between builds, beside what deploy/setup keeps."""
    home = os.environ.get("XDG_CACHE_HOME") or Path(os.environ.get("HOME") or tempfile.gettempdir(), ".cache")
    return Path(os.environ.get("RDSCSI_CACHE") or Path(home, "rdscsi")).absolute() / "image"


def find_ground(home: Path, recipe: Recipe) -> Path | None:
    """The tree and the layers of Debian and the wheels, when a build of the same recipe left them."""
    found = home / f"ground-{ground_key()}"
    return found if (found / "complete").exists() else None


def ground_key() -> str:
    """What Debian's part and the wheels depend on, but for Debian's own updates."""
    digest = hashlib.sha256(sys.version.encode())
    for path in (HERE / "packages.toml", LOCK, *sorted((HERE / "recipe").glob("*.py"))):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def make_ground(home: Path, recipe: Recipe) -> Path:
    """Make the layers of Debian and of the wheels, and keep them with the tree that they hold."""
    with tempfile.TemporaryDirectory(dir=home) as scratch:
        work = Path(scratch)
        root = work / "root"
        root.mkdir()
        packages = debian.fetch(recipe.programs, work / "apt")
        debian.link_moved(root)
        for package in packages:
            debian.unpack(package, recipe, root)
        tree.complete(root, recipe.python)
        tree.compile_bytecode(root, root, recipe.python, f"usr/lib/python{recipe.python}")
        names = archive.write_layer(root, work / "debian.tgz")
        wheelhouse = home.parent / "wheels" / f"cp{recipe.python.replace('.', '')}-{os.uname().machine}"
        wheels.install_locked(LOCK, wheelhouse, root, recipe.python)
        tree.compile_bytecode(root, root, recipe.python, wheels.PLACE.format(recipe.python))
        tree.check_libraries(root)
        archive.write_layer(root, work / "wheels.tgz", without=names)
        sbom.write(work / "sbom.json", NAME, packages, root / wheels.PLACE.format(recipe.python), LOCK)
        shutil.rmtree(work / "apt")
        (work / "complete").touch()
        kept = home / f"ground-{ground_key()}"
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(work, kept, symlinks=True)
    for old in sorted(home.glob("ground-*"), key=lambda one: one.stat().st_mtime)[:-_KEEP]:
        shutil.rmtree(old, ignore_errors=True)
    return kept


def make_driver_layer(work: Path, ground: Path, recipe: Recipe, name: str) -> Layer:
    """Make the layer of the driver itself, on top of a tree that stays as it is."""
    root = work / "driver"
    root.mkdir()
    wheels.install_driver(ROOT, work, root, recipe.python)
    tree.compile_bytecode(ground / "root", root, recipe.python, wheels.PLACE.format(recipe.python))
    places = [root / wheels.PLACE.format(recipe.python), ground / "root" / wheels.PLACE.format(recipe.python)]
    tree.check_imports(ground / "root", recipe.python, places, SERVED)
    (root / SBOM).parent.mkdir(parents=True)
    (root / SBOM).write_text((ground / "sbom.json").read_text().replace(f'"{NAME}"', f'"{name}"'))
    archive.write_layer(root, work / "driver.tgz")
    return archive.read_layer(work / "driver.tgz")


if __name__ == "__main__":
    sys.exit(main())
