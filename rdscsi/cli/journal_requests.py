"""The verbs by which a person asks a driver for something: plan, question, wish in the journal, and how it ended.

`rdscsi.journal.asking` says how a wish reaches the driver, `rdscsi.controller.requests` what it does then.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rdscsi.cli.journal_explain import CONTROLLER_KINDS, CREATES, Case, collect, explain
from rdscsi.cli.sight import look
from rdscsi.errors import DriverError
from rdscsi.journal import OperationRecord, asking
from rdscsi.journal.reading import read_journal
from rdscsi.journal.records import Json
from rdscsi.observe.lines import one_line
from rdscsi.tags import parse_tag

DONE, REFUSED, STILL_OPEN, NOT_CONFIRMED = 0, 1, 3, 4
_POLL_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Plan:
    """What is about to be asked for, in sentences."""

    kind: str
    request: Mapping[str, Json]
    steps: tuple[str, ...]


class NothingToAsk(DriverError):
    """The verb has nothing to do for this volume, or may not do it; the message says why."""


def run(args: argparse.Namespace) -> int:
    """Show the plan, ask, put the wish into the journal, wait for its end; the exit status."""
    path = Path(args.journal)
    sight = look(args)
    with read_journal(path) as reading:
        case = collect(reading, args.what, sight, now=time.time(), abandon_after=0.0)
    plan = _PLANS[args.verb](case, args)
    tell = _teller(args)
    for line in _shown(case, plan):
        tell(line)
    if not (args.yes or _confirmed(args)):
        tell("nothing was done")
        return NOT_CONFIRMED
    asked = asking.ask(path, plan.kind, case.subject, plan.request, now=time.time())
    if case.situation.held is False:
        tell(f"asked for as {plan.kind} {asked}; no driver runs on this journal: its next start carries it out")
        return _ended(args, _find(path, asked))
    tell(f"asked for as {plan.kind} {asked}; the driver takes it up in its next round, within a minute")
    return _ended(args, wait(path, asked, args.wait))


def plan_retry(case: Case, _args: argparse.Namespace) -> Plan:
    """Try what is open once more, now."""
    operation = _controllers(case)
    ends = "; without its caller, so that it may belong to nobody" if operation.kind in CREATES else ""
    return Plan(asking.RETRY, {"operation": operation.id}, (f"{operation.kind} {operation.id} is tried at once{ends}",))


def plan_abandon(case: Case, _args: argparse.Namespace) -> Plan:
    """Erase what a create has half made, or what it has made for nobody."""
    if case.operation is None and case.unclaimed is not None:
        steps = (
            f"{case.subject} is deleted with all that is in it; it was kept because {case.unclaimed.why}",
            "make sure first that no PersistentVolume names it",
        )
        return Plan(asking.ABANDON, {}, steps)
    operation = _controllers(case)
    if operation.kind not in CREATES:
        raise NothingToAsk(
            f"{operation.kind} {operation.id} cannot be given up: what it has begun is finished, never left half done"
        )
    steps = (
        f"what {operation.kind} {operation.id} has made is erased from the appliance, unless it is ready by then",
        "the create is closed as refused; when the orchestrator asks again, it is made anew",
    )
    return Plan(asking.ABANDON, {"operation": operation.id}, steps)


def plan_resolve(case: Case, args: argparse.Namespace) -> Plan:
    """End a quarantine."""
    kept = case.record or case.snapshot
    if kept is None or not kept.quarantine:
        raise NothingToAsk(f"{case.subject} is not quarantined")
    step = (_RESOLVES_VOLUME if case.record is not None else _RESOLVES_SNAPSHOT)[args.how]
    if not step:
        raise NothingToAsk(f"{case.subject} is a snapshot, and nothing of one can be put back; --accept or --forget it")
    return Plan(asking.RESOLVE, {"how": args.how}, (f"quarantine: {kept.quarantine}", step, *_closes(case, args.how)))


_RESOLVES_VOLUME: Mapping[str, str] = {
    "accept": "the record is made to say what the appliance shows: tag, size, who has it",
    "restore": "tag and export on the appliance are made to say what the record says",
    "forget": "the record is dropped, if nothing of the volume is on the appliance; its data is lost for good",
}
_RESOLVES_SNAPSHOT: Mapping[str, str] = {
    "accept": "the subvolume that bears its name is taken for the snapshot, if nobody can write to it",
    "restore": "",
    "forget": "the record is dropped, if its subvolume is not on the appliance; its data is lost for good",
}


def _closes(case: Case, how: str) -> tuple[str, ...]:
    """Say what a person may not expect: dropping the record ends what is open for it."""
    if how != "forget" or case.operation is None:
        return ()
    return (f"{case.operation.kind} {case.operation.id}, which is open, is closed with it",)


def plan_revoke(case: Case, args: argparse.Namespace) -> Plan:
    """Cut nodes off."""
    if case.record is None:
        raise NothingToAsk(f"{case.subject}: the journal has no record of this volume")
    nodes = published(case)
    chosen = [node for node in nodes if args.node in ("", node)]
    if not chosen:
        raise NothingToAsk(f"{case.subject} is published to {', '.join(nodes) or 'nobody'}; there is nothing to revoke")
    steps = (
        f"{', '.join(chosen)} is cut off: the export goes off, and what was not written there is lost",
        "the next publish begins a new epoch under a new NQN, so that nobody comes back by the old one",
        "make sure first that Kubernetes has forgotten it: no VolumeAttachment, no pod on that node",
    )
    return Plan(asking.REVOKE, {"node": args.node}, steps)


def published(case: Case) -> list[str]:
    """Return the nodes that may reach the volume, by the appliance if it was looked at, else by the record."""
    assert case.record is not None
    item = case.sight.items.get(case.record.slot) if case.sight.seen else None
    tag = parse_tag(item.comment) if item is not None else None
    tag = tag or parse_tag(case.record.tag)
    return [node.node for node in tag.active_nodes] if tag is not None else []


_PLANS: Mapping[str, Callable[[Case, argparse.Namespace], Plan]] = {
    "retry": plan_retry,
    "abandon": plan_abandon,
    "resolve": plan_resolve,
    "revoke": plan_revoke,
}


def _controllers(case: Case) -> OperationRecord:
    if case.operation is None:
        raise NothingToAsk(f"nothing is open for {case.subject}")
    if case.operation.kind not in CONTROLLER_KINDS:
        raise NothingToAsk(
            f"{case.operation.kind} {case.operation.id} is a node's: its driver tries again each minute, and with "
            "kubelet's next call; nothing has to be asked for"
        )
    return case.operation


def _shown(case: Case, plan: Plan) -> list[str]:
    told = [f"  {about:<10} {text}" for about, text in explain(case).told if about != "next"]
    steps = [f"  {number}. {step}" for number, step in enumerate(plan.steps, start=1)]
    return [f"{case.subject}: {case.state}", *told, f"plan ({plan.kind}):", *steps]


def _teller(args: argparse.Namespace) -> Callable[[str], None]:
    """Return what tells a person: on standard error when standard output is for a machine."""
    stream = sys.stderr if args.output == "json" else sys.stdout

    def tell(text: str) -> None:
        print(one_line(text), file=stream, flush=True)

    return tell


def _confirmed(args: argparse.Namespace) -> bool:
    print("Go on? [y/N] ", end="", file=sys.stderr if args.output == "json" else sys.stdout, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _find(path: Path, asked: str) -> OperationRecord:
    with read_journal(path) as reading:
        return reading.operations_about(asked, limit=1)[0]


def wait(path: Path, asked: str, patience: float) -> OperationRecord:
    """Look at a wish until it has ended, or for `patience` seconds."""
    deadline = time.monotonic() + patience
    while (found := _find(path, asked)).state == "open" and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    return found


def _ended(args: argparse.Namespace, wish: OperationRecord) -> int:
    status = {"open": STILL_OPEN, "done": DONE}.get(wish.state, REFUSED)
    why = wish.outcome or wish.error
    if args.output == "json":
        told = {"id": wish.id, "kind": wish.kind, "subject": wish.subject, "state": wish.state}
        print(json.dumps({"wish": told | {"outcome": wish.outcome, "error": wish.error}}, indent=2))
    else:
        print(one_line(f"{wish.kind} {wish.id}: {wish.state}" + (f": {why}" if why else "")))
    return status
