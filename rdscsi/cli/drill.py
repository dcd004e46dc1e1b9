"""`rdscsi drill`: crash-recovery drills of the controller, with a verdict for each."""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rdscsi.drill.stage import Stage

_DESCRIPTION = """\
Rehearse what the journal is for. Each drill runs the controller of this very version over an embedded simulated RDS and
strikes it: the process dies before and after each effect of a call, answers are lost, lines stop half way, the
appliance loses power, the journal is gone. Then the next process, or the caller's retry, has to bring everything to a
good end, and the appliance, the journal and what the caller was told are compared.

Nothing outside a temporary directory is touched; time is virtual, so that half an hour passes in a moment.

With --appliance the same is done on a staging appliance, in real time, under a cluster id of the drill's own: volumes
are made, published, grown and deleted there, and everything is removed again. Nobody else may change disks meanwhile.
What needs a simulated RDS (power losses, torn and late lines, strangers) is left out.
"""

_EPILOG = """\
examples:
  rdscsi drill list
  rdscsi drill run create-killed
  rdscsi drill run --all --report drills.html
  rdscsi drill run create-killed --appliance staging.toml
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
    running.add_argument(
        "--appliance",
        type=Path,
        metavar="SETTINGS.toml",
        help="on a staging appliance: a settings file of `rdscsi controller`",
    )
    running.add_argument("--yes", action="store_true", help="do not ask before an appliance is used")
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
    names = list(DRILLS) if args.all else list(dict.fromkeys(args.names))
    stage: Stage | None = None
    if args.appliance is not None:
        names, stage = _staged(names, args.appliance, yes=args.yes)
        if stage is None:
            return 2
    return _run(names, stage, args.output, args.report)


def _staged(names: list[str], path: Path, *, yes: bool) -> tuple[list[str], "Stage | None"]:
    """What can be done on the appliance of a settings file; no stage when nothing can, or nobody agrees."""
    from rdscsi.config import Sources, read_controller, read_file
    from rdscsi.drill.drills import DRILLS
    from rdscsi.drill.staging import stage_of

    possible = [name for name in names if not DRILLS[name].simulated_only]
    if left := [name for name in names if name not in possible]:
        print(f"only on the simulated RDS, and left out: {', '.join(left)}", file=sys.stderr)
    if not possible:
        return [], None
    _, (settings, *_) = read_controller(Sources({}, os.environ, read_file(path), path))
    question = (
        f"Volumes of the drill's own will be made, published, grown and deleted on {settings.rds_address}, in the pool "
        f"{settings.pool_slot}; nobody else may change disks there meanwhile. Go on? [y/N] "
    )
    if not yes and not _agreed(question):
        print("rdscsi drill run: nobody agreed; nothing was done", file=sys.stderr)
        return [], None
    return possible, stage_of(settings)


def _agreed(question: str) -> bool:
    try:
        return input(question).strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _list(output: str) -> int:
    from rdscsi.drill.drills import DRILLS
    from rdscsi.drill.view import open_console, show_list

    if output == "table":
        show_list(open_console(), DRILLS.values())
        return 0
    listed = [{"name": one.name, "title": one.title, "promise": one.promise} for one in DRILLS.values()]
    print(json.dumps(listed, indent=2))
    return 0


def _run(names: list[str], stage: "Stage | None", output: str, report: Path | None) -> int:
    from datetime import UTC, datetime
    from functools import partial

    from rdscsi.drill.drills import DRILLS
    from rdscsi.drill.report import as_html, as_json
    from rdscsi.drill.running import run_one
    from rdscsi.drill.stage import SimulatedStage
    from rdscsi.drill.view import open_console, show_end, show_progress, show_verdict

    console, verdicts = open_console(), []
    progress = partial(show_progress, open_console(stderr=True))
    for name in names:
        verdicts.append(run_one(DRILLS[name], stage or SimulatedStage(), progress))
        if output == "table":
            show_verdict(console, verdicts[-1])
    if output == "json":
        print(as_json(verdicts))
    else:
        show_end(console, verdicts)
    if report is not None:
        report.write_text(as_html(verdicts, datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")))
    return 0 if all(verdict.passed for verdict in verdicts) else 1
