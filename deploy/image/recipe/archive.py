"""Layers and the OCI archive. The same content gives the same bytes: sorted, owned by root, no times."""

import gzip
import hashlib
import io
import json
import os
import stat
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_TYPE = "application/vnd.oci.image."
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
_LEVEL = 9


@dataclass(frozen=True, slots=True)
class Layer:
    """A compressed layer: its file, the digest and size of that, and the digest of the tar inside."""

    path: Path
    digest: str
    size: int
    diff_id: str


def write_layer(root: Path, path: Path, without: frozenset[str] = frozenset()) -> frozenset[str]:
    """Write what is in the tree, but for the names in `without`; returns all names in the tree. Atomic."""
    buffer = io.BytesIO()
    names = sorted(str(one.relative_to(root)) for one in root.rglob("*"))
    inodes: dict[tuple[int, int], str] = {}
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in names:
            if name in without:
                continue
            _add(archive, root / name, name, inodes)
    content = buffer.getvalue()
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_bytes(gzip.compress(content, _LEVEL, mtime=0))
    unfinished.rename(path)
    path.with_suffix(".diff").write_text(_sha256(content))
    return frozenset(names)


def _add(archive: tarfile.TarFile, path: Path, name: str, inodes: dict[tuple[int, int], str]) -> None:
    found = path.lstat()
    member = tarfile.TarInfo(name)
    member.mode = stat.S_IMODE(found.st_mode) & 0o1777
    if stat.S_ISLNK(found.st_mode):
        member.type, member.linkname, member.mode = tarfile.SYMTYPE, os.readlink(path), 0o777
        archive.addfile(member)
    elif stat.S_ISDIR(found.st_mode):
        member.type = tarfile.DIRTYPE
        member.mode = 0o1777 if member.mode & stat.S_ISVTX else 0o755
        archive.addfile(member)
    elif first := inodes.get((found.st_dev, found.st_ino)):
        member.type, member.linkname = tarfile.LNKTYPE, first
        archive.addfile(member)
    else:
        member.mode = 0o755 if member.mode & stat.S_IXUSR else 0o644
        member.size = found.st_size
        inodes[(found.st_dev, found.st_ino)] = name
        with path.open("rb") as content:
            archive.addfile(member, content)


def read_layer(path: Path) -> Layer:
    """Describe a layer that was written before."""
    content = path.read_bytes()
    return Layer(path, _sha256(content), len(content), path.with_suffix(".diff").read_text())


def write_archive(path: Path, name: str, layers: Sequence[Layer], config: Mapping[str, object]) -> str:
    """Write the OCI archive (which docker load reads as well); the digest of its manifest. Atomic."""
    document = {
        "architecture": _MACHINES[os.uname().machine],
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
        "history": [{"created_by": f"deploy/image: {layer.path.name.split('-')[0]}"} for layer in layers],
    }
    config_blob = _json(document)
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": f"{_TYPE}manifest.v1+json",
            "config": _descriptor(f"{_TYPE}config.v1+json", _sha256(config_blob), len(config_blob)),
            "layers": [_descriptor(f"{_TYPE}layer.v1.tar+gzip", layer.digest, layer.size) for layer in layers],
        }
    )
    digest = _sha256(manifest)
    tag = name.rpartition(":")[2]
    marks = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": tag}
    index = _descriptor(f"{_TYPE}manifest.v1+json", digest, len(manifest)) | {"annotations": marks}
    docker = {
        "Config": _blob(_sha256(config_blob)),
        "RepoTags": [name],
        "Layers": [_blob(one.digest) for one in layers],
    }
    small = {
        "oci-layout": _json({"imageLayoutVersion": "1.0.0"}),
        "index.json": _json({"schemaVersion": 2, "manifests": [index]}),
        "manifest.json": _json([docker]),
        _blob(digest): manifest,
        _blob(_sha256(config_blob)): config_blob,
    }
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    with tarfile.open(unfinished, "w") as archive:
        for inside, blob in small.items():
            _put(archive, inside, blob)
        for layer in layers:
            _put(archive, _blob(layer.digest), layer.path.read_bytes())
    unfinished.rename(path)
    return digest


def _put(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), 0o644
    archive.addfile(member, io.BytesIO(content))


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _descriptor(media_type: str, digest: str, size: int) -> dict[str, object]:
    return {"mediaType": media_type, "digest": digest, "size": size}


def _json(document: object) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _sha256(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()
