"""The console script: the table of commands, and what every command shares (help, version, exit status).

Only the chosen command's module is imported, so that `rdscsi --help` is quick and a node never loads the SSH client.
"""

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

from rdscsi import __version__
from rdscsi.errors import DriverError, SettingsInvalid

EXIT_FAILED = 1
EXIT_SETTINGS = 2

DESCRIPTION = """\
A Kubernetes CSI driver for the MikroTik ROSE Data Server (RDS).

Volumes are file-backed disks on the appliance, which nodes reach over NVMe/TCP. The controller half drives the
appliance over SSH and remembers what is in flight in a journal, so that a crash, a lost reply or a restart all end in
the same recovery. The node half attaches, formats, mounts and grows devices.
"""

EPILOG = """\
start here:
  rdscsi demo                                    watch two volumes live their lives, on a simulated RDS
  rdscsi sandbox --endpoint unix:///tmp/rds/csi.sock --state-dir /tmp/rds
                                                 a simulated RDS and the driver, for any CSI client
  rdscsi COMMAND --help                          what a command does, its settings and examples

exit status: 0 all went well, 1 something failed, 2 the command line or a setting is wrong (all mistakes are listed)
"""


class CommandModule(Protocol):
    """What a command's module offers."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, args: argparse.Namespace) -> int: ...


@dataclass(frozen=True, slots=True)
class Command:
    """A command's name, where it is implemented, and its line in `rdscsi --help`."""

    name: str
    module: str
    summary: str


COMMANDS = (
    Command("controller", "rdscsi.cli.controller", "serve the controller half (one per cluster and appliance)"),
    Command("node", "rdscsi.cli.node", "serve the node half (one on each node)"),
    Command("driver", "rdscsi.cli.driver", "serve both halves in one process, for a single machine"),
    Command("journal", "rdscsi.cli.journal", "show what a journal remembers, explain what is stuck, help it on"),
    Command("publication", "rdscsi.cli.publication", "show who may reach which volume, and cut off who must not"),
    Command("volume", "rdscsi.cli.volume", "make a disk of the appliance, or a retained volume, a PersistentVolume"),
    Command("simulator", "rdscsi.simulator.command", "a simulated RDS: a RouterOS console over SSH"),
    Command("probe", "rdscsi.cli.probe", "ask a real RDS what no document says, and write a transcript"),
    Command("sandbox", "rdscsi.cli.sandbox", "a simulated RDS and the driver under one supervisor"),
    Command("drill", "rdscsi.cli.drill", "crash-recovery drills of the controller, with a verdict for each"),
    Command("demo", "rdscsi.cli.demo", "the life of two volumes and a crash, shown step by step"),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    args = _parser(_chosen(arguments)).parse_args(arguments)
    run = cast("Callable[[argparse.Namespace], int]", args.run)
    try:
        return run(args)
    except SettingsInvalid as error:
        print(_mistakes(error), file=sys.stderr)
        return EXIT_SETTINGS
    except DriverError as error:
        print(f"rdscsi {args.command}: {error}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        return 128 + 2  # as a shell reports a process that SIGINT ended
    except BrokenPipeError:
        sys.stderr.close()  # the reader went away (`… | head`); Python would complain once more at exit
        return EXIT_FAILED


def _mistakes(error: SettingsInvalid) -> str:
    count = len(error.mistakes)
    heading = "rdscsi: one setting is wrong:" if count == 1 else f"rdscsi: {count} settings are wrong:"
    return "\n".join([heading, *(f"  - {one}" for one in error.mistakes)])


def _chosen(arguments: Sequence[str]) -> str:
    """The first word that is no option; `--help` and `--version` need no command."""
    return next((one for one in arguments if not one.startswith("-")), "")


def _parser(chosen: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "rdscsi", description=DESCRIPTION, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"rdscsi {__version__}")
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND", required=True)
    for command in COMMANDS:
        sub = commands.add_parser(
            command.name, help=command.summary, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
        )
        if command.name == chosen:
            module = cast("CommandModule", importlib.import_module(command.module))
            module.add_arguments(sub)
            sub.set_defaults(run=module.run)
    return parser
