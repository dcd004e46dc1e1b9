"""From settings to a controller: the SSH transport, the console over it, and the parts behind the port."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rdscsi.config import ControllerSettings, LeaseName
from rdscsi.controller.controller import Controller, make_controller
from rdscsi.controller.options import ControllerOptions
from rdscsi.journal import Journal
from rdscsi.kube import Claims, Contents, Lease, Nodes, in_cluster, open_lease
from rdscsi.operations import Operations
from rdscsi.routeros.console import Console
from rdscsi.routeros.device import Device, DeviceSettings
from rdscsi.routeros.pool import PoolSettings
from rdscsi.routeros.ssh import SshSettings, open_ssh


@asynccontextmanager
async def open_controller(
    settings: ControllerSettings,
    *,
    cluster_id: str,
    journal: Journal,
    operations: Operations,
    lease: Lease | None = None,
) -> AsyncIterator[Controller]:
    """Keep a controller while the body runs; nothing is sent before its `keep` runs. Needs a trio-asyncio loop.

    Raises SettingsInvalid for key files that cannot be used, and for evidence of Kubernetes outside of a pod.
    """
    async with open_ssh(_ssh(settings)) as transport:
        yield make_controller(
            console=Console(transport),
            journal=journal,
            operations=operations,
            options=_options(settings, cluster_id),
            settings=device_settings(settings, cluster_id),
            evidence=Nodes(in_cluster("node-evidence=kubernetes")) if settings.node_evidence == "kubernetes" else None,
            claims=Claims(in_cluster("claim-evidence=kubernetes")) if settings.claim_evidence == "kubernetes" else None,
            lease=lease,
        )


@asynccontextmanager
async def open_leading(lease: LeaseName | None, journal: Journal) -> AsyncIterator[Lease | None]:
    """Be a candidate for the Lease of that name while the body runs, if one is named.

    The identity is the journal's, which one process at a time has open: a process that is started again after a crash
    goes on with the Lease that it held. Raises SettingsInvalid outside of a pod.
    """
    if lease is None:
        yield None
        return
    identity = f"{socket.gethostname()}_{journal.id}"
    async with open_lease(Lease(in_cluster(f"lease={lease}"), lease.namespace, lease.name, identity)) as candidate:
        yield candidate


def contents_of(settings: ControllerSettings, controller: Controller) -> Contents | None:
    """Return what annotates a controller's snapshots, if that is wanted. Raises SettingsInvalid outside of a pod."""
    if settings.snapshot_annotations != "kubernetes":
        return None
    return Contents(in_cluster("snapshot-annotations=kubernetes"), controller.list_snapshots)


@asynccontextmanager
async def open_device(settings: ControllerSettings, *, cluster_id: str) -> AsyncIterator[Device]:
    """Keep a way to the appliance for looks that change nothing; no token is taken. Needs a trio-asyncio loop.

    Raises SettingsInvalid for key files that cannot be used.
    """
    async with open_ssh(_ssh(settings)) as transport:
        yield Device(console=Console(transport), settings=device_settings(settings, cluster_id))


@asynccontextmanager
async def open_console(settings: ControllerSettings) -> AsyncIterator[Console]:
    """Keep a console on the appliance. Raises as `open_device`, and needs what it needs."""
    async with open_ssh(_ssh(settings)) as transport:
        yield Console(transport)


def _ssh(settings: ControllerSettings) -> SshSettings:
    return SshSettings(
        host=settings.rds_address,
        port=settings.rds_port,
        username=settings.rds_user,
        key_file=settings.rds_key_file,
        host_key_file=settings.rds_host_key_file,
        insecure=settings.rds_insecure_skip_host_key,
        pool=PoolSettings(connections=settings.rds_connections),
    )


def device_settings(settings: ControllerSettings, cluster_id: str) -> DeviceSettings:
    """Return what the settings say of the appliance."""
    return DeviceSettings(
        backend=settings.backend,
        cluster_id=cluster_id,
        pool_slot=settings.pool_slot,
        base_path=settings.base_path,
        command_deadline=settings.command_deadline,
        line_ttl=settings.line_ttl,
        longest_statement=settings.longest_statement,
        flush_delay=settings.flush_delay,
    )


def _options(settings: ControllerSettings, cluster_id: str) -> ControllerOptions:
    return ControllerOptions(
        cluster_id=cluster_id,
        backend=settings.backend,
        portals=settings.portals,
        reserve_bytes=settings.reserve_bytes,
        overcommit=settings.overcommit,
        default_capacity=settings.default_capacity,
        flush_delay=settings.flush_delay,
        abandon_after=settings.abandon_after,
        cut_ends_io=settings.cut_ends_io,
    )
