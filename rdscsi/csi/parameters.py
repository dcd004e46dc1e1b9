"""StorageClass parameters: a closed set, so that a typing error shows at once instead of years later. Pure.

Keys under the reserved prefixes belong to the orchestrator (`--extra-create-metadata` of external-provisioner, for
one). They are always accepted and never part of a request's identity: the same volume asked for again may carry others.
What a node needs of the parameters comes to it in the volume_context (`rdscsi.tuning`), which is as closed.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rdscsi import names, tuning
from rdscsi.csi import checks
from rdscsi.errors import InvalidRequest
from rdscsi.model import Claim, Tuning

RESERVED_PREFIXES = ("csi.storage.k8s.io/", "storage.kubernetes.io/")

_CLAIM = "csi.storage.k8s.io/pvc"
_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_NAMESPACE = re.compile(_LABEL)
_OBJECT = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One key of ours: which values it takes, in code and in words, and what it is for."""

    accepts: Callable[[str], bool]
    expected: str
    help: str


def _of_tuning(key: tuning.Key) -> Parameter:
    return Parameter(lambda value: key.read(value) is not None, key.expected, key.help)


SNAPSHOT: Mapping[str, Parameter] = {
    "backend": Parameter(
        names.is_backend,
        "the name of a backend: 1 to 32 lower-case letters, digits and inner dashes",
        "The appliance and pool on which the volume is made.",
    )
}
"""What a VolumeSnapshotClass may hold."""

KNOWN: Mapping[str, Parameter] = {**SNAPSHOT, **{key: _of_tuning(one) for key, one in tuning.KEYS.items()}}
"""What a StorageClass may hold."""


def is_reserved(key: str) -> bool:
    """Tell whether the orchestrator, not the StorageClass's author, is the one who may set this key."""
    return key.startswith(RESERVED_PREFIXES)


def parse(field: str, given: Mapping[str, str], known: Mapping[str, Parameter] = KNOWN) -> dict[str, str]:
    """Return the driver's own parameters. Raises InvalidRequest that names key, value and what would be right."""
    own = {key: value for key, value in sorted(given.items()) if not is_reserved(key)}
    checks.small_map(field, own)
    for key, value in own.items():
        _refuse_unknown(field, key, value, known)
        if not known[key].accepts(value):
            raise InvalidRequest(f"{field}[{key}]", checks.shortened(value), known[key].expected)
    tuning.parse(field, own)  # what the values are beside each other
    return own


def context(field: str, given: Mapping[str, str]) -> Tuning:
    """Read a volume_context: what CreateVolume answered, or what somebody wrote into a PersistentVolume by hand.

    The orchestrator's own keys are left out of the size: a kubelet adds pod metadata, and tokens where asked to.
    Raises InvalidRequest.
    """
    own = {key: value for key, value in sorted(given.items()) if not is_reserved(key)}
    checks.small_map(field, own)
    for key, value in own.items():
        _refuse_unknown(field, key, value, tuning.KEYS)
    return tuning.parse(field, own)


def claim(given: Mapping[str, str]) -> Claim | None:
    """Return the claim that a volume is made for, where external-provisioner tells it (`--extra-create-metadata`).

    None for what is no name of an object (Kubernetes, "Object Names and IDs"): looking for it would prove nothing.
    """
    namespace, name = given.get(f"{_CLAIM}/namespace", ""), given.get(f"{_CLAIM}/name", "")
    return Claim(namespace, name) if _NAMESPACE.fullmatch(namespace) and _OBJECT.fullmatch(name) else None


def _refuse_unknown(field: str, key: str, value: str, known: Mapping[str, object]) -> None:
    if key not in known:
        expected = f"no such parameter; there are: {', '.join(known)}"
        raise InvalidRequest(f"{field}[{checks.shortened(key)}]", checks.shortened(value), expected)
