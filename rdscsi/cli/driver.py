"""`rdscsi driver`: serve both halves in one process."""

import argparse

from rdscsi.cli import arguments
from rdscsi.config import ControllerSettings, NodeSettings, ProcessSettings, read_driver

_SECTIONS = (ProcessSettings, ControllerSettings, NodeSettings)

_DESCRIPTION = """\
Serve the Identity, Controller and Node services of CSI on one endpoint, in one process.

For a single machine, for conformance suites and for experiments. In a cluster run `rdscsi controller` once and
`rdscsi node` on each node. Each half keeps its own journal.
"""

_EPILOG = """\
example:
  rdscsi driver --endpoint unix:///run/rdscsi/csi.sock --cluster-id my-machine --node-name my-machine \\
      --rds-address 192.0.2.10 --rds-key-file id_ed25519 --rds-host-key-file host_key.pub \\
      --pool-slot pool1 --portals 198.51.100.10

SIGTERM or SIGINT drains: new calls get UNAVAILABLE, running ones finish, then exit 0. A second signal ends at once.

exit status: 0 drained, 1 ended at once or by an error (a journal could not be written), 2 settings proven wrong
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Fill in the command's parser."""
    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    arguments.add_settings(parser, _SECTIONS)


def run(args: argparse.Namespace) -> int:
    """Serve until a signal ends it."""
    sources = arguments.sources(args)
    process, backends, node = read_driver(sources)
    if args.check:
        arguments.print_settings(sources, _SECTIONS)
        return 0
    from rdscsi import app

    return app.run_driver(process, backends, node)
