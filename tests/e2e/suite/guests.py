"""Virtual machines in pods, over raw block volumes, as KubeVirt's virt-launcher runs them; QEMU emulates, without KVM.

The guest is the laboratory's (tests/lab/nodes/guest_disk): a boot sector that numbers the sectors behind it.
"""

import base64
import sys
import time

from cluster.guest_image import QEMU, QEMU_IMAGE
from cluster.places import ROOT

from suite import objects
from suite.objects import DEVICE
from suite.scenario import ANYWHERE, Context, Scenario, Wrong, check, scenario

sys.path.append(str(ROOT / "tests"))

from lab.nodes import guest_disk

SCENARIOS: list[Scenario] = []
_SERIAL = "/tmp/serial"
_FEW = 5
_RUN = (
    f"({QEMU} -accel tcg,tb-size=32 -machine pc -m 16 -display none -nodefaults -serial file:{_SERIAL} -monitor none"
    f" -blockdev driver=host_device,node-name=disk,filename={DEVICE},cache.direct=on"
    " -device virtio-blk-pci,drive=disk,bootindex=1 >/tmp/qemu 2>&1; echo ended >>/tmp/qemu) & true"
)


@scenario(
    SCENARIOS,
    "a pod runs QEMU, whose guest boots from a raw block volume and writes to it; it boots again on the other node",
    lane=ANYWHERE,
)
def guest(e2e: Context) -> None:
    e2e.claim("disk", block=True, mode="ReadWriteMany")
    system = base64.b64encode(guest_disk.boot_sector()).decode()
    e2e.pod("importer", "disk", block=True, script=f"echo {system} | base64 -d | dd of={DEVICE} conv=notrunc,fsync")
    e2e.delete("pod", "importer")
    began = time.monotonic()
    _boot(e2e, "first", "n1", _FEW)
    e2e.measure("boots", began)
    e2e.delete("pod", "first")  # as by its plug
    e2e.pod("look", "disk", node="n1", block=True)
    written = guest_disk.disk(_FEW)
    read = e2e.sh("look", f"dd if={DEVICE} bs=512 count={_FEW + 1} 2>/dev/null | base64")
    check(base64.b64decode(read) == written, "the volume does not hold what the guest wrote")
    e2e.delete("pod", "look")
    _boot(e2e, "second", "n2", guest_disk.LAST)
    e2e.delete("pod", "second")
    e2e.delete("pvc", "disk")


def _boot(e2e: Context, name: str, node: str, sectors: int) -> None:
    """Start the machine and wait until it has written so many sectors, none of them in vain."""
    e2e.apply(objects.pod(name, "disk", node=node, block=True, image=QEMU_IMAGE, script=_RUN))
    e2e.ready(name)
    look = f"cat {_SERIAL} 2>/dev/null || true"
    try:
        e2e.until("the guest wrote", lambda: len(e2e.sh(name, look).strip()) >= sectors)
    except Wrong as error:
        raise Wrong(f"{error}; QEMU: {e2e.sh(name, 'cat /tmp/qemu')!r}") from error
    printed = e2e.sh(name, look).strip()
    check(set(printed) == {"."}, f"the guest printed {printed!r}: E is a write that failed")
