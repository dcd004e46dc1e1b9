"""`rdscsi sandbox`: a simulated RDS and the driver under one supervisor, until a signal."""

import argparse
from pathlib import Path

from rdscsi.cli.parsing import read_endpoint, read_size
from rdscsi.config.definition import definitions
from rdscsi.config.settings import SECTIONS

_DESCRIPTION = """\
Start a simulated RDS and the driver, each in a process of its own, and keep them running.

Any CSI client can talk to the endpoint: csi-sanity, csc, your own. With loop devices (root, /dev/loop-control) volumes
are real: files of the simulated RDS, formatted and mounted. Elsewhere the kernel is simulated too.

What dies is started again, on the same ports. DIR/sandbox.json tells endpoints, process ids, the SSH access to the
simulated RDS and the journals; it is replaced atomically and is there only while the sandbox is ready. DIR keeps the
state, so that a sandbox goes on where an earlier one ended.
"""

_EPILOG = """\
examples:
  rdscsi sandbox --endpoint unix:///tmp/rds/csi.sock --state-dir /tmp/rds
  rdscsi sandbox --endpoint unix:///tmp/rds/node.sock --controller-endpoint unix:///tmp/rds/controller.sock \\
      --state-dir /tmp/rds --latency realistic

SIGTERM or SIGINT stops it and leaves no process, mount, loop device or socket; a second signal cuts the waiting short.

exit status: 0 stopped by a signal and nothing left, 1 a process cannot be kept running or something stayed, 2 the
command line is wrong
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Fill in the command's parser."""
    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    parser.add_argument(
        "--endpoint",
        required=True,
        type=read_endpoint,
        metavar="URL",
        help="where to serve: unix:///path or tcp://host:port",
    )
    parser.add_argument(
        "--controller-endpoint",
        type=read_endpoint,
        metavar="URL",
        help="serve the controller half here, in a process of its own, as in a cluster",
    )
    parser.add_argument("--state-dir", required=True, type=Path, metavar="DIR", help="made if it is not there")
    parser.add_argument(
        "--host-backend",
        choices=("auto", "loop", "simulated"),
        default="auto",
        help="loop devices or a simulated kernel; auto (default) tries loop devices",
    )
    parser.add_argument(
        "--latency",
        choices=("none", "realistic"),
        default="none",
        help="how quickly the simulated console answers; realistic: as a real appliance (150 to 500 ms)",
    )
    parser.add_argument(
        "--pool-size", type=read_size, default=1 << 40, metavar="SIZE", help="size of the simulated pool (default: 1Ti)"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        type=_override,
        metavar="NAME=VALUE",
        help="a setting of the driver (docs/settings.md) in place of the sandbox's own; repeatable",
    )
    parser.add_argument("--routeros", default="7.24.4", metavar="VERSION", help="version to simulate (default: 7.24.4)")


def run(args: argparse.Namespace) -> int:
    """Keep a sandbox running until a signal; the exit status."""
    import trio

    from rdscsi.observe import logs
    from rdscsi.sandbox.serve import serve
    from rdscsi.sandbox.settings import Options

    logs.configure("warning")
    options = Options(
        state_dir=args.state_dir.absolute(),
        endpoint=args.endpoint,
        controller_endpoint=args.controller_endpoint,
        host_backend=args.host_backend,
        latency=args.latency,
        pool_size=args.pool_size,
        routeros=args.routeros,
        overrides=dict(args.set),
    )
    return trio.run(serve, options)


def _override(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    known = [one.name for section in SECTIONS.values() for one in definitions(section)]
    if not separator or name not in known:
        raise argparse.ArgumentTypeError(f"{text!r}: expected NAME=VALUE with a NAME of docs/settings.md")
    return name, value
