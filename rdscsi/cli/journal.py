"""`rdscsi journal`: show what a journal remembers, while a driver uses it or not."""

import argparse
import os
import time
from pathlib import Path

from rdscsi.config import ProcessSettings
from rdscsi.config.definition import definitions

_DESCRIPTION = """\
Show what a journal remembers: operations in flight and in history, volumes, stages on a node, what was deleted.

Reads only, from one moment, and never stops or disturbs a driver that uses the journal. docs/journal.md explains each
column and state.
"""

_EPILOG = """\
examples:
  rdscsi journal list                            what is unfinished, since when, and what happens next
  rdscsi journal list --state all --limit 20     the last 20 operations
  rdscsi journal show pool1/v3hq2k7-2m4c…        everything about one volume, or about one operation by its id
  rdscsi journal volumes --output json | jq '.volumes[] | select(.quarantine != "")'
  kubectl exec deploy/rdscsi-controller -c driver -- rdscsi journal list

exit status: 0 shown (an empty list too), 1 nothing has this id, or the file is damaged, 2 no journal that this version
can read, or the command line is wrong
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Fill in the command's parser."""
    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    verbs = parser.add_subparsers(title="what to show", dest="verb", metavar="WHAT", required=True)
    listing = _verb(verbs, "list", "operations")
    listing.add_argument(
        "--state", choices=("open", "all"), default="open", help="open (default): what is unfinished; all: history too"
    )
    listing.add_argument(
        "--limit", type=_positive, default=100, metavar="N", help="with --state all: the newest N (default: 100)"
    )
    show = _verb(verbs, "show", "one operation, or all about one volume: request, steps, errors")
    show.add_argument("what", metavar="ID", help="an operation's id, its subject, or a volume id")
    _verb(verbs, "volumes", "volumes of the controller half")
    _verb(verbs, "stages", "volumes staged on this node")
    _verb(verbs, "targets", "paths at which volumes are published on this node")
    _verb(verbs, "tombstones", "volumes that are deleted for good")


def run(args: argparse.Namespace) -> int:
    """Show it; the exit status."""
    from rdscsi.cli import journal_view
    from rdscsi.journal.reading import read_journal

    with read_journal(Path(args.journal)) as reading:
        view = journal_view.collect(reading, args, now=time.time())
    (journal_view.print_json if args.output == "json" else journal_view.print_tables)(view)
    return view.status


# Any: argparse's own type of the sub-parsers has no public name.
def _verb(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, summary: str
) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=summary, description=f"Show {summary}.", allow_abbrev=False)
    variable, default = _journal_setting()
    parser.add_argument(
        "--journal",
        metavar="FILE",
        default=os.environ.get(variable, default),
        help=f"the journal ({variable}; default: {default})",
    )
    parser.add_argument("--output", choices=("table", "json"), default="table", help="for people (default) or machines")
    return parser


def _journal_setting() -> tuple[str, str]:
    """Return the environment variable and the default of the setting that tells the driver where its journal is."""
    definition = next(one for one in definitions(ProcessSettings) if one.name == "journal")
    return definition.environment, definition.default_shown


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= 1_000_000):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number from 1 to 1000000")
    return int(text)
