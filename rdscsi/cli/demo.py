"""`rdscsi demo`: the life of two volumes and a crash, shown step by step."""

import argparse

_DESCRIPTION = """\
Show the driver at work on a simulated RDS: one filesystem volume and one raw block volume are made, attached,
formatted, mounted, written, grown, read again, detached and deleted, by real gRPC calls. Below each step stand the
RouterOS statements that it ran on the appliance, and their times.

Then the controller is killed in the worst moment, when the appliance has made a disk and the journal does not know it
yet; the open row is shown, and how the next process and the caller's retry bring it to a good end.

With loop devices (root) filesystems and data are real. Elsewhere the kernel is simulated, and it says so.
"""

_EPILOG = """\
examples:
  rdscsi demo
  rdscsi demo --latency none --full-lines | less

exit status: 0 every step went as promised and nothing was left behind, 1 not so
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Fill in the command's parser."""
    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    parser.add_argument(
        "--latency",
        choices=("none", "realistic"),
        default="realistic",
        help="how quickly the simulated console answers (default: realistic, 150 to 250 ms)",
    )
    parser.add_argument(
        "--host-backend",
        choices=("auto", "loop", "simulated"),
        default="auto",
        help="loop devices or a simulated kernel; auto (default) tries loop devices",
    )
    parser.add_argument(
        "--full-lines", action="store_true", help="show console lines as they are sent, with all their guards"
    )
    parser.add_argument("--picture", metavar="FILE.svg", help="also write what was shown as a picture")


def run(args: argparse.Namespace) -> int:
    """Show everything; the exit status."""
    from rdscsi.demo.run import Wishes, main
    from rdscsi.demo.view import open_view
    from rdscsi.observe import logs

    logs.configure("error")  # the processes of the sandbox have logs of their own
    with open_view(full_lines=args.full_lines, picture=args.picture) as view:
        return main(Wishes(args.latency, args.host_backend), view)
