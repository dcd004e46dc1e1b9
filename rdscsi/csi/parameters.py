"""StorageClass parameters: a closed set, so that a typing error shows at once instead of years later. Pure.

Keys under the reserved prefixes belong to the orchestrator (`--extra-create-metadata` of external-provisioner, for
one). They are always accepted and never part of a request's identity: the same volume asked for again may carry others.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rdscsi import names
from rdscsi.csi import checks
from rdscsi.errors import InvalidRequest

RESERVED_PREFIXES = ("csi.storage.k8s.io/", "storage.kubernetes.io/")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One key of ours: which values it takes, in code and in words."""

    accepts: Callable[[str], bool]
    expected: str


KNOWN: Mapping[str, Parameter] = {
    "backend": Parameter(names.is_backend, "the name of a backend: 1 to 32 lower-case letters, digits and inner dashes")
}


def is_reserved(key: str) -> bool:
    """Tell whether the orchestrator, not the StorageClass's author, is the one who may set this key."""
    return key.startswith(RESERVED_PREFIXES)


def parse(field: str, given: Mapping[str, str]) -> dict[str, str]:
    """Return the driver's own parameters. Raises InvalidRequest that names key, value and what would be right."""
    own = {key: value for key, value in sorted(given.items()) if not is_reserved(key)}
    checks.small_map(field, own)
    for key, value in own.items():
        known = KNOWN.get(key)
        if known is None:
            expected = f"no such parameter; there are: {', '.join(KNOWN)}"
            raise InvalidRequest(f"{field}[{checks.shortened(key)}]", checks.shortened(value), expected)
        if not known.accepts(value):
            raise InvalidRequest(f"{field}[{key}]", checks.shortened(value), known.expected)
    return own


def context(field: str, given: Mapping[str, str]) -> None:
    """Check a volume_context, of which this driver needs nothing. Raises InvalidRequest.

    The orchestrator's own keys are left out of the size: a kubelet adds pod metadata, and tokens where asked to.
    """
    checks.small_map(field, {key: value for key, value in given.items() if not is_reserved(key)})
