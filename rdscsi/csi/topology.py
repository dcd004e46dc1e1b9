"""Which nodes reach which backend, in the terms of CSI's topology. Pure.

A node reports one segment for each backend whose storage addresses it reaches; a volume is accessible wherever the
segment of its backend is. So the keys are names that live for ever: a PersistentVolume's node affinity keeps them.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rdscsi import names
from rdscsi.csi.pb.csi import v1 as pb

PREFIX = f"topology.{names.DRIVER_NAME}/"
REACHED = "true"


@dataclass(frozen=True, slots=True)
class Topology:
    """What the setting `topology` says. Switched off, nothing is told and every requirement is passed over."""

    on: bool

    def of_node(self, backends: Iterable[str]) -> pb.Topology | None:
        """Return what NodeGetInfo tells of a node that reaches these backends."""
        return pb.Topology(segments={PREFIX + backend: REACHED for backend in sorted(backends)}) if self.on else None

    def of_volume(self, volume_id: str) -> list[pb.Topology]:
        """Return where a volume of this id is accessible from."""
        parsed = names.parse_volume_id(volume_id)
        return [pb.Topology(segments={PREFIX + parsed.backend: REACHED})] if self.on and parsed is not None else []

    def allowed(self, requirement: pb.TopologyRequirement | None) -> frozenset[str] | None:
        """Return the backends that CreateVolume may use; None when the requirement leaves it open.

        `preferred` is a hint and each of it must be in `requisite`, where that is given (CSI, TopologyRequirement).
        """
        if not self.on or requirement is None:
            return None
        terms = requirement.requisite or requirement.preferred
        return frozenset().union(*(_backends(one.segments) for one in terms)) if terms else None

    def asked(self, segment: pb.Topology | None) -> frozenset[str] | None:
        """Return the backends that GetCapacity asks about; None when it asks about all of them."""
        return _backends(segment.segments) if self.on and segment is not None else None


def _backends(segments: Mapping[str, str]) -> frozenset[str]:
    return frozenset(
        key.removeprefix(PREFIX) for key, value in segments.items() if key.startswith(PREFIX) and value == REACHED
    )
