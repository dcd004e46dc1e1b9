"""Snapshots, restored volumes and clones through Kubernetes' objects, by checksums."""

import time
from datetime import UTC, datetime

from suite import objects
from suite.objects import DEVICE, DRIVER, MOUNTED
from suite.scenario import ANYWHERE, Context, Scenario, check, scenario

SCENARIOS: list[Scenario] = []
_BLOB = f"{MOUNTED}/blob"
_SUM = f"sha256sum {_BLOB}"
_LARGER = "800Mi"
_CLOCKS_DIFFER = 60.0
"""Seconds by which the appliance's clock, which shows whole seconds, may be off here."""


@scenario(
    SCENARIOS,
    "snapshot, restored, restored larger, cloned, cloned again; source and snapshot go first; all data are equal",
    lane=ANYWHERE,
)
def copies(e2e: Context) -> None:
    e2e.claim("data")
    e2e.pod("writer", "data", node="n1", script=f"head -c 20000000 /dev/urandom >{_BLOB}; sync")
    taken = e2e.sh("writer", _SUM)
    _snapshot(e2e, "monday", "data")
    e2e.sh("writer", f"head -c 20000000 /dev/urandom >{_BLOB}; sync")
    now = e2e.sh("writer", _SUM)
    began = time.monotonic()
    e2e.claim("restored", dataSource=objects.from_snapshot("monday"))
    e2e.claim("larger", size=_LARGER, dataSource=objects.from_snapshot("monday"))
    e2e.claim("clone", dataSource=objects.from_claim("data"))
    e2e.apply(objects.pod("restored", "restored", node="n1"), objects.pod("larger", "larger", node="n2"))
    e2e.pod("clone", "clone", node="n1")
    e2e.ready("restored", "larger")
    e2e.measure("restored and cloned", began)
    wanted = {"restored": taken, "larger": taken, "clone": now}
    _check_sums(e2e, wanted)
    size = int(e2e.sh("larger", f"df -k {MOUNTED} | tail -1 | awk '{{print $2}}'"))
    check(size > 700_000, f"the filesystem that was restored larger has {size} KiB")
    e2e.sh("writer", f"rm {_BLOB}; sync")
    e2e.delete("pod", "writer")
    e2e.delete("pvc", "data")
    e2e.until("the source is deleted", lambda: len(e2e.volumes()) == len(wanted))
    e2e.claim("late", dataSource=objects.from_snapshot("monday"))
    e2e.claim("cloned-clone", dataSource=objects.from_claim("clone"))
    e2e.apply(objects.pod("late", "late", node="n2"), objects.pod("cloned-clone", "cloned-clone", node="n2"))
    e2e.ready("late", "cloned-clone")
    e2e.delete("volumesnapshot", "monday")
    e2e.until("the snapshot is deleted", lambda: not e2e.snapshots())
    _check_sums(e2e, wanted | {"late": taken, "cloned-clone": now})
    e2e.delete("pod", "--all")
    e2e.delete("pvc", "--all")


@scenario(
    SCENARIOS,
    "a snapshot of a raw block device is restored on the other node; the volume was written to",
    lane=ANYWHERE,
)
def block_copies(e2e: Context) -> None:
    write = f"dd of={DEVICE} bs=512 seek=3 conv=notrunc,fsync 2>/dev/null"
    e2e.claim("disk", block=True)
    e2e.pod("source", "disk", node="n1", block=True, script=f"echo before | {write}")
    _snapshot(e2e, "cut", "disk")
    e2e.sh("source", f"echo after_ | {write}")
    e2e.claim("back", block=True, dataSource=objects.from_snapshot("cut"))
    e2e.pod("reader", "back", node="n2", block=True)
    read = f"dd if={DEVICE} bs=512 skip=3 count=1 2>/dev/null | head -c 6"
    check(e2e.sh("reader", read) == "before", f"restored: {e2e.sh('reader', read)!r}")
    check(e2e.sh("source", read) == "after_", f"the source: {e2e.sh('source', read)!r}")
    e2e.delete("volumesnapshot", "cut")
    e2e.delete("pod", "--all")
    e2e.delete("pvc", "--all")


def _snapshot(e2e: Context, name: str, claim: str) -> None:
    """Take a snapshot and check what its VolumeSnapshotContent tells: size, time, source."""
    e2e.apply(objects.snapshot(name, claim))
    began, asked = time.monotonic(), datetime.now(UTC).timestamp()
    e2e.wait(f"volumesnapshot/{name}", "jsonpath={.status.readyToUse}=true")
    e2e.measure("snapshot ready", began)
    (content,) = e2e.snapshots()
    volume = e2e.get("pv", e2e.get("pvc", claim)["spec"]["volumeName"])
    source, status = content["spec"]["source"], content["status"]
    check(source["volumeHandle"] == volume["spec"]["csi"]["volumeHandle"], f"its source is {source}")
    check(content["spec"]["driver"] == DRIVER, f"its driver is {content['spec']['driver']}")
    check(status["restoreSize"] == objects.SIZE_BYTES, f"its size is {status['restoreSize']}")
    age = abs(status["creationTime"] / 1e9 - asked)
    check(age < _CLOCKS_DIFFER, f"it was taken {age:.0f} s away from now")
    created = datetime.fromtimestamp(status["creationTime"] // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    told = {"source-volume": source["volumeHandle"], "size-bytes": str(objects.SIZE_BYTES), "created-at": created}
    e2e.until("the content is annotated", lambda: _annotations(e2e) == told)
    e2e.measure("annotated", began)


def _annotations(e2e: Context) -> dict[str, str]:
    """What the driver says of the only snapshot in its VolumeSnapshotContent."""
    (content,) = e2e.snapshots()
    found = content["metadata"].get("annotations", {}).items()
    return {key.partition("/")[2]: value for key, value in found if key.startswith(f"{DRIVER}/")}


def _check_sums(e2e: Context, wanted: dict[str, str]) -> None:
    wrong = [pod for pod, digest in wanted.items() if e2e.sh(pod, _SUM) != digest]
    check(not wrong, f"the data differ in {wrong}")
