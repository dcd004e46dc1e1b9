"""Records and small journals for the tests of this room."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from rdscsi.journal import Precautions, SnapshotRecord, StageRecord, TargetRecord, Tombstone, VolumeRecord

SMALL = Precautions(backups=2, backup_seconds=3600, ballast_bytes=1 << 16)
BARE = Precautions(backups=0, ballast_bytes=0)

VOLUME = VolumeRecord(
    volume_id="rds/vabcdef-1",
    backend="rds",
    slot="vabcdef-1",
    csi_name="pvc-1",
    backing="aaaaaaaaaaaaa",
    capacity_bytes=1 << 30,
    state="ready",
    tag="rdscsi1 v ready",
    ever_published=True,
    quarantine="",
    updated_at=1000.5,
)
STAGE = StageRecord(
    volume_id="rds/vabcdef-1",
    staging_target_path="/var/lib/kubelet/stage",
    subnqn="nqn.2026-11.io.rdscsi:vabcdef-1:a",
    portals="192.0.2.1:4420",
    access_type="mount",
    access_mode="SINGLE_NODE_WRITER",
    fs_type="ext4",
    mount_flags="[]",
    state="staged",
    size_bytes=1 << 30,
    identity="uuid.1",
    format_permit="permit",
    formatted=True,
    updated_at=1001.0,
)
TARGET = TargetRecord(
    target_path="/var/lib/kubelet/pods/1",
    volume_id="rds/vabcdef-1",
    access_type="mount",
    access_mode="SINGLE_NODE_WRITER",
    readonly=False,
    updated_at=1002.0,
)
SNAPSHOT = SnapshotRecord(
    snapshot_id="rds/sabcdef-1",
    backend="rds",
    slot="sabcdef-1",
    csi_name="snap-1",
    source_volume_id="rds/vabcdef-1",
    leaf="sabcdef-1.eeeeeeeeeeeee.vabcdef-1.aaaaaaaaaaaaa.1048576",
    size_bytes=1 << 20,
    created_at=1000.25,
    uuid="0f8f",
    state="ready",
    quarantine="",
    updated_at=1000.5,
)
TOMBSTONE = Tombstone(
    volume_id="rds/vabcdef-0", slot="vabcdef-0", backing="bbbbbbbbbbbbb", generation=7, deleted_at=999.0
)


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """Look into a journal, or meddle with it, behind its back; each statement is durable at once."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def names_in(directory: Path) -> set[str]:
    """Return what lies in a directory."""
    return {path.name for path in directory.iterdir()}
