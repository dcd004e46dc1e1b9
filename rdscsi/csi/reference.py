"""Renders docs/error-codes.md from the table in `rdscsi.csi.status`; a test keeps the file fresh.

Run `python -m rdscsi.csi.reference > docs/error-codes.md` after a change of `rdscsi.csi.status` or `rdscsi.errors`.
"""

import inspect
import sys
from collections.abc import Iterator

from rdscsi.csi.status import CODES, NOT_FINAL
from rdscsi.errors import DriverError

_OPENING = """\
# Error codes

<!-- Rendered from rdscsi/csi/status.py by `python -m rdscsi.csi.reference`; do not edit. -->

What a CSI call that failed is answered, and what the orchestrator makes of it. The message of an answer names the
field, object or command, its value, and what would be right; `rdscsi journal show` and the log (search for the `rpc_id`
of the line `rpc.ended`) tell the rest.

- **maybe**: {not_final}.
  Something may have happened, or may still happen. The sidecars call again, and the call joins what runs or finds
  what became of it. Nothing has to be done unless it does not end.
- **final**: every other code. Nothing of ours is half made. The sidecars take the call as not done, and some forget it;
  they try again after a while all the same.

## What the driver's own errors mean

| Error | Code | | When |
|---|---|---|---|
"""

_OTHERS = """\

## What else ends a call

| What happened | Code | |
|---|---|---|
| A fault in the driver, in a call that changes something | ABORTED | maybe |
| A fault in the driver, in a call that only reads | INTERNAL | final |
| Several errors at once | the one that promises least: a maybe, then a fault, then the first | |
| The call's deadline passed | DEADLINE_EXCEEDED | maybe |
| The caller cancelled, or its connection ended | CANCELLED | maybe |
| The process is ending: the call was not begun, or was cut short | UNAVAILABLE | maybe |
| The method, or the half that has it, is not served by this process | UNIMPLEMENTED | final |
| The message is no valid protobuf, or is cut off | INVALID_ARGUMENT | final |
| The message is larger than the setting `max-receive-bytes` | RESOURCE_EXHAUSTED | final |
| The message is compressed, or there is none | UNIMPLEMENTED | final |

Deadlines, cancellations and lost connections end the wait, not the work: an operation runs apart from the call that
asked for it, and the same call made again joins it.

## Corners

Codes that the CSI specification (v1.13.0) asks for in one call only, or that surprise.

| Call | Situation | Answer |
|---|---|---|
"""

CORNERS = (
    ("CreateVolume", "the name exists, made by a request that differs", "ALREADY_EXISTS"),
    (
        "CreateVolume",
        "`required_bytes`, rounded up to 1 MiB, is above `limit_bytes`, or the bounds contradict",
        "OUT_OF_RANGE",
    ),
    ("CreateVolume", "no `capacity_range`", "OK, with the size of the setting `default-capacity`"),
    ("CreateVolume", "not enough room on the pool", "RESOURCE_EXHAUSTED"),
    ("CreateVolume", "mutable parameters, or a content source where the pool has no Btrfs", "INVALID_ARGUMENT"),
    ("CreateVolume, CreateSnapshot", "the source is an imported volume", "UNIMPLEMENTED"),
    (
        "CreateVolume",
        "a parameter that the driver does not know; keys of the orchestrator are none",
        "INVALID_ARGUMENT",
    ),
    ("any", "a filesystem with an access mode of several nodes", "INVALID_ARGUMENT"),
    ("DeleteVolume", "an unknown volume, or an id that is not ours", "OK"),
    ("DeleteVolume", "the volume is published", "FAILED_PRECONDITION"),
    ("ControllerPublishVolume", "an unknown volume or node, or a node id that is not ours", "NOT_FOUND"),
    ("ControllerPublishVolume", "published to this node with another capability or `readonly`", "ALREADY_EXISTS"),
    ("ControllerPublishVolume", "published to another node", "FAILED_PRECONDITION"),
    ("ControllerPublishVolume", "published to this node already", "OK, with the same `publish_context`"),
    ("ControllerUnpublishVolume", "no `node_id`", "OK, once unpublished from all nodes"),
    ("ControllerUnpublishVolume", "an unknown volume or node that is proven not to be exported", "OK"),
    ("ValidateVolumeCapabilities", "a capability that the volume does not serve", "OK, not confirmed, with a reason"),
    ("ListVolumes", "a `starting_token` that is none of ours, or has expired", "ABORTED: list again from the start"),
    ("ListVolumes", "the appliance has not been looked through yet", "UNAVAILABLE, never a partial list"),
    ("ControllerGetVolumeHealth", "the appliance cannot be seen", "UNAVAILABLE: that says nothing about the volume"),
    ("ControllerListVolumeHealth", "the last inventory failed", "UNAVAILABLE, never a list that has grown old"),
    ("ControllerExpandVolume", "the volume is large enough already", "OK"),
    ("NodeStageVolume", "an id that is not ours", "NOT_FOUND"),
    ("NodeStageVolume", "a filesystem is needed, and making one is not proven safe", "FAILED_PRECONDITION"),
    ("NodePublishVolume", "no `staging_target_path`", "FAILED_PRECONDITION"),
    ("NodePublishVolume", "SINGLE_NODE_SINGLE_WRITER, published at another path", "FAILED_PRECONDITION"),
    ("NodeUnstageVolume, NodeUnpublishVolume", "nothing is there", "OK"),
    ("NodeGetVolumeStats, NodeExpandVolume", "the volume is not at the path, or no path could hold one", "NOT_FOUND"),
    ("NodeGetVolumeHealth", "the volume is neither staged on this node nor about to be", "NOT_FOUND"),
    ("NodeGetVolumeHealth, NodeGetStorageHealth", "the machine cannot be looked at", "UNAVAILABLE: that is not health"),
    ("Probe", "still starting", "OK, `ready` is false"),
)
"""Call, situation, answer."""


def render() -> str:
    """The whole page."""
    codes = ", ".join(sorted(code.name for code in NOT_FINAL))
    corners = "".join(_row(*corner) for corner in CORNERS)
    return _OPENING.format(not_final=codes) + "".join(_errors(DriverError)) + _OTHERS + corners


def _errors(kind: type[DriverError]) -> Iterator[str]:
    """List a class and those that derive from it, in the order in which they are written."""
    code = CODES[kind]
    weight = "maybe" if code in NOT_FINAL else "final"
    yield _row(kind.__name__, code.name, weight, " ".join((inspect.getdoc(kind) or "").split()))
    for derived in kind.__subclasses__():
        if derived in CODES:
            yield from _errors(derived)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


if __name__ == "__main__":
    sys.stdout.write(render())
