"""Builds the programs of the cluster with Go, once for each set of pins; they are kept outside the checkout.

What is built, and at which version, is in tests/e2e/build/*/go.mod. Two modules: one for everything, as separate ones
would share little of what is compiled, and runc, which needs cgo and libseccomp.
"""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from cluster.places import BUILD, ROOT, cache

CLUSTER = BUILD / "cluster"
RUNC = BUILD / "runc"
LEAST_GO = 26
SECONDS = 3600.0

KUBERNETES = ("etcd", "kubectl", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet")
"""All in the one file `kube`, which goes by the name that it is called by."""

UPSTREAM = "e2e.test"
_CRDS = "github.com/kubernetes-csi/external-snapshotter/client/v8"
_VERSION = "k8s.io/component-base/version"
_NOT_EVERY_TIME = ("k8s.io/kubernetes/test/images/agnhost",)
_KEEP_SECONDS = 14 * 24 * 3600.0
_RECIPE = "1"
"""Change it when something below changes what is built."""


class BuildFailed(Exception):
    """Go is missing, or said no; its last lines are in the message."""


def pins() -> dict[str, str]:
    """The version of each module that a go.mod of ours names, by module path."""
    found: dict[str, str] = {}
    for module in (CLUSTER, RUNC):
        for path, version in re.findall(r"^\s*(?:require )?(\S+/\S+) (v\S+)", (module / "go.mod").read_text(), re.M):
            found.setdefault(path, version)
    return found


def find_go() -> Path:
    """The Go that deploy/setup chose, else one on PATH. Raises BuildFailed."""
    chosen = ROOT / ".venv" / ".done" / "go"
    candidates = [chosen.read_text().strip()] if chosen.is_file() else []
    candidates += [found for name in ("go", "/usr/local/go/bin/go") if (found := shutil.which(name))]
    for candidate in candidates:
        text = subprocess.run((candidate, "version"), capture_output=True, text=True, check=False, cwd="/").stdout
        version = re.search(r"go1\.(\d+)", text)
        if version and int(version[1]) >= LEAST_GO:
            return Path(candidate)
    raise BuildFailed(f"Go 1.{LEAST_GO} or newer is needed; make setup says how to get it")


def programs() -> Path:
    """The directory of the built programs, built first where it is missing. Raises BuildFailed."""
    go = find_go()
    home = cache() / f"programs-{_key(go)}"
    with _locked(cache()):
        if not (home / "complete").exists():
            shutil.rmtree(home, ignore_errors=True)
            home.mkdir(parents=True)
            _build(go, home)
            (home / "complete").touch()
        os.utime(home / "complete")
        _forget_others(home)
    return home


def build_optional(name: str) -> Path:
    """Build a program that not every run needs (`e2e.test` or `agnhost`), once. Raises BuildFailed."""
    home = programs()
    with _locked(cache()):
        if not (home / name).exists():
            _tell(f"building {name}")
            if name == UPSTREAM:
                _go(find_go(), CLUSTER, "test", "-c", *_flags(), "-o", str(home / f".{name}"), "./upstream")
            else:
                _go(find_go(), CLUSTER, "build", *_flags(), "-o", str(home / f".{name}"), *_NOT_EVERY_TIME)
            (home / f".{name}").rename(home / name)
    return home / name


def _key(go: Path) -> str:
    version = subprocess.run((str(go), "version"), capture_output=True, check=True, cwd="/").stdout
    digest = hashlib.sha256(_RECIPE.encode() + version)
    for module in (CLUSTER, RUNC):
        for path in sorted(module.rglob("*")):
            if path.is_file():
                digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _build(go: Path, home: Path) -> None:
    began = time.monotonic()
    _tell("building Kubernetes, containerd, runc and the CSI sidecars, once (about five minutes on two cores)")
    packages = [one for one in _tools(go) if one not in _NOT_EVERY_TIME]
    _go(go, CLUSTER, "build", *_flags(), "-o", f"{home}/", ".", "./pause", *packages)
    (home / "cluster").rename(home / "kube")
    for name in KUBERNETES:
        (home / name).symlink_to("kube")
    runc = pins()["github.com/opencontainers/runc"].removeprefix("v")
    link = ("-trimpath", "-tags", "seccomp", "-ldflags", f"-s -w -X main.version={runc}")
    _go(go, RUNC, "build", *link, "-o", str(home / "runc"), "github.com/opencontainers/runc", cgo=True)
    _copy_crds(go, home / "crds")
    _tell(f"built in {time.monotonic() - began:.0f} s")


def _tools(go: Path) -> list[str]:
    return _go(go, CLUSTER, "list", "tool").split()


def _flags() -> tuple[str, ...]:
    found = pins()
    kubernetes = found["k8s.io/kubernetes"]
    major, minor = kubernetes.removeprefix("v").split(".")[:2]
    values = {
        f"{_VERSION}.gitVersion": kubernetes,
        f"{_VERSION}.gitMajor": major,
        f"{_VERSION}.gitMinor": minor,
        f"{_VERSION}.gitTreeState": "clean",
        f"{_VERSION}.buildDate": "1970-01-01T00:00:00Z",
        "github.com/containerd/containerd/v2/version.Version": found["github.com/containerd/containerd/v2"],
        "main.version": "e2e",
    }
    link = " ".join(["-s -w", *(f"-X {name}={value}" for name, value in values.items())])
    return ("-trimpath", "-tags", "no_btrfs no_zfs no_devmapper", "-ldflags", link)


def _copy_crds(go: Path, target: Path) -> None:
    """The snapshot CRDs; the snapshot controller waits until those of group snapshots are there too."""
    source = Path(_go(go, CLUSTER, "list", "-m", "-f", "{{.Dir}}", _CRDS).strip(), "config", "crd")
    target.mkdir()
    for path in source.glob("*.storage.k8s.io_*.yaml"):
        (target / path.name).write_bytes(path.read_bytes())


def _go(go: Path, module: Path, *arguments: str, cgo: bool = False) -> str:
    environment = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly -buildvcs=false"}
    environment["CGO_ENABLED"] = "1" if cgo else "0"
    command = (str(go), *arguments)
    done = subprocess.run(
        command, cwd=module, env=environment, capture_output=True, text=True, check=False, timeout=SECONDS
    )
    if done.returncode != 0:
        needs = "\n(runc needs gcc, pkg-config and libseccomp-dev)" if cgo else ""
        raise BuildFailed(f"{' '.join(command[:3])} in {module}:\n{done.stderr[-3000:]}{needs}")
    return done.stdout


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _forget_others(home: Path) -> None:
    """Remove what other pins made and nobody has used for a while."""
    for other in home.parent.glob("programs-*"):
        mark = other / "complete"
        used = mark.stat().st_mtime if mark.exists() else other.stat().st_mtime
        if other != home and time.time() - used > _KEEP_SECONDS:
            shutil.rmtree(other, ignore_errors=True)


def _tell(text: str) -> None:
    print(f"e2e: {text}", flush=True)
