"""What must be true of an appliance before the driver changes anything on it. Pure: facts in, sentences out.

Version facts come from the command schemas of RouterOS 7.16 to 7.24 with the rose-storage package.
"""

import re
from dataclasses import dataclass

from rdscsi.routeros.answers import Answer, DiskItem, Pool

OLDEST = (7, 21)
_NEEDS = (
    ((7, 16), "`:serialize options=json.no-string-conversion`, by which every answer is read"),
    ((7, 17), "`/disk add type=file`, which makes a volume"),
    ((7, 18), "`/disk/btrfs/subvolume`, in which volumes live on a Btrfs pool"),
    ((7, 21), "`nvme-tcp-server-nqn`, by which a publication gets a name of its own"),
)
LONGEST_BASE_PATH = 64
"""As the setting allows it: the marker's comment must hold it. The default is made of the pool's mount point."""
_VERSION = re.compile(r"(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True)
class Look:
    """What the first look at an appliance showed."""

    version: str
    rose_storage: bool
    pool: Pool | None
    marker: DiskItem | None


def read_look(answer: Answer, marker_slot: str) -> Look:
    """Take the facts out of the answer to `surveys.look`."""
    return Look(
        version=answer.facts.get("version", ""),
        rose_storage=answer.facts.get("rose-storage", "0") not in ("", "0"),
        pool=answer.pool,
        marker=answer.disk(marker_slot),
    )


def version_mistakes(look: Look) -> list[str]:
    """Tell what this RouterOS lacks for good; empty when it has everything."""
    match = _VERSION.match(look.version)
    if match is None:
        return []
    version = (int(match[1]), int(match[2]))
    mistakes = [f"RouterOS {look.version} lacks {what} (since {at[0]}.{at[1]})" for at, what in _NEEDS if version < at]
    if not look.rose_storage:
        mistakes.append(f"the package rose-storage is not installed on RouterOS {look.version}")
    return mistakes


def pool_troubles(look: Look, pool_slot: str, base_path: str) -> list[str]:
    """Tell what is wrong with the pool at the moment; it may pass, so nothing here is a wrong setting."""
    pool = look.pool
    if pool is None:
        return [f"no disk has the slot {pool_slot!r} (setting pool-slot)"]
    troubles = []
    if not pool.mounted:
        troubles.append(f"the pool {pool_slot!r} is not mounted")
    if not pool.fs_uuid:
        troubles.append(f"the pool {pool_slot!r} shows no fs-uuid, so it cannot be told from another")
    if len(base_path) > LONGEST_BASE_PATH:
        troubles.append(f"base-path {base_path!r} is longer than {LONGEST_BASE_PATH}; name a shorter one")
    if pool.mounted and not below(base_path, pool.mount_point):
        troubles.append(f"base-path {base_path!r} is not below the pool's mount point {pool.mount_point!r}")
    return troubles


def below(base_path: str, mount_point: str) -> bool:
    """Tell whether the base path is the mount point or lies below it."""
    return base_path == mount_point or base_path.startswith(f"{mount_point}/")
