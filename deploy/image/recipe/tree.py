"""What is in the tree beside packages and wheels, its check by the loader, and its bytecode.

Programs of the tree are run where they lie, through the tree's own loader, without root and without entering it.
"""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from recipe.debian import RecipeFailed

USER_ID = 65532
"""Who the controller runs as; also the group that shares the CSI socket."""

_FILES = {
    "etc/passwd": "root:x:0:0:root:/nonexistent:/usr/sbin/nologin\n"
    f"rdscsi:x:{USER_ID}:{USER_ID}:rdscsi:/nonexistent:/usr/sbin/nologin\n",
    "etc/group": f"root:x:0:\ndisk:x:6:\nrdscsi:x:{USER_ID}:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
_LDCONFIG = """\
#!/usr/bin/python{python} -IS
# What `ldconfig -p` prints, which ctypes.util.find_library reads (pyudev finds libudev by it). The image has no cache.
import os
import pathlib

machine = os.uname().machine
abi = "libc6,x86-64" if machine == "x86_64" else "libc6"
for path in sorted((pathlib.Path(__file__).parents[1] / "lib" / f"{{machine}}-linux-gnu").glob("lib*.so*")):
    print(f"\\t{{path.name}} ({{abi}}) => {{path}}")
"""
_DIRECTORIES = ("dev", "proc", "sys", "run", "tmp", "var/lib/rdscsi", "csi", "root", "mnt")
_ELF = b"\x7fELF"
_SECONDS = 300.0


def complete(root: Path, python: str) -> None:
    """Add accounts, empty directories and a stand-in for ldconfig."""
    for name in _DIRECTORIES:
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "tmp").chmod(0o1777)
    for name, content in _FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    ldconfig = root / "usr/sbin/ldconfig"
    ldconfig.parent.mkdir(parents=True, exist_ok=True)
    ldconfig.write_text(_LDCONFIG.format(python=python))
    ldconfig.chmod(0o755)


def check_libraries(root: Path) -> None:
    """Raise RecipeFailed when a program or library of the tree needs a library that is not in the tree."""
    lacking = []
    for path in sorted(root.rglob("*")):
        if path.is_symlink() or not path.is_file() or not _is_elf(path) or "ld-linux" in path.name:
            continue
        command = (*_loader(root), "--list", str(path))
        done = subprocess.run(command, capture_output=True, text=True, check=False, env={}, timeout=_SECONDS)
        bad = [line for line in done.stdout.splitlines() if _is_lacking(line, root)]
        if bad or (done.returncode != 0 and "statically linked" not in done.stdout + done.stderr):
            why = "; ".join(line.strip() for line in bad) or done.stderr.strip()
            lacking.append(f"/{path.relative_to(root)}: {why}")
    if lacking:
        raise RecipeFailed("libraries are missing:\n" + "\n".join(lacking))


def compile_bytecode(interpreter: Path, root: Path, python: str, directory: str) -> None:
    """Compile what lies in a directory of `root`, by the Python of the tree `interpreter`.

    The files carry no times and are never checked against their source. Raises RecipeFailed with what does not compile.
    """
    flags = ("-q", "-f", "--invalidation-mode", "unchecked-hash", "-s", str(root), "-p", "/")
    _run_python(interpreter, python, (), "-m", "compileall", *flags, str(root / directory))


def check_imports(interpreter: Path, python: str, places: Sequence[Path], modules: Sequence[str]) -> None:
    """Raise RecipeFailed when a module cannot be imported by the tree's Python with these places on its path."""
    _run_python(interpreter, python, places, "-c", f"import {', '.join(modules)}")


def _run_python(root: Path, python: str, places: Sequence[Path], *arguments: str) -> None:
    """Run the tree's Python outside of it."""
    command = (*_loader(root), str(root / "usr/bin" / f"python{python}"), "-S", *arguments)
    environment = {
        "PYTHONHOME": str(root / "usr"),
        "PYTHONPATH": ":".join(map(str, places)),
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",  # what a compiler itself imports would carry times
        "LC_ALL": "C.UTF-8",
    }
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, timeout=_SECONDS, cwd="/"
    )
    if done.returncode != 0:
        raise RecipeFailed(f"{' '.join(arguments[:2])}: {done.stdout[-2000:]}{done.stderr[-2000:]}")


def _is_lacking(line: str, root: Path) -> bool:
    """Whether the loader found a library nowhere, or only on the machine that builds."""
    return "not found" in line or (" => /" in line and str(root) not in line)


def _loader(root: Path) -> tuple[str, ...]:
    machine = os.uname().machine
    loader = {"x86_64": "lib64/ld-linux-x86-64.so.2", "aarch64": "lib/ld-linux-aarch64.so.1"}[machine]
    libraries = [root / "usr/lib" / f"{machine}-linux-gnu", root / "usr/lib"]
    return (str(_real(root, loader)), "--library-path", ":".join(map(str, libraries)))


def _real(root: Path, path: str) -> Path:
    """A path of the tree with its links followed inside the tree."""
    found = root / path
    for _ in range(8):
        if not found.is_symlink():
            break
        target = os.readlink(found)
        found = root / target.lstrip("/") if target.startswith("/") else found.parent / target
    return found


def _is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == _ELF
