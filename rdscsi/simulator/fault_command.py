"""`rdscsi simulator fault …`: pulls the strings of a running simulator, found by its state directory."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from rdscsi.simulator.control import Answer, BadRequest, Json, ask
from rdscsi.simulator.faults import KINDS
from rdscsi.simulator.meddling import ACTS
from rdscsi.simulator.words import words

_EXAMPLES = """\
examples:
  rdscsi simulator fault --state-dir DIR add drop-after --contains /disk/set --times 1
  rdscsi simulator fault --state-dir DIR add late --seconds 20 --nth 3
  rdscsi simulator fault --state-dir DIR add slow --contains /file --seconds 12
  rdscsi simulator fault --state-dir DIR add refuse --path /file/remove --text "failure: busy"
  rdscsi simulator fault --state-dir DIR add stall --chance 0.02
  rdscsi simulator fault --state-dir DIR pool --read-only yes
  rdscsi simulator fault --state-dir DIR meddle comment --slot vabc
  rdscsi simulator fault --state-dir DIR connections --mute
  rdscsi simulator fault --state-dir DIR list

The answer is one JSON object. exit status: 0 done, 1 refused or no simulator runs there, 2 the command line is wrong
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `rdscsi simulator fault`."""
    parser.description = "Make something go wrong in a running simulator, or look at what does."
    parser.epilog = _EXAMPLES
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--state-dir", type=Path, default=argparse.SUPPRESS, metavar="DIR", help="of the running simulator; required"
    )
    commands = parser.add_subparsers(dest="do", required=True, metavar="WHAT")
    _add_rule(commands.add_parser("add", help="a rule: what goes wrong with which command"))
    commands.add_parser("list", help="rules, how often they struck, and connections")
    commands.add_parser("drop", help="lift a rule").add_argument("rule", type=int)
    commands.add_parser("clear", help="lift every rule")
    commands.add_parser("release", help="let lines go that a rule holds")
    commands.add_parser("reboot", help="a power cut").add_argument(
        "--orderly", action="store_true", help="nothing unflushed is lost"
    )
    pool = commands.add_parser("pool", help="what becomes of the pool")
    pool.add_argument("--mounted", type=_yes_no, metavar="yes|no")
    pool.add_argument("--read-only", type=_yes_no, metavar="yes|no")
    pool.add_argument("--state", metavar="TEXT", help='such as "clean" or "clean, degraded"')
    meddle = commands.add_parser("meddle", help="an operator does something by hand")
    meddle.add_argument("act", nargs="?", choices=ACTS, help="default: any, by the seed")
    meddle.add_argument("--slot", help="of which disk; default: any file disk")
    meddle.add_argument("--text", help="the new name or comment")
    commands.add_parser("latency", help="time that each command takes").add_argument(
        "profile", metavar="none|realistic|MS[:SPREAD]"
    )
    connections = commands.add_parser("connections", help="what new connections meet; without options: nothing odd")
    connections.add_argument("--refuse", action="store_true", help="closed at once")
    connections.add_argument("--mute", action="store_true", help="taken, and never a word: clients time out")
    connections.add_argument("--banner", help="garbage before the SSH version")
    connections.add_argument("--cut", action="store_true", help="cut those that are there")
    commands.add_parser("host-key", help="show another host key").add_argument(
        "--type", choices=("rsa", "ed25519"), default="rsa"
    )
    commands.add_parser("run", help="a console line, past SSH and faults").add_argument("line")


def _add_rule(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--contains", metavar="TEXT", help="only lines with this text")
    parser.add_argument("--nth", type=int, metavar="N", help="only the Nth such line")
    parser.add_argument("--times", type=int, metavar="N", help="at most so often")
    parser.add_argument("--chance", type=float, metavar="P", help="with this probability, by the seed")
    parser.add_argument("--seconds", type=float, metavar="S", help="late, late-middle, slow: how long; hold: at most")
    parser.add_argument("--text", help="error, garbage, refuse, parse-error: what is printed; meddle: the line")
    parser.add_argument("--mutation", type=int, metavar="N", help="before which change; default 1")
    parser.add_argument("--after", type=int, metavar="N", help="hold: after how many changes; default: at the end")
    parser.add_argument("--path", help="refuse: statements whose path begins so, such as /file/remove")


_FIELDS = words(
    "do kind contains nth times chance seconds text mutation after path rule orderly mounted read_only state act slot "
    "profile refuse mute banner cut type line"
)
"""What goes into a request, out of everything that the command line holds."""


def _yes_no(text: str) -> bool:
    if text not in ("yes", "no"):
        raise argparse.ArgumentTypeError(f"{text}: yes or no")
    return text == "yes"


def run(args: argparse.Namespace) -> int:
    """Ask the simulator and print its answer."""
    if args.state_dir is None:
        print("rdscsi simulator fault: --state-dir is required", file=sys.stderr)
        return 2
    request: dict[str, Json] = {
        name.replace("_", "-"): getattr(args, name) for name in _FIELDS if getattr(args, name, None) is not None
    }
    try:
        answer: Answer = ask(args.state_dir, request)
    except BadRequest as error:
        print(f"rdscsi simulator fault: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"rdscsi simulator fault: no simulator runs on {args.state_dir}: {error}", file=sys.stderr)
        return 1
    print(json.dumps(answer, indent=2))
    return 0
