"""What must be true of an appliance before the driver changes anything on it. Pure: facts in, sentences out.

Each sentence names the menu or setting, says what was found there and what to do; docs/preflight.md lists them all.
Version facts come from the command schemas of RouterOS 7.16 to 7.24 with the rose-storage package.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from rdscsi.routeros.answers import Answer, DiskItem, Pool

OLDEST = (7, 21)
_NEEDS = (
    ((7, 16), "`:serialize options=json.no-string-conversion`, by which every answer is read"),
    ((7, 17), "`/disk add type=file`, which makes a volume"),
    ((7, 18), "`/disk/btrfs/subvolume`, in which volumes live on a Btrfs pool"),
    ((7, 21), "`nvme-tcp-server-nqn`, by which a publication gets a name of its own"),
)
POLICIES = ("ssh", "read", "write")
"""What the SSH user's group must grant."""
LONGEST_BASE_PATH = 56
"""As the setting allows it: marker and lines must hold it. The default is made of the pool's mount point."""
_VERSION = re.compile(r"(\d+)\.(\d+)")
_NOT_PERMITTED = re.compile(r"not enough permissions \(9\)(?: \((?P<command>[^;)]+))?")


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
    mistakes = [
        f"/system/package/update: RouterOS {look.version} lacks {what}, there since {at[0]}.{at[1]}; upgrade it to "
        f"{OLDEST[0]}.{OLDEST[1]} or later"
        for at, what in _NEEDS
        if version < at
    ]
    if not look.rose_storage:
        mistakes.append(
            f"/system/package: rose-storage is not installed on RouterOS {look.version}; put the package of exactly "
            "this version on the appliance and reboot it"
        )
    return mistakes


def pool_troubles(look: Look, pool_slot: str, base_path: str) -> list[str]:
    """Tell what is wrong with the pool at the moment; it may pass, so nothing here is a wrong setting."""
    pool = look.pool
    if pool is None:
        return [f"pool-slot: no disk of the appliance has the slot {pool_slot!r}; set it to one that /disk/print shows"]
    at = f"/disk {pool_slot!r}"
    troubles = []
    if not pool.mounted:
        troubles.append(
            f"{at}: mounted=no, fs={pool.fs or '-'}; set mount-filesystem=yes, and format the pool if it never was"
        )
    if pool.read_only:
        troubles.append(f"{at}: mount-read-only=yes; set mount-read-only=no, so that volumes can be made and written")
    if not pool.fs_uuid:
        troubles.append(f"{at}: fs-uuid is empty, so that it cannot be told from another; format it with btrfs")
    if len(base_path) > LONGEST_BASE_PATH:
        troubles.append(f"base-path: {base_path!r} is longer than {LONGEST_BASE_PATH}; set a shorter one")
    if pool.mounted and not below(base_path, pool.mount_point):
        troubles.append(
            f"base-path: {base_path!r} is not below {pool.mount_point!r}, where the pool is mounted; set one that is"
        )
    return troubles


def pool_remarks(look: Look, pool_slot: str) -> list[str]:
    """Tell what the driver can live with and an operator should know."""
    pool = look.pool
    if pool is None or not pool.mounted:
        return []
    remarks = []
    if not pool.btrfs:
        remarks.append(
            f"/disk {pool_slot!r}: fs={pool.fs}, so that volumes are plain files, which a full appliance lists slowly, "
            "and cannot have snapshots; format the pool with btrfs while it is empty"
        )
    if not pool.exports:
        remarks.append(
            f"/disk {pool_slot!r}: no property nvme-tcp-export is shown, so that nothing may be reachable over "
            "NVMe/TCP; look whether /disk/set knows nvme-tcp-export, and whether rose-storage is enabled"
        )
    return remarks


def policy_mistakes(user: str, policies: Iterable[str]) -> list[str]:
    """Tell what the group of the SSH user does not grant; `policies` as /user/group tells them."""
    granted = set(policies)
    missing = [policy for policy in POLICIES if policy not in granted]
    if not missing:
        return []
    return [
        f"/user/group: the group of the user {user!r} lacks {', '.join(missing)}; set its policy={','.join(POLICIES)}"
    ]


def refused_policy(text: str) -> str:
    """Return what a refusal for want of a policy means, in a sentence; empty for any other text of the console."""
    match = _NOT_PERMITTED.search(text)
    if match is None:
        return ""
    at = f" at {match['command']}" if match["command"] else ""
    return (
        f"/user/group: RouterOS answers 'not enough permissions (9)'{at}; let the group of the SSH user (setting "
        f"rds-user) have policy={','.join(POLICIES)}"
    )


def below(base_path: str, mount_point: str) -> bool:
    """Tell whether the base path is the mount point or lies below it."""
    return base_path == mount_point or base_path.startswith(f"{mount_point}/")
