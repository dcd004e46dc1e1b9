"""Volumes' ordinary lives, one at a time."""

import time

from suite import objects
from suite.objects import DEVICE, MOUNTED
from suite.scenario import ANYWHERE, Context, Scenario, check, scenario

SCENARIOS: list[Scenario] = []


@scenario(SCENARIOS, "made, written, grown online, moved to the other node with equal data, deleted", lane=ANYWHERE)
def life(e2e: Context) -> None:
    began = time.monotonic()
    e2e.claim("data")
    e2e.pod("first", "data", node="n1", script=f"head -c 20000000 /dev/urandom >{MOUNTED}/blob; sync")
    e2e.measure("claim to Ready", began)
    digest = e2e.sh("first", f"sha256sum {MOUNTED}/blob")
    before = int(e2e.sh("first", f"df -k {MOUNTED} | tail -1 | awk '{{print $2}}'"))
    began = time.monotonic()
    e2e.grow("data", "800Mi")
    e2e.wait("pvc/data", "jsonpath={.status.capacity.storage}=800Mi")
    e2e.measure("grown", began)
    after = int(e2e.sh("first", f"df -k {MOUNTED} | tail -1 | awk '{{print $2}}'"))
    check(after > before + 300_000, f"the filesystem has {after} KiB after {before}")
    e2e.delete("pod", "first")
    began = time.monotonic()
    e2e.pod("second", "data", node="n2")
    e2e.measure("moved", began)
    check(e2e.sh("second", f"sha256sum {MOUNTED}/blob") == digest, "the data differ on the other node")
    e2e.delete("pod", "second")
    e2e.delete("pvc", "data")


@scenario(SCENARIOS, "a raw block device keeps its content over a move, and grows", lane=ANYWHERE)
def raw_block(e2e: Context) -> None:
    e2e.claim("disk", block=True)
    e2e.pod("first", "disk", node="n2", block=True, script=f"echo rdscsi | dd of={DEVICE} bs=512 seek=7 conv=fsync")
    check(e2e.sh("first", f"test -b {DEVICE} && echo yes").strip() == "yes", "it is no block device")
    e2e.grow("disk", "600Mi")
    e2e.wait("pvc/disk", "jsonpath={.status.capacity.storage}=600Mi")
    check(int(e2e.sh("first", f"blockdev --getsize64 {DEVICE}")) >= 600 << 20, "the device did not grow")
    e2e.delete("pod", "first")
    e2e.pod("second", "disk", node="n1", block=True)
    read = e2e.sh("second", f"dd if={DEVICE} bs=512 skip=7 count=1 2>/dev/null | head -c 6")
    check(read == "rdscsi", f"the other node reads {read!r}")


@scenario(
    SCENARIOS,
    "a class with Retain keeps the volume; made a static PersistentVolume, its data are there again",
    lane=ANYWHERE,
)
def retained_and_static(e2e: Context) -> None:
    e2e.claim("data")
    e2e.pod("writer", "data", script=f"echo kept >{MOUNTED}/file; sync")
    volume = e2e.get("pvc", "data")["spec"]["volumeName"]
    e2e.world.kubectl("patch", "pv", volume, "-p", '{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}')
    handle = e2e.get("pv", volume)["spec"]["csi"]
    e2e.delete("pod", "writer")
    e2e.delete("pvc", "data")
    e2e.world.kubectl("delete", "pv", volume)
    static = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": e2e.namespace},
        "spec": {
            "capacity": {"storage": objects.SIZE},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": objects.FILESYSTEM,
            "csi": {key: handle[key] for key in ("driver", "volumeHandle", "fsType")},
            "claimRef": {"namespace": e2e.namespace, "name": "again"},
        },
    }
    e2e.world.kubectl("apply", "-f", "-", text=objects.text(static))
    e2e.claim("again", volumeName=e2e.namespace)
    e2e.pod("reader", "again")
    check(e2e.sh("reader", f"cat {MOUNTED}/file").strip() == "kept", "the data are gone")
    e2e.delete("pod", "reader")
    e2e.delete("pvc", "again")


@scenario(
    SCENARIOS, "fsGroup owns the files, subPath and readOnly hold, mount options of the class arrive", lane=ANYWHERE
)
def kubelets_options(e2e: Context) -> None:
    storage_class = objects.storage_class(e2e.namespace, mountOptions=["noatime"])
    e2e.world.kubectl("apply", "-f", "-", text=objects.text(storage_class))
    e2e.claim("data", storage_class=e2e.namespace)
    user = {"runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 2000}
    e2e.pod("writer", "data", node="n1", security=user, script=f"mkdir {MOUNTED}/part; echo one >{MOUNTED}/part/file")
    owner = e2e.sh("writer", f"stat -c %g {MOUNTED}/part/file").strip()
    check(owner == "2000", f"the file's group is {owner}")
    check("noatime" in e2e.sh("writer", f"grep ' {MOUNTED} ' /proc/mounts"), "noatime is lost")
    part = {"subPath": "part", "readOnly": True}
    e2e.pod("reader", "data", node="n1", mount=part)
    check(e2e.sh("reader", f"cat {MOUNTED}/file").strip() == "one", "subPath shows something else")
    check(e2e.sh("reader", f"touch {MOUNTED}/x 2>/dev/null || echo refused").strip() == "refused", "it can be written")
    e2e.delete("pod", "writer", "reader")
    e2e.delete("pvc", "data")
    e2e.world.kubectl("delete", "storageclass", e2e.namespace)


@scenario(SCENARIOS, "a ReadWriteOncePod claim lets a second pod wait until the first has gone", lane=ANYWHERE)
def one_pod_alone(e2e: Context) -> None:
    e2e.claim("data", mode="ReadWriteOncePod")
    e2e.pod("first", "data", node="n1")
    e2e.apply(objects.pod("second", "data", node="n1"))
    e2e.until("the scheduler's word", lambda: "ReadWriteOncePod" in e2e.events("second"))
    e2e.delete("pod", "first")
    e2e.ready("second")


@scenario(SCENARIOS, "a generic ephemeral volume comes and goes with its pod", lane=ANYWHERE)
def ephemeral(e2e: Context) -> None:
    volume = {"ephemeral": {"volumeClaimTemplate": {"spec": objects.claim_spec()}}}
    e2e.pod("short", "", volume=volume, script=f"echo x >{MOUNTED}/file")
    check(len(e2e.get("pvc")["items"]) == 1, "there is no claim of the pod")
    e2e.delete("pod", "short")
    e2e.until("the claim went with its pod", lambda: not e2e.get("pvc")["items"])


@scenario(SCENARIOS, "a volume that no pod uses grows, and its filesystem does with the next pod", lane=ANYWHERE)
def grown_unused(e2e: Context) -> None:
    e2e.claim("data")
    e2e.pod("first", "data", script=f"echo kept >{MOUNTED}/file; sync")
    e2e.delete("pod", "first")
    e2e.grow("data", "800Mi")
    e2e.until("the volume grew", lambda: e2e.get("pv", *e2e.volumes())["spec"]["capacity"]["storage"] == "800Mi")
    e2e.pod("second", "data")
    e2e.wait("pvc/data", "jsonpath={.status.capacity.storage}=800Mi")
    check(e2e.sh("second", f"cat {MOUNTED}/file").strip() == "kept", "the data are gone")
    size = int(e2e.sh("second", f"df -k {MOUNTED} | tail -1 | awk '{{print $2}}'"))
    check(size > 700_000, f"the filesystem has {size} KiB")


@scenario(
    SCENARIOS,
    "a raw block device of two nodes at once, as when a virtual machine moves: it sees what the other wrote",
    lane=ANYWHERE,
)
def shared_block(e2e: Context) -> None:
    e2e.claim("disk", block=True, mode="ReadWriteMany")
    e2e.pod("source", "disk", node="n1", block=True)
    e2e.pod("target", "disk", node="n2", block=True)
    attached = [one["spec"]["nodeName"] for one in e2e.attachments()]
    check(sorted(attached) == ["n1", "n2"], f"the volume is attached to {attached}")
    e2e.sh("source", f"echo moved | dd of={DEVICE} bs=512 seek=9 conv=notrunc,fsync 2>/dev/null")
    read = f"dd if={DEVICE} bs=512 skip=9 count=1 2>/dev/null | head -c 5"
    check(e2e.sh("target", read) == "moved", "the other node does not see what was written")
    # Both at once: on one kernel they share a loop device, which the last one takes off.
    e2e.delete("pod", "source", "target")
