"""`rdscsi journal`: what a journal remembers, for people, while a driver uses it or not; and how to ask for something.

Arguments only. Views are in `journal_view`, explanations in `journal_explain`, wishes in `journal_requests`.
"""

import argparse
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from rdscsi.cli import sight
from rdscsi.config import ProcessSettings
from rdscsi.config.definition import definitions
from rdscsi.config.settings import ControllerSettings

if TYPE_CHECKING:
    from rdscsi.cli.journal_explain import Explanation

_DESCRIPTION = """\
Show what a journal remembers: operations in flight and in history, volumes, stages on a node, what was deleted; explain
what is stuck, and ask the driver for what it does not do by itself.

Reading never stops or disturbs a driver that uses the journal. Verbs that ask for something (retry, abandon, resolve,
rebuild) show a plan, ask, and leave a wish in the journal, which the driver carries out. docs/journal.md explains each
column and state.
"""

_EPILOG = """\
examples:
  rdscsi journal list                            what is unfinished or quarantined, since when, and what happens next
  rdscsi journal explain rds/v3hq2k7-2m4c…       one volume in words: journal, appliance, what comes next, what helps
  rdscsi journal list --state all --limit 20     the last 20 operations
  rdscsi journal show rds/v3hq2k7-2m4c…          everything about one volume, or about one operation by its id
  rdscsi journal volumes --output json | jq '.volumes[] | select(.quarantine != "")'
  rdscsi journal retry rds/v3hq2k7-2m4c… --yes   try now what is open for it
  kubectl exec deploy/rdscsi-controller -c driver -- rdscsi journal list

exit status: 0 done, or shown and nothing is open, quarantined or claimed by nobody; 1 nothing has this id, the file is
damaged, or what was asked for is refused; 2 no journal that this version can read, or the command line or a setting is
wrong; 3 something is open, quarantined or claimed by nobody, or what was asked for is not carried out yet; 4 not
confirmed, nothing was done
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Fill in the command's parser."""
    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    verbs = parser.add_subparsers(title="verbs", dest="verb", metavar="VERB", required=True)
    listing = _verb(verbs, "list", "Show operations, and volumes that a person must look at.")
    listing.add_argument(
        "--state", choices=("open", "all"), default="open", help="open (default): what is unfinished; all: history too"
    )
    listing.add_argument(
        "--limit", type=_positive, default=100, metavar="N", help="with --state all: the newest N (default: 100)"
    )
    _about(_verb(verbs, "show", "Show one operation, or all about one volume: request, steps, errors."))
    explained = _verb(verbs, "explain", "Say in words what is the matter with a volume, and what helps.")
    sight.add_arguments(_about(explained))
    watching = _verb(verbs, "watch", "Follow what happens, line by line.")
    watching.add_argument("what", metavar="ID", nargs="?", default="", help="one operation or volume (default: all)")
    watching.add_argument("--interval", type=float, default=1.0, metavar="SECONDS", help="between looks (default: 1)")
    watching.add_argument("--seconds", type=float, default=0.0, metavar="SECONDS", help="how long (default: for ever)")
    _verb(verbs, "volumes", "Show volumes of the controller half.")
    _verb(verbs, "snapshots", "Show snapshots of the controller half.")
    _verb(verbs, "stages", "Show volumes staged on this node.")
    _verb(verbs, "targets", "Show paths at which volumes are published on this node.")
    _verb(verbs, "tombstones", "Show volumes that are deleted for good.")
    _add_wishes(verbs)
    _add_files(verbs)


def run(args: argparse.Namespace) -> int:
    """Do it; the exit status."""
    if args.verb in ("verify", "export", "backup", "rebuild"):
        from rdscsi.cli import journal_files

        whole = {
            "verify": journal_files.verify,
            "export": journal_files.export,
            "backup": journal_files.backup,
            "rebuild": journal_files.rebuild,
        }
        return whole[args.verb](args)
    if args.verb in ("retry", "abandon", "resolve"):
        from rdscsi.cli import journal_requests

        return journal_requests.run(args)
    if args.verb == "watch":
        from rdscsi.cli import journal_watch

        return journal_watch.run(args)
    return _explain(args) if args.verb == "explain" else _show(args)


def add_common(parser: argparse.ArgumentParser) -> None:
    """Add what every command about a journal takes."""
    variable, default = _setting(ProcessSettings, "journal")
    parser.add_argument(
        "--journal",
        metavar="FILE",
        default=os.environ.get(variable, default),
        help=f"the journal ({variable}; default: {default})",
    )
    parser.add_argument("--output", choices=("table", "json"), default="table", help="for people (default) or machines")


def add_wish(parser: argparse.ArgumentParser) -> None:
    """Add what every verb takes that asks the driver for something."""
    sight.add_arguments(parser)
    parser.add_argument("--yes", action="store_true", help="do not ask; for scripts")
    parser.add_argument(
        "--wait", type=float, default=90.0, metavar="SECONDS", help="how long to wait for the end (default: 90)"
    )


def print_explanation(explanation: "Explanation") -> None:
    """Print it for a person; colours only on a terminal."""
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else 10_000, highlight=False, markup=False, emoji=False)
    case = explanation.case
    style = {0: "bold green", 1: "bold"}.get(case.status, "bold yellow")
    console.print(f"{case.subject}: {case.state}", style=style, soft_wrap=True)
    for about, text in explanation.told:
        console.print(f"  {about:<10} {text}", soft_wrap=True)
    for number, (command, does) in enumerate(explanation.help):
        console.print(f"  {'you can' if not number else '':<10} {command}", style="cyan", soft_wrap=True)
        console.print(f"  {'':<10}   {does}", soft_wrap=True)


def _show(args: argparse.Namespace) -> int:
    from rdscsi.cli import journal_view
    from rdscsi.journal.reading import read_journal

    with read_journal(Path(args.journal)) as reading:
        view = journal_view.collect(reading, args, now=time.time())
    (journal_view.print_json if args.output == "json" else journal_view.print_tables)(view)
    return view.status


def _explain(args: argparse.Namespace) -> int:
    import json

    from rdscsi.cli.journal_explain import collect, explain
    from rdscsi.cli.journal_view import readable
    from rdscsi.journal.reading import read_journal

    seen = sight.look(args)
    variable, default = _setting(ControllerSettings, "abandon-after")
    patience = float(os.environ.get(variable, default))
    with read_journal(Path(args.journal)) as reading:
        case = collect(reading, args.what, seen, now=time.time(), abandon_after=patience)
    explanation = explain(case)
    if args.output == "json":
        print(json.dumps(readable(explanation.document()), indent=2, ensure_ascii=True))
    else:
        print_explanation(explanation)
    return case.status


# Any: argparse's own type of the sub-parsers has no public name.
_Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def _add_wishes(verbs: _Verbs) -> None:
    retry = _verb(verbs, "retry", "Have what is open for a volume tried at once; a create without its caller.")
    abandon = _verb(verbs, "abandon", "Have what an unfinished create has made, or made for nobody, erased.")
    resolve = _verb(verbs, "resolve", "End the quarantine of a volume.")
    how = resolve.add_mutually_exclusive_group(required=True)
    for name, does in (
        ("accept", "believe what the appliance shows"),
        ("restore", "put back on the appliance what the record says"),
        ("forget", "drop the record of a volume of which nothing is left"),
    ):
        how.add_argument(f"--{name}", dest="how", action="store_const", const=name, help=does)
    for parser in (retry, abandon, resolve):
        add_wish(_about(parser))


def _add_files(verbs: _Verbs) -> None:
    sight.add_arguments(_verb(verbs, "verify", "Check the file, and compare it with itself and the appliance."))
    _verb(verbs, "export", "Print everything as one JSON document, without secrets.")
    backup = _verb(verbs, "backup", "Copy the journal, as it is now, into a new file.")
    backup.add_argument("file", metavar="FILE", help="the new file")
    rebuild = _verb(
        verbs, "rebuild", "Have the journal put aside, and made anew from what there is, at the next start."
    )
    rebuild.add_argument("--yes", action="store_true", help="do not ask; for scripts")


def _verb(verbs: _Verbs, name: str, summary: str) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=summary, description=summary, allow_abbrev=False)
    add_common(parser)
    return parser


def _about(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument("what", metavar="ID", help="an operation's id, its subject, or a volume id")
    return parser


def _setting(section: type, name: str) -> tuple[str, str]:
    """Return the environment variable and the default of a setting of the driver."""
    definition = next(one for one in definitions(section) if one.name == name)
    return definition.environment, definition.default_shown


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= 1_000_000):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number from 1 to 1000000")
    return int(text)
