"""`rdscsi publication`: who may reach which volume, and cutting off a publication that Kubernetes has forgotten."""

import argparse
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rdscsi.cli import figures, sight
from rdscsi.cli.journal import add_common, add_wish

if TYPE_CHECKING:
    from rdscsi.cli.sight import Sight
    from rdscsi.journal import VolumeRecord
    from rdscsi.tags import Tag

_DESCRIPTION = """\
Show which node may reach which volume, by the journal and, with settings for it, by the appliance; and cut off a
publication that Kubernetes has forgotten: no VolumeAttachment names it, and no ControllerUnpublishVolume will come.
"""

_EPILOG = """\
examples:
  rdscsi publication list                        every publication; where journal and appliance differ it says so
  rdscsi publication revoke rds/v3hq2k7-2m4c…    cut off every node that may reach the volume
  rdscsi publication revoke rds/v3hq2k7-2m4c… --node worker-1.3f9a --yes

Revoking shows a plan and asks. The driver cuts the export off, proves it, and writes the tag; the next publish begins a
new epoch with a new NQN. What the node had not written is lost. It is journaled: rdscsi journal show tells of it.

exit status: 0 shown, or cut off; 1 refused, or there is nothing to revoke; 2 no journal that this version can read, or
the command line or a setting is wrong; 3 not carried out yet; 4 not confirmed, nothing was done
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Fill in the command's parser."""
    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    verbs = parser.add_subparsers(title="verbs", dest="verb", metavar="VERB", required=True)
    listing = verbs.add_parser("list", help="show publications", description="Show publications.", allow_abbrev=False)
    add_common(listing)
    sight.add_arguments(listing)
    summary = "Cut nodes off a volume."
    revoke = verbs.add_parser("revoke", help=summary, description=summary, allow_abbrev=False)
    add_common(revoke)
    revoke.add_argument("what", metavar="ID", help="the volume id, or an operation's id")
    revoke.add_argument("--node", default="", metavar="NODE", help="one node, as `list` names it (default: every one)")
    add_wish(revoke)


def run(args: argparse.Namespace) -> int:
    """Do it; the exit status."""
    if args.verb == "revoke":
        from rdscsi.cli import journal_requests

        return journal_requests.run(args)
    return _list(args)


def _list(args: argparse.Namespace) -> int:
    from rdscsi.journal.reading import read_journal

    seen = sight.look(args)
    with read_journal(Path(args.journal)) as reading:
        rows = [row for record in reading.volumes() for row in _rows(record, seen)]
    if args.output == "json":
        print(json.dumps({"publications": rows, "appliance": seen.why_not or "seen"}, indent=2))
        return 0
    _print(rows)
    if not seen.seen:
        print(f"the appliance {seen.why_not}")
    return 0


def _rows(record: "VolumeRecord", seen: "Sight") -> list[Mapping[str, str]]:
    """One row for each node that journal or appliance names as able to reach the volume."""
    from rdscsi.tags import parse_tag

    recorded = parse_tag(record.tag)
    item = seen.items.get(record.slot)
    shown = parse_tag(item.comment) if item is not None else None
    by_journal, by_appliance = _states(recorded), _states(shown)
    exported = item.nvme_tcp_server_nqn if item is not None and item.nvme_tcp_export else ""
    rows = [
        {
            "volume_id": record.volume_id,
            "csi_name": record.csi_name,
            "node": node,
            "journal": by_journal.get(node, "-"),
            "appliance": by_appliance.get(node, "-") if seen.seen else "?",
            "exported_as": exported or ("-" if seen.seen else "?"),
            "since": figures.moment(record.updated_at),
            "age": figures.duration(time.time() - record.updated_at),
        }
        for node in sorted({*by_journal, *by_appliance})
    ]
    if exported and not rows:
        rows.append(_unexplained(record, exported))
    return list(rows)


def _unexplained(record: "VolumeRecord", exported: str) -> dict[str, str]:
    about = {"volume_id": record.volume_id, "csi_name": record.csi_name, "node": "(exported to nobody's knowledge)"}
    return about | {"journal": "-", "appliance": "-", "exported_as": exported, "since": "-", "age": "-"}


def _states(tag: "Tag | None") -> Mapping[str, str]:
    return {node.node: node.state.name.lower() for node in tag.active_nodes} if tag is not None else {}


def _print(rows: list[Mapping[str, str]]) -> None:
    from rdscsi.observe.lines import one_line

    if not rows:
        print("no publications")
        return
    columns = ("volume_id", "csi_name", "node", "journal", "appliance", "exported_as", "age")
    heads = {column: column.replace("_", " ") for column in columns}
    shown = [heads, *({column: one_line(row[column]) for column in columns} for row in rows)]
    widths = {column: max(len(row[column]) for row in shown) for column in columns}
    for row in shown:
        print("   ".join(f"{row[column]:<{widths[column]}}" for column in columns).rstrip())
