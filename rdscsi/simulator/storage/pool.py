"""The pool: one file system of the appliance, a directory on the host, with its identity, space and health."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from rdscsi.simulator.options import Behaviour, PoolOptions
from rdscsi.simulator.storage.space import Space
from rdscsi.simulator.storage.store import Plain, Store

_BYTES_PER_INODE = 10240  # as mkfs.xfs chose on the captured pool
_OLD: dict[str, Plain] = {
    "raid-type": "0",
    "raid-chunk-size": "1M",
    "overhead": 64 << 20,
    "inodes": 1 << 20,
    "model": "RAID0 striped",
    "serial": "",
    "interface": "",
    "mount-filesystem": True,
}
"""What records of an earlier form lack."""


class Pool:
    """Made once in a state directory; a second start finds slot, size and file system as they were made."""

    def __init__(self, state: Path, store: Store, options: PoolOptions, behaviour: Behaviour) -> None:
        self._store = store
        recorded = store.single("pool")
        if not isinstance(recorded, dict):
            recorded = {
                "slot": options.slot,
                "label": options.label,
                "fs": options.fs,
                "size": options.size,
                "kind": options.kind,
                "members": options.members,
                "uuid": options.uuid or str(uuid.uuid4()),
                "raid-uuid": options.raid_uuid or _raid_uuid(),
                "raid-type": options.raid_type,
                "raid-chunk-size": options.raid_chunk_size,
                "overhead": options.overhead,
                "inodes": options.inodes or options.size // _BYTES_PER_INODE // 64 * 64,
                "model": options.model or ("RAID0 striped" if options.kind == "raid" else "SIMULATED NVME"),
                "serial": options.serial,
                "interface": options.interface,
                "mount-filesystem": options.mount_filesystem,
                "mounted": True,
                "read-only": False,
                "state": "clean" if options.kind == "raid" else "",
            }
            store.set_single("pool", recorded)
        self.fresh = not (state / "pool").exists()
        self._record: dict[str, Plain] = {**_OLD, **recorded}
        self.slot = self.mount_point = self._text("slot")
        self.directory = state / "pool" / self.mount_point
        self.directory.mkdir(parents=True, exist_ok=True)
        if self.fresh and self.fs == "ext4":
            (self.directory / "lost+found").mkdir()
        self.space = Space(store, self.number("size"), behaviour.allocation, self.number("overhead"))
        self.space.load(_files(self.mount_point, self.directory))

    def _text(self, name: str) -> str:
        return str(self._record[name])

    def number(self, name: str) -> int:
        """A number of the record: `size`, `overhead`, `inodes`, `members`."""
        return int(self._text(name))

    def flag(self, name: str) -> bool:
        """A yes or no of the record."""
        return bool(self._record[name])

    def text(self, name: str) -> str:
        """A text of the record: `model`, `serial`, `interface`, `raid-type`, `raid-chunk-size`."""
        return self._text(name)

    @property
    def label(self) -> str:
        return self._text("label")

    @property
    def fs(self) -> str:
        return self._text("fs")

    @property
    def uuid(self) -> str:
        return self._text("uuid")

    @property
    def kind(self) -> str:
        return self._text("kind")

    @property
    def members(self) -> int:
        return self.number("members")

    @property
    def raid_uuid(self) -> str:
        return self._text("raid-uuid")

    @property
    def state(self) -> str:
        return self._text("state")

    @property
    def mounted(self) -> bool:
        return bool(self._record["mounted"])

    @property
    def read_only(self) -> bool:
        return bool(self._record["read-only"])

    def change(
        self,
        *,
        mounted: bool | None = None,
        read_only: bool | None = None,
        state: str | None = None,
        label: str | None = None,
        fs_uuid: str | None = None,
        fs: str | None = None,
    ) -> None:
        """Health, for tests and faults: unmounted, read-only, degraded (`state="clean, degraded"`), another pool."""
        changes = {"mounted": mounted, "read-only": read_only, "state": state, "label": label, "uuid": fs_uuid,
                   "fs": fs}  # fmt: skip
        self._record = {**self._record, **{name: value for name, value in changes.items() if value is not None}}
        self._store.set_single("pool", self._record)


def _raid_uuid() -> str:
    digits = uuid.uuid4().hex
    return "-".join(digits[start : start + 8] for start in range(0, 32, 8))


def _files(name: str, directory: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for root, _, files in os.walk(directory):
        inner = Path(root).relative_to(directory)
        prefix = name if str(inner) == "." else f"{name}/{inner.as_posix()}"
        found.update({f"{prefix}/{file}": Path(root) / file for file in files})
    return found
