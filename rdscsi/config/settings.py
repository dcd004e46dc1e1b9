"""Every setting of the driver: name, kind, help and default, once; and the rules that hold between settings.

How a value is read from flags, environment and file is in `rdscsi.config.sources`; `docs/settings.md` is rendered from
these definitions by `rdscsi.config.reference`.
"""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from rdscsi.config import values
from rdscsi.config.definition import Check, Computed, setting
from rdscsi.config.values import Endpoint, LeaseName
from rdscsi.model import Portal


def _remote_tcp(endpoint: Endpoint, allowed: bool) -> str:
    if endpoint.loopback or allowed:
        return ""
    return (
        "every machine that reaches this address could delete volumes; use unix:// or a loopback address, or say true"
    )


def _readable(name: str) -> Check:
    def wrong(path: Path | None) -> str:
        if path is None:
            return ""
        try:
            path.read_bytes()
        except OSError as error:
            return f"cannot be read: {error.strerror or error}"
        return ""

    return Check((name,), wrong)


def _host_key(path: Path | None, skip: bool) -> str:
    if path is None and not skip:
        return "required: the appliance's public host key, so that nobody else can answer in its place"
    return ""


def _host_name() -> str:
    return socket.gethostname().lower()


def _one_port(portals: tuple[Portal, ...]) -> str:
    """`nvme-tcp-server-port` is a property of the disk item (RouterOS 7.21): one port on all addresses."""
    ports = sorted({portal.trsvcid for portal in portals})
    if len(ports) < 2:
        return ""
    return f"ports {', '.join(map(str, ports))}: RouterOS exports a disk at one port, so all portals must name the same"


def _operation_outlives_window(operation: float, command: float) -> str:
    return "" if operation > command else "an operation takes several commands, so its deadline must be the longer one"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSettings:
    """What both halves share: where to serve, who we are, what to log and remember."""

    title: ClassVar[str] = "Both halves"
    checks: ClassVar[tuple[Check, ...]] = (
        Check(("allow-remote-tcp", "endpoint"), lambda yes, at: _remote_tcp(at, yes)),
    )

    cluster_id: str = setting(
        values.CLUSTER_ID,
        "Identity of the cluster whose volumes these are; never change it. Use the UID of the kube-system namespace.",
    )
    endpoint: Endpoint = setting(
        values.ENDPOINT, "Where to serve the CSI services.", default="unix:///run/rdscsi/csi.sock"
    )
    socket_mode: int = setting(values.MODE, "File mode of the Unix socket.", default="0600")
    socket_group: str = setting(values.GROUP, "Group of the Unix socket; empty: the process's own.", default="")
    allow_remote_tcp: bool = setting(
        values.FLAG,
        "Serve on a TCP address that other machines reach. gRPC here has no authentication.",
        default="false",
    )
    max_receive_bytes: int = setting(values.size(1 << 16), "Largest gRPC request that is read.", default="4Mi")
    drain_seconds: float = setting(
        values.seconds(0, 3600), "How long running calls and operations may go on after SIGTERM.", default="25"
    )
    journal: Path = setting(
        values.PATH,
        "The journal, a SQLite file on a local disk. `rdscsi driver` keeps the node half's beside it, as <stem>-node.",
        default="/var/lib/rdscsi/journal.db",
    )
    topology: bool = setting(
        values.FLAG,
        "Tell which nodes reach which backend, for scheduling and for storage capacity. The same on both halves: a "
        "volume made with it is given to no node whose plugin does not tell.",
        default="false",
    )
    lease: LeaseName | None = setting(
        values.LEASE,
        "The Lease (coordination.k8s.io/v1) without which the controller half stands by, with the rights of the pod's "
        "service account (create, get and update leases); empty: it leads alone.",
        default="",
    )
    health_endpoint: Endpoint | None = setting(
        values.TCP_ENDPOINT,
        "Where to answer /healthz and /readyz over HTTP; empty: nowhere. They tell no more than that.",
        default="",
    )
    log_level: str = setting(values.LOG_LEVEL, "Least severe level that is logged.", default="info")
    log_format: str = setting(values.LOG_FORMAT, "Logs for people or for machines, on standard error.", default="text")

    @property
    def node_journal(self) -> Path:
        """The node half's journal where both halves share one process."""
        return self.journal.with_stem(self.journal.stem + "-node")

    def backend_journal(self, backend: str) -> Path:
        """The journal of a backend that is not the first of several: each has one of its own."""
        return self.journal.with_stem(f"{self.journal.stem}.{backend}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ControllerSettings:
    """The controller half: which appliance, which part of it is ours, and how long things may take."""

    title: ClassVar[str] = "Controller"
    checks: ClassVar[tuple[Check, ...]] = (
        Check(("rds-host-key-file", "rds-insecure-skip-host-key"), _host_key),
        _readable("rds-key-file"),
        _readable("rds-host-key-file"),
        Check(("operation-deadline", "command-deadline"), _operation_outlives_window),
        Check(("portals",), _one_port),
    )

    backend: str = setting(
        values.BACKEND, "Name of this appliance and pool inside volume ids; never change it.", default="rds"
    )
    rds_address: str = setting(values.HOST, "Management address (SSH) of the appliance.")
    rds_port: int = setting(values.PORT, "SSH port of the appliance.", default="22")
    rds_user: str = setting(values.USER, "RouterOS user; needs the policies ssh, read and write.", default="rdscsi")
    rds_key_file: Path = setting(values.PATH, "Private SSH key of that user (OpenSSH or PEM, no passphrase).")
    rds_host_key_file: Path | None = setting(
        values.OPTIONAL_PATH, "Public host key of the appliance, as ssh-keyscan or a .pub file has it.", default=""
    )
    rds_insecure_skip_host_key: bool = setting(
        values.FLAG, "Talk to whoever answers. For a laboratory; warns at every connect.", default="false"
    )
    rds_connections: int = setting(
        values.whole(1, 16), "SSH connections to the appliance; each runs one command at a time.", default="4"
    )
    pool_slot: str = setting(values.SLOT, "Slot of the disk whose filesystem holds the volumes; never change it.")
    base_path: str = setting(
        values.BASE_PATH,
        "Directory of the volumes, as `/file` names it; never change it. Empty: <mount point of the pool>/rdscsi.",
        default="",
    )
    portals: tuple[Portal, ...] = setting(values.PORTALS, "Storage addresses (NVMe/TCP) that nodes connect to.")
    reserve_bytes: int = setting(values.size(0), "Space of the pool that is never given to volumes.", default="1Gi")
    overcommit: float = setting(
        values.factor(1, 100), "Times the pool's size that may be promised to volumes.", default="1"
    )
    default_capacity: int = setting(values.size(1 << 20), "Size of a volume whose request names none.", default="1Gi")
    command_deadline: float = setting(
        values.seconds(1, 600), "Longest wait for the answer to one console line.", default="30"
    )
    line_ttl: float = setting(
        values.seconds(1, 600),
        "Time within which a console line may still start a statement that changes anything.",
        default="30",
    )
    longest_statement: float = setting(
        values.seconds(1, 600), "Longest time that one console statement can run on.", default="10"
    )
    operation_deadline: float = setting(
        values.seconds(2, 86400), "Longest time of one operation, whoever waits for it.", default="300"
    )
    flush_delay: float = setting(
        values.seconds(0, 600),
        "Time after which a change of the appliance's configuration survives a power loss.",
        default="10",
    )
    abandon_after: float = setting(
        values.seconds(1, 604800), "How long a half-made create waits for its caller to come back.", default="600"
    )
    node_evidence: str = setting(
        values.NODE_EVIDENCE,
        "Who is asked whether a node is done with a volume. none: the orchestrator's word is taken; kubernetes: the "
        "Node object is read, with the rights of the pod's service account (get nodes).",
        default="none",
    )
    claim_evidence: str = setting(
        values.CLAIM_EVIDENCE,
        "Who is asked whether anybody claims a volume that was made while its caller went away for good. none: it is "
        "kept, and `rdscsi journal list` shows it; kubernetes: PersistentVolumes and the claim are looked for (list "
        "persistentvolumes and persistentvolumeclaims), and what nobody claims and nobody ever had is erased.",
        default="none",
    )
    snapshot_annotations: str = setting(
        values.SNAPSHOT_ANNOTATIONS,
        "Where source, size and creation time of snapshots are told beside CSI's answers. none: nowhere; kubernetes: "
        "as annotations of their VolumeSnapshotContents (list and patch volumesnapshotcontents).",
        default="none",
    )
    cut_ends_io: bool = setting(
        values.FLAG,
        "Switching an export off is known to end the I/O of connected nodes on this appliance. Without that, a volume "
        "that a node was cut off from is given to the next one only when the first is known to be done with it or off.",
        default="false",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSettings:
    """The node half: which node this is, and how it reaches block devices."""

    title: ClassVar[str] = "Node"
    checks: ClassVar[tuple[Check, ...]] = (
        Check(
            ("loop-exports-dir", "host-backend"),
            lambda exports, backend: "required with host-backend=loop" if backend == "loop" and not exports else "",
        ),
        Check(
            ("kubelet-endpoint", "registration-dir"),
            lambda path, directory: "" if bool(path) == bool(directory) else "goes with registration-dir: both or none",
        ),
    )

    node_name: str = setting(
        values.NODE_NAME,
        "Name of this Kubernetes node. Without it: NODE_NAME, then the host name.",
        default=Computed(_host_name, "the host name"),
        environment_default="NODE_NAME",
    )
    registration_dir: Path | None = setting(
        values.OPTIONAL_PATH,
        "Directory plugins_registry of kubelet, to register with it; empty: a node-driver-registrar does that.",
        default="",
    )
    kubelet_endpoint: Path | None = setting(
        values.OPTIONAL_PATH, "The socket of --endpoint by its path on the host, as kubelet reaches it.", default=""
    )
    host_backend: str = setting(
        values.HOST_BACKEND,
        "kernel: NVMe/TCP; loop: files of a simulated RDS on this machine; simulated: nothing real; auto: what works.",
        default="auto",
    )
    loop_exports_dir: Path | None = setting(
        values.OPTIONAL_PATH, "Directory `exports` of the simulated RDS, for the loop backend.", default=""
    )
    state_dir: Path | None = setting(
        values.OPTIONAL_PATH, "Where the simulated backend keeps its kernel between restarts.", default=""
    )
    backends: tuple[str, ...] = setting(
        values.BACKENDS, "Backends whose portals this node reaches; told with `topology`.", default="rds"
    )
    max_volumes_per_node: int = setting(
        values.whole(0, 100_000), "Volumes that this node takes; 0: as many as are asked for.", default="0"
    )
    node_operation_deadline: float = setting(
        values.seconds(2, 86400), "Longest time of one operation, whoever waits for it.", default="600"
    )
    forgotten_after: float = setting(
        values.seconds(1, 86400),
        "How long the export of a volume that is staged and that nobody uses must be withdrawn until it is taken off "
        "this node without being asked. Keep it above 600 s, for which the kernel tries a lost path.",
        default="900",
    )
    host_traddr: str = setting(
        values.OPTIONAL_ADDRESS,
        "Address of this node from which it connects to portals of the same family; empty: the kernel's routes choose.",
        default="",
    )
    host_iface: str = setting(
        values.OPTIONAL_INTERFACE,
        "Network interface through which this node connects to all portals; empty: the kernel's routes choose.",
        default="",
    )
    connect_deadline: float = setting(values.seconds(1, 600), "Longest time until a device appears.", default="30")
    mount_deadline: float = setting(values.seconds(1, 600), "Longest time of a mount or unmount.", default="60")
    mkfs_deadline: float = setting(
        values.seconds(1, 3600), "Longest time of making, checking or growing a filesystem.", default="300"
    )


SECTIONS: Mapping[str, type] = {
    section.title: section for section in (ProcessSettings, ControllerSettings, NodeSettings)
}
