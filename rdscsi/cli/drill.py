"""`rdscsi drill`: crash-recovery drills of the controller, with a verdict for each."""

import argparse
import json
import sys
from pathlib import Path

_DESCRIPTION = """\
Rehearse what the journal is for. Each drill runs the controller of this very version over an embedded simulated RDS and
strikes it: the process dies before and after each effect of a call, answers are lost, lines stop half way, the
appliance loses power, the journal is gone. Then the next process, or the caller's retry, has to bring everything to a
good end, and the appliance, the journal and what the caller was told are compared.

Nothing outside a temporary directory is touched; time is virtual, so that half an hour passes in a moment.
"""

_EPILOG = """\
examples:
  rdscsi drill list
  rdscsi drill run create-killed
  rdscsi drill run --all --report drills.html
  rdscsi drill run --all --output json | jq '.drills[] | select(.passed | not) | .name'

exit status: 0 every drill passed, 1 a drill failed, 2 the command line is wrong
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Fill in the command's parser."""
    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    verbs = parser.add_subparsers(title="what to do", dest="verb", metavar="VERB", required=True)
    listing = verbs.add_parser("list", help="the drills and what each promises", allow_abbrev=False)
    running = verbs.add_parser("run", help="run one, some or all of them", allow_abbrev=False)
    running.add_argument("names", nargs="*", metavar="NAME", help="of `rdscsi drill list`")
    running.add_argument("--all", action="store_true", help="every drill, in about a minute")
    running.add_argument(
        "--report", type=Path, metavar="FILE.html", help="also write a page with a timeline of each case"
    )
    for verb in (listing, running):
        verb.add_argument("--output", choices=("table", "json"), default="table", help="default: table")


def run(args: argparse.Namespace) -> int:
    """List or run drills; the exit status."""
    from rdscsi.drill.drills import DRILLS
    from rdscsi.observe import logs

    logs.configure("error")  # what a struck controller warns of is what was ordered
    if args.verb == "list":
        return _list(args.output)
    unknown = [name for name in args.names if name not in DRILLS]
    if unknown or args.all == bool(args.names):
        told = f"no such drill: {', '.join(unknown)}" if unknown else "name drills, or say --all"
        print(f"rdscsi drill run: {told}; they are {', '.join(DRILLS)}", file=sys.stderr)
        return 2
    if args.report is not None and not args.report.absolute().parent.is_dir():
        print(f"rdscsi drill run: {args.report.absolute().parent} is not a directory", file=sys.stderr)
        return 2
    return _run(list(DRILLS) if args.all else args.names, args.output, args.report)


def _list(output: str) -> int:
    from rdscsi.drill.drills import DRILLS
    from rdscsi.drill.view import open_console, show_list

    if output == "table":
        show_list(open_console(), DRILLS.values())
        return 0
    listed = [{"name": one.name, "title": one.title, "promise": one.promise} for one in DRILLS.values()]
    print(json.dumps(listed, indent=2))
    return 0


def _run(names: list[str], output: str, report: Path | None) -> int:
    from datetime import UTC, datetime
    from functools import partial

    from rdscsi.drill.drills import DRILLS
    from rdscsi.drill.report import as_html, as_json
    from rdscsi.drill.running import run_one
    from rdscsi.drill.view import open_console, show_end, show_progress, show_verdict

    console, verdicts = open_console(), []
    progress = partial(show_progress, open_console(stderr=True))
    for name in dict.fromkeys(names):
        verdicts.append(run_one(DRILLS[name], progress))
        if output == "table":
            show_verdict(console, verdicts[-1])
    if output == "json":
        print(as_json(verdicts))
    else:
        show_end(console, verdicts)
    if report is not None:
        report.write_text(as_html(verdicts, datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")))
    return 0 if all(verdict.passed for verdict in verdicts) else 1
