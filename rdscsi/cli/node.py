"""`rdscsi node`: serve the node half."""

import argparse

from rdscsi.cli import arguments
from rdscsi.config import NodeSettings, ProcessSettings, read_node

_SECTIONS = (ProcessSettings, NodeSettings)

_DESCRIPTION = """\
Serve the Identity and Node services of CSI: attach, format, mount, grow and detach volumes on this machine.

One runs on each node, as root, beside kubelet's registrar. It never talks to the appliance's console and needs no SSH
key. A volume is formatted only when the controller permits it and the device is proven blank.
"""

_EPILOG = """\
example:
  rdscsi node --endpoint unix:///csi/csi.sock --cluster-id 8c7d6a0e-33a4-4b7e-a1a5-4a0c7b3f9d52 --node-name worker-1

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
    process, node = read_node(sources)
    if args.check:
        arguments.print_settings(sources, _SECTIONS)
        return 0
    from rdscsi import app, memory

    memory.economise()
    return app.run_node(process, node)
