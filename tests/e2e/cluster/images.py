"""Writes OCI images of a few files, and loads images into a node. No registry and no base image takes part."""

import hashlib
import io
import json
import os
import subprocess
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from cluster.node import PROGRAMS_INSIDE, Node
from cluster.programs_in import command

_TYPE = "application/vnd.oci.image."
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
LOAD_SECONDS = 300.0


def write(
    path: Path, name: str, files: Mapping[str, Path], entrypoint: Sequence[str], links: Mapping[str, str] | None = None
) -> None:
    """Write an image of one layer: `files` by their path inside, `links` as symbolic links by theirs.

    The layer is not compressed: it never leaves this machine.
    """
    layer = _layer(files, links or {})
    config = {
        "architecture": _MACHINES[os.uname().machine],
        "os": "linux",
        "config": {"Entrypoint": list(entrypoint), "Env": ["PATH=/bin:/usr/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
    }
    blobs = [layer, json.dumps(config).encode()]
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{_TYPE}manifest.v1+json",
        "config": _descriptor(f"{_TYPE}config.v1+json", blobs[1]),
        "layers": [_descriptor(f"{_TYPE}layer.v1.tar", blobs[0])],
    }
    blobs.append(json.dumps(manifest).encode())
    index = _descriptor(f"{_TYPE}manifest.v1+json", blobs[2]) | {"annotations": {"io.containerd.image.name": name}}
    content = {f"blobs/{_digest(blob).replace(':', '/')}": blob for blob in blobs}
    content["oci-layout"] = b'{"imageLayoutVersion": "1.0.0"}'
    content["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [index]}).encode()
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    with tarfile.open(unfinished, "w") as archive:
        for inside, blob in content.items():
            _add(archive, inside, tarfile.REGTYPE, 0o644, blob)
    unfinished.rename(path)


def load(node: Node, archives: Iterable[Path]) -> None:
    """Bring images into a node's containerd, for kubelet. Raises CalledProcessError with what ctr said."""
    for archive in archives:
        ctr = (f"{PROGRAMS_INSIDE}/ctr", "--address=/run/containerd/containerd.sock", "--namespace=k8s.io")
        line = command(node.inside, *ctr, "images", "import", "--local", "-")
        with archive.open("rb") as content:
            done = subprocess.run(
                line, stdin=content, capture_output=True, text=True, timeout=LOAD_SECONDS, check=False
            )
        if done.returncode != 0:
            raise RuntimeError(f"{node.name}: {archive.name} could not be loaded: {done.stderr[-1000:]}")


def _layer(files: Mapping[str, Path], links: Mapping[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("bin", "etc", "proc", "sys", "dev", "run", "tmp", "root"):
            _add(archive, name, tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755)
        _add(archive, "etc/passwd", tarfile.REGTYPE, 0o644, b"root:x:0:0:root:/root:/bin/sh\n")
        for name, source in files.items():
            _add(archive, name.lstrip("/"), tarfile.REGTYPE, 0o755, source.read_bytes())
        for name, target in links.items():
            _add(archive, name.lstrip("/"), tarfile.SYMTYPE, 0o777, link=target)
    return buffer.getvalue()


def _add(archive: tarfile.TarFile, name: str, kind: bytes, mode: int, content: bytes = b"", link: str = "") -> None:
    member = tarfile.TarInfo(name)
    member.type, member.mode, member.size, member.linkname = kind, mode, len(content), link
    archive.addfile(member, io.BytesIO(content))


def _descriptor(media_type: str, blob: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "digest": _digest(blob), "size": len(blob)}


def _digest(blob: bytes) -> str:
    return "sha256:" + hashlib.sha256(blob).hexdigest()
