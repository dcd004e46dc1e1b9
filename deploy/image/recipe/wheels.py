"""The locked wheels, for the image's Python whatever Python builds it, and the driver's own wheel."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from recipe.debian import RecipeFailed

PLACE = "usr/local/lib/python{}/dist-packages"
_GLIBC = (17, 24, 26, 27, 28, 31, 34, 35, 36)
_SECONDS = 900.0

_ENTRY = """\
#!/usr/bin/python{} -I
import sys

from rdscsi.cli import main

sys.exit(main())
"""


def install_locked(lock: Path, wheelhouse: Path, root: Path, python: str) -> None:
    """Unpack exactly what the lock file pins, from the wheelhouse, fetching what is not there. Raises RecipeFailed."""
    wheelhouse.mkdir(parents=True, exist_ok=True)
    target = root / PLACE.format(python)
    target.mkdir(parents=True, exist_ok=True)
    strict = ("--require-hashes", "--no-deps", "--only-binary", ":all:", *_platform(python))
    local = ("install", "--no-index", "--find-links", str(wheelhouse), *strict, "--target", str(target), "--no-compile")
    try:
        _pip(*local, "-r", str(lock))
    except RecipeFailed:
        shutil.rmtree(target)
        target.mkdir()
        _pip("download", *strict, "-d", str(wheelhouse), "-r", str(lock))
        _pip(*local, "-r", str(lock))
    shutil.rmtree(target / "bin", ignore_errors=True)


def install_driver(checkout: Path, work: Path, root: Path, python: str) -> None:
    """Build the driver's wheel from the checkout and unpack it; `rdscsi` is its command. Raises RecipeFailed."""
    _pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(work), str(checkout))
    (wheel,) = work.glob("rdscsi-*.whl")
    target = root / PLACE.format(python)
    target.mkdir(parents=True, exist_ok=True)
    _pip("install", "--no-index", "--no-deps", *_platform(python), "--target", str(target), "--no-compile", str(wheel))
    shutil.rmtree(target / "bin", ignore_errors=True)
    for name in ("direct_url.json", "RECORD", "REQUESTED"):  # for pip, which the image has not; they name this build
        for note in target.glob(f"*.dist-info/{name}"):
            note.unlink()
    command = root / "usr/bin/rdscsi"
    command.parent.mkdir(parents=True, exist_ok=True)
    command.write_text(_ENTRY.format(python))
    command.chmod(0o755)


def _platform(python: str) -> tuple[str, ...]:
    machine = os.uname().machine
    tags = [f"manylinux_2_{minor}_{machine}" for minor in _GLIBC] + [
        f"manylinux2014_{machine}",
        f"linux_{machine}",
        "any",
    ]
    flags = ["--only-binary", ":all:", "--implementation", "cp", "--python-version", python]
    return (*flags, *(part for tag in tags for part in ("--platform", tag)))


def _pip(*arguments: str) -> None:
    command: Sequence[str] = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments)
    environment = {
        **os.environ,
        "PIP_NO_INPUT": "1",
        "PIP_ROOT_USER_ACTION": "ignore",
        "SOURCE_DATE_EPOCH": "315532800",
    }
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=_SECONDS)
    if done.returncode != 0:
        raise RecipeFailed(f"pip {arguments[0]}: {done.stderr.strip()[-2000:]}")
