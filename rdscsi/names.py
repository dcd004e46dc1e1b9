"""The names that live for ever: slots, volume ids, paths, NQNs, node ids. Pure and total; see docs/adr/0001.

A PersistentVolume keeps these for years, so nothing here may change for an existing object. What is written into
comments on the appliance (owner tags, the marker) lives in `rdscsi.tags`.
"""

import base64
import hashlib
import ipaddress
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from rdscsi.model import Portal, PublishContext

DRIVER_NAME = "csi.rdscsi.io"
NQN_PREFIX = "nqn.2026-11.io.rdscsi"

KIND_VOLUME = "v"
KIND_SNAPSHOT = "s"
KIND_MARKER = "m"

SLOT_MAX_BYTES = 32  # RouterOS 7.24.4 takes no longer slot
OPERATION_ID_LENGTH = 13  # 65 bits of base32, 64 of them random
EPOCH_LENGTH = 16  # 80 random bits

_BASE32 = "a-z2-7"
_SLOT = re.compile(rf"[a-z][{_BASE32}]{{6}}-[{_BASE32}]{{24}}")
_BACKEND = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,30}[a-z0-9])?")
_OPERATION_ID = re.compile(rf"[{_BASE32}]{{{OPERATION_ID_LENGTH}}}")
_SUBNQN = re.compile(rf"{re.escape(NQN_PREFIX)}:(?P<slot>{_SLOT.pattern}):(?P<epoch>[{_BASE32}]{{{EPOCH_LENGTH}}})")
_NODE_NAME = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9._]{0,117}[A-Za-z0-9])?")
# An IPv6 address with a port stands in brackets; no zone (`%eth0`), which means something on one machine only.
_PORTAL = re.compile(
    r"\[(?P<bracketed>[0-9a-f:.]+)\](?::(?P<bracketed_port>[0-9]{1,5}))?"
    r"|(?P<host>[0-9.]+):(?P<port>[0-9]{1,5})|(?P<bare>[0-9a-f:.]+)",
    re.ASCII | re.IGNORECASE,
)
_BACKING = re.compile(rf"(?P<slot>{_SLOT.pattern})\.(?P<operation>{_OPERATION_ID.pattern})(?:\.img)?")
_SNAPSHOT = re.compile(
    rf"(?P<slot>(?={KIND_SNAPSHOT}){_SLOT.pattern})\.(?P<operation>{_OPERATION_ID.pattern})"
    rf"\.(?P<source>{_SLOT.pattern})\.(?P<source_operation>{_OPERATION_ID.pattern})\.(?P<size>[1-9][0-9]{{0,18}})"
)


def _base32(data: bytes) -> str:
    return base64.b32encode(data).decode("ascii").rstrip("=").lower()


def checksum(purpose: str, *parts: str, length: int) -> str:
    """Hash `parts` for one purpose; `length` base32 characters of SHA-256, 5 bits each.

    The parts are joined by NUL bytes, so that ("ab", "c") and ("a", "bc") differ.
    """
    digest = hashlib.sha256("\0".join((f"rdscsi {purpose}", *parts)).encode()).digest()
    return _base32(digest)[:length]


@lru_cache
def cluster_key(cluster_id: str) -> str:
    """Return the six characters that tell this cluster's objects from another's at a glance."""
    return checksum("cluster", cluster_id, length=6)


@lru_cache(4096)
def slot(kind: str, cluster_id: str, csi_name: str) -> str:
    """Return the RouterOS slot of an object: a function of the cluster, the kind and the whole CSI name."""
    return f"{kind}{cluster_key(cluster_id)}-{checksum('slot', cluster_id, kind, csi_name, length=24)}"


def marker_slot(cluster_id: str, backend: str) -> str:
    """Return the slot of the one marker object that a cluster keeps on a backend."""
    return slot(KIND_MARKER, cluster_id, backend)


def is_slot(text: str) -> bool:
    """Tell whether the text has the form of a slot of ours, of whatever cluster."""
    return _SLOT.fullmatch(text) is not None


def slot_of_cluster(text: str, kind: str, cluster_id: str) -> bool:
    """Tell whether the text is a slot of this kind and of this very cluster."""
    return is_slot(text) and text.startswith(f"{kind}{cluster_key(cluster_id)}-")


def is_backend(text: str) -> bool:
    """Tell whether the text may name a backend (an appliance with its pool and base path)."""
    return _BACKEND.fullmatch(text) is not None


def volume_id(backend: str, volume_slot: str) -> str:
    """Return the CSI volume id, or the snapshot id of a snapshot's slot; at most 65 bytes."""
    return f"{backend}/{volume_slot}"


@dataclass(frozen=True, slots=True)
class VolumeId:
    """A volume or snapshot id taken apart; the slot's first letter tells which."""

    backend: str
    slot: str


def parse_volume_id(text: str) -> VolumeId | None:
    """Take a volume id apart; None for whatever this driver cannot have handed out."""
    backend, separator, volume_slot = text.partition("/")
    if not separator or not is_backend(backend) or not is_slot(volume_slot):
        return None
    return VolumeId(backend, volume_slot)


def operation_id(entropy: bytes) -> str:
    """Return an operation id from 8 random bytes."""
    if len(entropy) != 8:
        raise ValueError(f"an operation id takes 8 random bytes, not {len(entropy)}")
    return _base32(entropy)


def epoch(entropy: bytes) -> str:
    """Return a publication epoch from 10 random bytes; it ends the NQN and is never used twice (law 8)."""
    if len(entropy) != 10:
        raise ValueError(f"an epoch takes 10 random bytes, not {len(entropy)}")
    return _base32(entropy)


def is_operation_id(text: str) -> bool:
    """Tell whether the text has the form of an operation id."""
    return _OPERATION_ID.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Backing:
    """The name under which a create keeps its file: slot and operation id. The name itself is the owner tag."""

    slot: str
    operation: str

    @property
    def name(self) -> str:
        """The leaf name of the subvolume (Btrfs)."""
        return f"{self.slot}.{self.operation}"

    def leaf(self, *, btrfs: bool) -> str:
        """The last part of the backing object's name: of the subvolume, or of the file."""
        return self.name if btrfs else f"{self.name}.img"

    def subvolume(self, directory: str) -> str:
        """The subvolume's name from the filesystem's root; `directory` is relative to it and may be empty."""
        return f"{directory}/{self.name}" if directory else self.name

    def file_path(self, base_path: str, *, btrfs: bool) -> str:
        """The backing file as `/file` names it: from the root of all mounts, without a leading slash."""
        leaf = self.leaf(btrfs=btrfs)
        return f"{base_path}/{leaf}/disk.img" if btrfs else f"{base_path}/{leaf}"


@dataclass(frozen=True, slots=True)
class ImportedBacking(Backing):
    """The file of an imported volume, which keeps the path it had: that stands in the tag, for nothing derives it."""

    path: str

    def leaf(self, *, btrfs: bool) -> str:
        """The last part of the file's path. It is a plain file, whatever the pool's filesystem."""
        return self.path.rpartition("/")[2]

    def file_path(self, base_path: str, *, btrfs: bool) -> str:
        """The file as `/file` names it."""
        return self.path


def parse_backing(leaf: str) -> Backing | None:
    """Read a subvolume's or file's leaf name; None when it is not one of ours."""
    match = _BACKING.fullmatch(leaf)
    return Backing(match["slot"], match["operation"]) if match else None


@dataclass(frozen=True, slots=True)
class SnapshotBacking(Backing):
    """The name of a snapshot's subvolume. A subvolume has no comment, so that the name holds all that must survive:
    besides slot and operation the volume that it was taken of, by its backing object's name, and the size in bytes.
    """

    source: Backing
    size_bytes: int

    @property
    def name(self) -> str:
        """The leaf name of the subvolume; at most 113 bytes."""
        return f"{self.slot}.{self.operation}.{self.source.name}.{self.size_bytes}"


def parse_snapshot_backing(leaf: str) -> SnapshotBacking | None:
    """Read a subvolume's leaf name; None when it is not that of a snapshot of ours."""
    match = _SNAPSHOT.fullmatch(leaf)
    if match is None:
        return None
    source = Backing(match["source"], match["source_operation"])
    return SnapshotBacking(match["slot"], match["operation"], source, int(match["size"]))


def subnqn(volume_slot: str, volume_epoch: str) -> str:
    """Return the NVMe subsystem NQN of one publication epoch (NVM Express base specification, 4.5)."""
    return f"{NQN_PREFIX}:{volume_slot}:{volume_epoch}"


def slot_of_subnqn(text: str) -> str | None:
    """Return the slot that a subsystem NQN of ours names; None for anybody else's NQN."""
    match = _SUBNQN.fullmatch(text)
    return match["slot"] if match else None


def is_node_name(text: str) -> bool:
    """Tell whether a node may have this name (a Kubernetes node name is a DNS subdomain)."""
    return _NODE_NAME.fullmatch(text) is not None


def node_id(node_name: str) -> str:
    """Return the CSI node id: the node's name and a checksum of it, at most 128 bytes."""
    return f"{node_name}:{checksum('node', node_name, length=8)}"


def node_name(text: str) -> str | None:
    """Return the node's name out of a node id; None when the id is malformed, so not ours."""
    name, _, _ = text.rpartition(":")
    return name if is_node_name(name) and node_id(name) == text else None


def host_id(cluster_id: str, of_node_id: str) -> str:
    """Return the NVMe host identifier of a node, a UUID that is a function of cluster and node."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"rdscsi:{checksum('host', cluster_id, of_node_id, length=52)}"))


def hostnqn(cluster_id: str, of_node_id: str) -> str:
    """Return the NVMe host NQN of a node, in the UUID form of the NVM Express base specification."""
    return f"nqn.2014-08.org.nvmexpress:uuid:{host_id(cluster_id, of_node_id)}"


def parse_portal(text: str, default_port: int = 4420) -> Portal | None:
    """Read `address`, `address:port` or `[address]:port`; None when it is not an IP literal with a valid port."""
    match = _PORTAL.fullmatch(text)
    if match is None:
        return None
    try:
        address = ipaddress.ip_address(match["bracketed"] or match["host"] or match["bare"])
    except ValueError:
        return None
    port = int(match["port"] or match["bracketed_port"] or default_port)
    return Portal(str(address), port) if 0 < port < 65536 else None


def render_publish_context(context: PublishContext) -> dict[str, str]:
    """Return the CSI `publish_context` map; absent keys say "no"."""
    fields = {"subnqn": context.subnqn, "portals": ",".join(map(str, context.portals))}
    if context.format_permit:
        fields["formatPermit"] = context.format_permit
    if context.readonly:
        fields["readonly"] = "true"
    return fields


def parse_publish_context(fields: Mapping[str, str]) -> PublishContext:
    """Read a `publish_context` map.

    Raises ValueError with the key, its value and what would be right.
    """
    name = fields.get("subnqn", "")
    if slot_of_subnqn(name) is None:
        raise ValueError(f"subnqn={name!r}: expected {NQN_PREFIX}:<slot>:<epoch> as ControllerPublishVolume gave it")
    portals = []
    for text in fields.get("portals", "").split(","):
        portal = parse_portal(text)
        if portal is None:
            raise ValueError(
                f"portals={fields.get('portals', '')!r}: expected addresses like 192.0.2.1:4420, by commas"
            )
        portals.append(portal)
    readonly = fields.get("readonly", "")
    if readonly not in ("", "true", "false"):
        raise ValueError(f"readonly={readonly!r}: expected true, false or nothing")
    return PublishContext(name, tuple(portals), fields.get("formatPermit", ""), readonly == "true")
