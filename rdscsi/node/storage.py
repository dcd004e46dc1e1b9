"""NodeGetStorageHealth: which portals this node reaches, as the paths of its staged volumes show. Changes nothing.

A portal through which any volume's path is live is reached. One through which paths are tried and none is live is not,
unless it has answered that an export is withdrawn, which is that volume's matter alone.
"""

from collections.abc import Iterable, Mapping

from rdscsi import names
from rdscsi.journal import StageRecord
from rdscsi.model import HealthProblem, StorageProblem, StorageStatus
from rdscsi.node.health import EXPORT_WITHDRAWN, PORTAL_UNREACHABLE, find_missing
from rdscsi.node.machine import Machine, parse_portals

PORTALS_UNREACHABLE = "PortalsUnreachable"


async def problems(
    machine: Machine, records: Iterable[StageRecord], answers: Mapping[str, HealthProblem]
) -> tuple[StorageProblem, ...]:
    """Return what is wrong with the storage, each reason once.

    `answers`: what portals said of volumes without a live path, by volume id. Raises DeviceUnavailable when the machine
    cannot be looked at.
    """
    reached: dict[str, set[str]] = {}
    lost: dict[str, set[str]] = {}
    for record in records:
        parsed = names.parse_volume_id(record.volume_id)
        backend = parsed.backend if parsed else ""
        answer = answers.get(record.volume_id)
        for portal, live in (await _portals(machine, record, answer)).items():
            (reached if live else lost).setdefault(backend, set()).add(portal)
    return tuple(_told(reached, lost))


async def _portals(machine: Machine, record: StageRecord, answer: HealthProblem | None) -> dict[str, bool]:
    """Return the portals that a volume says something about, with whether they are reached."""
    controllers = await machine.host.controllers(record.subnqn)
    if not any(one.live for one in controllers) and answer is not None and answer.reason == EXPORT_WITHDRAWN:
        return {}
    found = {str(portal): False for portal in await find_missing(machine, record, controllers)}
    for portal in parse_portals(record.portals):
        own = [one for one in controllers if one.portal in (None, portal)]
        if own or (not controllers and answer is not None and answer.reason == PORTAL_UNREACHABLE):
            found[str(portal)] = any(one.live for one in own)
    return found


def _told(reached: Mapping[str, set[str]], lost: Mapping[str, set[str]]) -> Iterable[StorageProblem]:
    messages: dict[tuple[StorageStatus, str], list[str]] = {}
    for backend, portals in sorted(lost.items()):
        if down := sorted(portals - reached.get(backend, set())):
            one = (StorageStatus.DEGRADED, PORTAL_UNREACHABLE)
            every = (StorageStatus.UNREACHABLE, PORTALS_UNREACHABLE)
            message = f"backend {backend}: {', '.join(down)} cannot be reached"
            messages.setdefault(one if reached.get(backend) else every, []).append(message)
    return (StorageProblem(status, reason, "; ".join(own)) for (status, reason), own in messages.items())
