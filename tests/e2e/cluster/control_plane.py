"""etcd, API server, controllers and scheduler: their files and their command lines, all in the world's network."""

import json
import secrets
from collections.abc import Sequence
from pathlib import Path

from cluster import certificates
from cluster.places import State

API_ADDRESS = "10.77.0.1"
SERVICE_ADDRESS = "10.96.0.1"
"""The `kubernetes` service. There is no kube-proxy: the API server itself answers there, on the port of the service."""

API_PORT = 443
SERVICE_RANGE = "10.96.0.0/24"
API_URL = f"https://{API_ADDRESS}:{API_PORT}"

NODE_LOST_SECONDS = 20
"""After which a silent node is taken for lost; the default, 50, only makes the suite wait."""

FIRST = ("etcd", "kube-apiserver")
THEN = ("kube-controller-manager", "kube-scheduler")

_AUDIT = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "Metadata", "userGroups": ["system:serviceaccounts:rdscsi"]},
        {"level": "None"},
    ],
}
"""What the chart's service accounts do; the suite compares it with the rights that the chart gives them."""


def write_files(state: State, nodes: Sequence[str]) -> None:
    """Write keys, tokens and client configurations of a new cluster."""
    certificates.write_all(state.pki, ["127.0.0.1", API_ADDRESS, SERVICE_ADDRESS])
    tokens = []
    users = {"admin": ("admin", "system:masters"), "kcm": ("system:kube-controller-manager", "")}
    users |= {"scheduler": ("system:kube-scheduler", "")}
    users |= {"snapshots": ("snapshot-controller", "system:masters")}  # its own roles are not what is tested
    users |= {node: (f"system:node:{node}", "system:nodes") for node in nodes}
    for file, (user, groups) in users.items():
        token = secrets.token_hex(16)
        tokens.append(f'{token},{user},{user},"{groups}"\n')
        path = state.directory / f"{file}.conf"
        path.touch(mode=0o600)
        path.write_text(kubeconfig((state.pki / "ca.crt").read_text(), token))
    (state.pki / "tokens.csv").write_text("".join(tokens))
    (state.directory / "audit.yaml").write_text(json.dumps(_AUDIT))


def kubeconfig(authority: str, token: str) -> str:
    """A client configuration that needs no other file. JSON is YAML as well."""
    cluster = {"server": API_URL, "certificate-authority-data": _base64(authority)}
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "e2e",
            "clusters": [{"name": "e2e", "cluster": cluster}],
            "contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": "e2e"}}],
            "users": [{"name": "e2e", "user": {"token": token}}],
        },
        indent=1,
    )


def _base64(text: str) -> str:
    import base64

    return base64.b64encode(text.encode()).decode()


def commands(state: State, programs: Path) -> dict[str, tuple[str, ...]]:
    """The command line of each program."""
    pki = state.pki
    return {
        "etcd": (
            str(programs / "etcd"),
            *_flags(
                data_dir=state.directory / "etcd",
                listen_client_urls="http://127.0.0.1:2379",
                advertise_client_urls="http://127.0.0.1:2379",
                listen_peer_urls="http://127.0.0.1:2380",
                log_level="warn",
            ),
            "--unsafe-no-fsync",  # a cluster that nobody keeps; killing etcd alone loses nothing all the same
        ),
        "kube-apiserver": (
            str(programs / "kube-apiserver"),
            *_flags(
                etcd_servers="http://127.0.0.1:2379",
                bind_address="0.0.0.0",
                advertise_address=API_ADDRESS,
                secure_port=API_PORT,
                endpoint_reconciler_type="none",
                service_cluster_ip_range=SERVICE_RANGE,
                authorization_mode="Node,RBAC",
                allow_privileged="true",
                token_auth_file=pki / "tokens.csv",
                client_ca_file=pki / "ca.crt",
                tls_cert_file=pki / "apiserver.crt",
                tls_private_key_file=pki / "apiserver.key",
                kubelet_preferred_address_types="InternalIP",
                kubelet_client_certificate=pki / "kubelet-client.crt",
                kubelet_client_key=pki / "kubelet-client.key",
                service_account_issuer="https://kubernetes.default.svc",
                service_account_key_file=pki / "sa.pub",
                service_account_signing_key_file=pki / "sa.key",
                audit_policy_file=state.directory / "audit.yaml",
                audit_log_path=state.audit_log,
            ),
        ),
        "kube-controller-manager": (
            str(programs / "kube-controller-manager"),
            *_client(state.directory / "kcm.conf"),
            *_flags(
                service_account_private_key_file=pki / "sa.key",
                root_ca_file=pki / "ca.crt",
                node_monitor_grace_period=f"{NODE_LOST_SECONDS}s",
                use_service_account_credentials="true",
            ),
        ),
        "kube-scheduler": (str(programs / "kube-scheduler"), *_client(state.directory / "scheduler.conf")),
        "snapshot-controller": (
            str(programs / "snapshot-controller"),
            *_flags(kubeconfig=state.directory / "snapshots.conf", retry_interval_max="10s"),
        ),
    }


def _client(config: Path) -> tuple[str, ...]:
    return _flags(
        kubeconfig=config,
        authentication_kubeconfig=config,
        authorization_kubeconfig=config,
        leader_elect="false",
        bind_address="127.0.0.1",
    )


def _flags(**flags: object) -> tuple[str, ...]:
    return tuple(f"--{name.replace('_', '-')}={value}" for name, value in flags.items())
