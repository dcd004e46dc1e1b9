"""The settings files with which a sandbox starts its driver, and the simulated RDS's arguments.

Times are shorter than on hardware, where a line may still run half a minute after its session died.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rdscsi.config.values import Endpoint
from rdscsi.sandbox.layout import Layout
from rdscsi.sandbox.record import Ssh

CLUSTER_ID = "sandbox"
USER = "rdscsi"
POOL = "pool1"


@dataclass(frozen=True, slots=True)
class Options:
    """What `rdscsi sandbox` was asked for. Without `controller_endpoint` one process serves both halves.

    `overrides` are settings of the driver in place of the sandbox's own, as texts. `console_log`: the simulated RDS
    writes down each line and answer, without bound.
    """

    state_dir: Path
    endpoint: Endpoint
    controller_endpoint: Endpoint | None = None
    host_backend: str = "auto"
    latency: str = "none"
    pool_size: int = 1 << 40
    routeros: str = "7.24.4"
    console_log: bool = False
    overrides: Mapping[str, str] = field(default_factory=dict)


def simulator_arguments(options: Options, layout: Layout, ssh: Ssh) -> tuple[str, ...]:
    """The command line of the simulated RDS."""
    return (
        "simulator",
        *("--listen", f"{ssh.host}:{ssh.port}"),
        *("--state-dir", str(layout.simulator)),
        *("--authorized-key", str(layout.client_public_key)),
        *("--routeros", options.routeros),
        *("--latency", options.latency),
        *("--pool-size", str(options.pool_size)),
        *(("--console-log", str(layout.console_log)) if options.console_log else ()),
    )


def controller(layout: Layout, ssh: Ssh) -> dict[str, object]:
    """Settings of the controller half."""
    return {
        "rds-address": ssh.host,
        "rds-port": ssh.port,
        "rds-user": ssh.user,
        "rds-key-file": ssh.key,
        "rds-host-key-file": ssh.host_key,
        "pool-slot": POOL,
        "portals": [ssh.host],
        "command-deadline": 10,
        "line-ttl": 5,
        "longest-statement": 2,
        "flush-delay": 0,
        "abandon-after": 60,
    }


def node(layout: Layout, host_backend: str) -> dict[str, object]:
    """Settings of the node half."""
    return {
        "node-name": "sandbox",
        "host-backend": host_backend,
        "loop-exports-dir": str(layout.exports),
        "state-dir": str(layout.kernel),
    }


def process(layout: Layout, name: str, endpoint: Endpoint) -> dict[str, object]:
    """Settings that each process of the driver needs."""
    return {
        "cluster-id": CLUSTER_ID,
        "endpoint": str(endpoint),
        "journal": str(layout.journal(name)),
        "log-format": "json",
        "drain-seconds": 10,
    }


def write(path: Path, content: Mapping[str, object]) -> None:
    """Write a settings file. JSON's strings, numbers, booleans and lists are TOML's as well."""
    path.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in content.items()))
