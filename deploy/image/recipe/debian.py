"""Debian packages: fetched by apt as the machine is configured for it, and taken apart into a tree.

No package is installed and no script of one is run. Programs are taken by name (`packages.toml`), libraries always.
"""

import fnmatch
import hashlib
import os
import subprocess
import tarfile
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SECONDS = 600.0
_PROGRAM_PLACES = ("bin/", "sbin/", "usr/bin/", "usr/sbin/")
_MOVED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
"""Directories that are links into /usr in the image, as on every Debian since 12."""

_APT = """\
Dir::State "{work}/state";
Dir::State::status "{work}/status";
Dir::Cache "{work}/cache";
APT::Sandbox::User "";
Acquire::Languages "none";
"""


class RecipeFailed(Exception):
    """A package, wheel or program is not as it has to be; the message names it."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What packages.toml says."""

    suite: str
    python: str
    leave_out: tuple[str, ...]
    programs: Mapping[str, tuple[str, ...]]

    @classmethod
    def read(cls, path: Path) -> "Recipe":
        found = tomllib.loads(path.read_text())
        programs = {name: tuple(listed) for name, listed in found["programs"].items()}
        return cls(found["suite"], found["python"], tuple(found["leave_out"]), programs)


@dataclass(frozen=True, slots=True)
class Package:
    """A fetched package: its control fields, and its file's SHA-256."""

    archive: Path
    control: Mapping[str, str]
    control_text: str
    sha256: str

    @property
    def name(self) -> str:
        return self.control["Package"]


def fetch(names: Iterable[str], work: Path) -> list[Package]:
    """Fetch the newest version of each package, by the machine's own apt sources. Raises RecipeFailed."""
    for directory in ("state/lists/partial", "cache/archives/partial", "archives"):
        (work / directory).mkdir(parents=True, exist_ok=True)
    (work / "status").touch()
    (work / "apt.conf").write_text(_APT.format(work=work))
    environment = {**os.environ, "APT_CONFIG": str(work / "apt.conf")}
    _run(("apt-get", "-qq", "update"), work, environment)
    _run(("apt-get", "-qq", "download", *sorted(names)), work / "archives", environment)
    return [_package(path) for path in sorted((work / "archives").glob("*.deb"))]


def _run(command: Sequence[str], directory: Path, environment: Mapping[str, str]) -> None:
    done = subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, check=False, timeout=SECONDS
    )
    if done.returncode != 0:
        raise RecipeFailed(f"{' '.join(command[:3])}: {done.stderr.strip()[-2000:]}")


def _package(archive: Path) -> Package:
    command = ("dpkg-deb", "--field", str(archive))
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=SECONDS).stdout
    control: dict[str, str] = {}
    for line in text.splitlines():
        name, separator, value = line.partition(": ")
        if separator and not line.startswith(" "):
            control[name] = value
    return Package(archive, control, text, hashlib.sha256(archive.read_bytes()).hexdigest())


def unpack(package: Package, recipe: Recipe, root: Path) -> None:
    """Take what is wanted of a package into the tree. Raises RecipeFailed when a listed program is not in it."""
    wanted = set(recipe.programs[package.name])
    with (
        subprocess.Popen(("dpkg-deb", "--fsys-tarfile", str(package.archive)), stdout=subprocess.PIPE) as process,
        tarfile.open(fileobj=process.stdout, mode="r|") as archive,
    ):
        for member in archive:
            path = member.name.removeprefix("./").rstrip("/")
            if _taken(path, package.name, wanted, recipe):
                _extract(archive, member, root, path)
                wanted.discard(path.rsplit("/", 1)[-1])
    if process.returncode != 0 or wanted:
        raise RecipeFailed(f"{package.archive.name}: cannot be read, or lacks {', '.join(sorted(wanted))}")
    note = root / "var/lib/dpkg/status.d" / package.name  # where scanners look in images without dpkg
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text(package.control_text)


def _taken(path: str, package: str, programs: set[str], recipe: Recipe) -> bool:
    if path == f"usr/share/doc/{package}/copyright":
        return True
    place = next((place for place in _PROGRAM_PLACES if path.startswith(place)), None)
    if place:
        return path.removeprefix(place) in programs
    parts = path.split("/")
    upward = ["/".join(parts[: depth + 1]) for depth in range(len(parts))]
    return bool(path) and not any(fnmatch.fnmatchcase(one, left) for one in upward for left in recipe.leave_out)


def _settled(path: str) -> str:
    return f"usr/{path}" if path.split("/")[0] in _MOVED else path


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo, root: Path, path: str) -> None:
    """Write one member. Owners and setuid bits are dropped; a link to an absolute path stays as it is."""
    target = root / _settled(path)
    if member.isdir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    if member.issym():
        target.symlink_to(member.linkname)
    elif member.islnk():
        os.link(root / _settled(member.linkname.removeprefix("./")), target)
    elif member.isfile():
        content = archive.extractfile(member)
        assert content is not None  # a regular file has content
        target.write_bytes(content.read())
        target.chmod(member.mode & 0o777)


def link_moved(root: Path) -> None:
    """Make the links from the old places into /usr."""
    for name in _MOVED[:4]:
        (root / "usr" / name).mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to(f"usr/{name}")
    (root / "usr" / "lib64").mkdir(exist_ok=True)
    if not (root / "lib64").is_symlink():
        (root / "lib64").symlink_to("usr/lib64")
