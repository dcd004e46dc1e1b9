"""`rdscsi controller`: serve the controller half."""

import argparse

from rdscsi.cli import arguments
from rdscsi.config import ControllerSettings, ProcessSettings, read_controller

_SECTIONS = (ProcessSettings, ControllerSettings)

_DESCRIPTION = """\
Serve the Identity and Controller services of CSI: create, delete, publish, unpublish, expand and list volumes.

One controller runs per cluster and appliance, beside the CSI sidecars. It drives the appliance by console lines over
SSH. Each operation is recorded in the journal before its first effect; at the next start open ones are finished or
undone. With the appliance out of reach it starts, serves, answers UNAVAILABLE, and goes on trying.
"""

_EPILOG = """\
example:
  rdscsi controller --endpoint unix:///csi/csi.sock --cluster-id 8c7d6a0e-33a4-4b7e-a1a5-4a0c7b3f9d52 \\
      --rds-address 192.0.2.10 --rds-key-file /etc/rdscsi/id_ed25519 --rds-host-key-file /etc/rdscsi/host_key.pub \\
      --pool-slot pool1 --portals 198.51.100.10,198.51.100.11

SIGTERM or SIGINT drains: new calls get UNAVAILABLE, running ones finish, then exit 0. A second signal ends at once.

exit status: 0 drained, 1 ended at once or by an error (the journal could not be written), 2 settings proven wrong
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Fill in the command's parser."""
    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    arguments.add_settings(parser, _SECTIONS)


def run(args: argparse.Namespace) -> int:
    """Serve until a signal ends it."""
    sources = arguments.sources(args)
    process, backends = read_controller(sources)
    if args.check:
        arguments.print_settings(sources, _SECTIONS)
        return 0
    from rdscsi import app

    return app.run_controller(process, backends)
