"""Renders docs/storageclass.md from the keys in `rdscsi.csi.parameters` and `rdscsi.tuning`; a test keeps it fresh.

Run `python -m rdscsi.csi.class_reference > docs/storageclass.md` after a change of either.
"""

import sys
from collections.abc import Iterator, Mapping

from rdscsi import tuning
from rdscsi.csi.parameters import KNOWN
from rdscsi.model import DEFAULT_TUNING

_OPENING = """\
# StorageClass parameters

<!-- Rendered from rdscsi/tuning.py by `python -m rdscsi.csi.class_reference`; do not edit. -->

```yaml
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: rds-database}
provisioner: csi.rdscsi.io
parameters:
  csi.storage.k8s.io/fstype: ext4
  ctrlLossTmo: "120"
  mkfsOptions: "-i 65536 -E stride=16,stripe_width=64"
mountOptions: [noatime]
allowVolumeExpansion: true
```

Kubernetes wants texts: numbers stand in quotation marks. A key or value that is not in this table is refused when the
volume is made, with its name, its value and what would be right (`kubectl describe pvc`).

| parameter | values | default | what it does |
|---|---|---|---|
"""

_AFTER = """\
| `csi.storage.k8s.io/fstype` | `ext4` or `xfs` | `ext4` | The filesystem of a blank volume. Read by the sidecars. |

A VolumeSnapshotClass takes `backend` only. Mount options are the StorageClass's `mountOptions`, a closed list too
(`rdscsi/node/options.py`).

## How they get to the node

All but `backend` are answered by CreateVolume in `volume_context`, word for word, and stand in the PersistentVolume
(`spec.csi.volumeAttributes`) from then on. So they hold for the life of the volume, on every node, whatever becomes of
the StorageClass and of the driver's journals; another CreateVolume of that name with other ones is ALREADY_EXISTS.

A PersistentVolume that you write yourself may have these keys in `volumeAttributes`. They are checked by the same rules
when the volume is attached and once more on the node, before anything is connected. Kubernetes lets nobody change
`volumeAttributes`: to change them, keep the volume (`persistentVolumeReclaimPolicy: Retain`), delete claim and
PersistentVolume, and make both anew.

A connection keeps what it was made with. What is staged already is left as it is by a repeated NodeStageVolume; a node
connects anew, with the keys of the PersistentVolume, when the volume comes to it the next time.

## Times

- While a path is away, I/O waits, and pods see a pause. After `ctrlLossTmo` I/O fails, and the filesystem on it is dead
  until its pods have been started again. Longer than the appliance's reboot is the least that makes sense, not longer
  than the node's `forgotten-after`. Endless (`-1` of nvme-connect) is refused: a node that was cut off from a volume
  could never take it off.
- The kernel counts attempts, not seconds: `ctrlLossTmo` is rounded up to a multiple of `reconnectDelay`, as
  `/sys/class/nvme/*/ctrl_loss_tmo` shows it.
- With several portals and native multipath (`nvme_core.multipath=Y`, the usual) all are connected, and I/O goes on by
  those that are left; the times are each path's. Without it, one portal is used.

## Options for mkfs

They are used once, when the volume is blank and the driver makes its filesystem; never for a block volume, a copy or
what holds a filesystem already. Options and values in turns, each option once, single blanks between them:

| filesystem | options |
|---|---|
"""

_CLOSING = """\

ext4 is made with `-m 0` (nothing is kept for root) unless `-m` says otherwise. The list leaves out what overwrites or
discards, labels, UUIDs and features, journals elsewhere, and all that moves metadata to where the driver marks an
unfinished mkfs ([node.md](node.md#when-mkfs-is-run)). What mkfs itself does not take together, such as `-I 1024` with
`-i 1024`, shows when the volume is staged for the first time: in mkfs's own words, with nothing on the device.

## What is a setting of the node

`host-traddr` and `host-iface` (from which address, through which interface a node connects) are no parameters: a class
speaks for all nodes, and each node has its own addresses and names of interfaces. They are in
[settings.md](settings.md#host-traddr); both are seldom needed, as the kernel's routes lead to the portals.
"""


def render() -> str:
    """The whole page."""
    return _OPENING + "".join(_rows()) + _AFTER + "".join(_options()) + _CLOSING


def _rows() -> Iterator[str]:
    for key, parameter in KNOWN.items():
        expected = parameter.expected.replace("|", "\\|")
        yield f"| `{key}` | {expected} | {_default(key)} | {parameter.help} |\n"


def _default(key: str) -> str:
    known = tuning.KEYS.get(key)
    if known is None:
        return "the first one"
    value = getattr(DEFAULT_TUNING, known.field)
    return f"`{value}`" if value else "the kernel's" if value == 0 else "none"


def _options() -> Iterator[str]:
    for fs_type in tuning.MKFS:
        shown = "; ".join(_option(option, allowed) for option, allowed in tuning.MKFS[fs_type].items())
        yield f"| {fs_type} | {shown} |\n"


def _option(option: str, allowed: str | Mapping[str, str]) -> str:
    if isinstance(allowed, str):
        return f"`{option}`"
    return f"`{option}` with " + ", ".join(f"`{one}`" for one in allowed)


if __name__ == "__main__":
    sys.stdout.write(render())
