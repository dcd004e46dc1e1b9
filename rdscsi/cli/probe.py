"""`rdscsi probe`: settle on a real appliance what no source does, and write a transcript of it."""

import argparse
import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

from rdscsi.cli.parsing import read_size

_DESCRIPTION = """\
Send a list of console lines to a MikroTik ROSE Data Server and write down what it answers.

First only lines that change nothing. Then, after a question, lines that make, export, change and remove disks and files
of the probe's own, all of them under a random name that begins with rdscsi-probe-; nothing else is touched. They are
removed at the end, also after an error, and what an earlier probe left when it was killed is removed before.

It also says what the driver would miss on this appliance (docs/preflight.md): version, package, pool, policies.

Serial numbers, passwords, keys and MAC addresses are replaced in the transcript. Read it before you hand it on.
"""

_EPILOG = """\
examples:
  rdscsi probe --host 192.0.2.10 --user admin --key ~/.ssh/id_ed25519 --host-key-file rds.pub --pool raid1
  rdscsi probe --host 192.0.2.10 --user admin --key key --insecure --pool raid1 --read-only
  rdscsi probe --compare probe.json                what the simulated RDS answers otherwise

What it cannot do alone, with an initiator at hand: connect as a host that nvme-tcp-server-allow-host-name does not
name; watch live I/O while the export goes off; grow a disk while connected; cut the power after a change and see how
long it takes to be persistent.

exit status: 0 done and nothing left behind, 1 it could not go on or something stayed, 2 the command line is wrong
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Fill in the command's parser."""
    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--host", help="the appliance")
    parser.add_argument("--port", type=int, default=22, help="of its SSH server; default %(default)s")
    parser.add_argument("--user", default="admin", help="default %(default)s; needs ssh, read, write, test")
    parser.add_argument("--key", type=Path, metavar="FILE", help="private key")
    parser.add_argument("--host-key-file", type=Path, metavar="FILE", help="the appliance's public key")
    parser.add_argument("--insecure", action="store_true", help="believe whoever answers")
    parser.add_argument("--pool", help="slot of the pool to work on")
    parser.add_argument("--size", type=read_size, default=1 << 30, metavar="SIZE", help="of a disk; default 1Gi")
    parser.add_argument("--read-only", action="store_true", help="change nothing and do not ask")
    parser.add_argument("--channels", action="store_true", help="also try many channels at once (asks)")
    parser.add_argument("--yes", action="store_true", help="answer yes to every question")
    parser.add_argument("--output", type=Path, default=Path("probe.json"), metavar="FILE", help="default %(default)s")
    parser.add_argument("--compare", type=Path, metavar="FILE", help="compare a transcript with the simulated RDS")


def run(args: argparse.Namespace) -> int:
    """Probe, or compare; the exit status."""
    if args.compare is not None:
        return _compare(args.compare)
    missing = [name for name in ("host", "key", "pool") if getattr(args, name) is None]
    if missing or (args.host_key_file is None and not args.insecure):
        wanted = [f"--{name}" for name in missing] or ["--host-key-file, or --insecure"]
        print(f"rdscsi probe: {', '.join(wanted)} is required", file=sys.stderr)
        return 2
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        return runner.run(_probe(args))


async def _probe(args: argparse.Namespace) -> int:
    from rdscsi.probe.channel import CannotConnect, Target, open_channel
    from rdscsi.probe.run import Probe, ProbeFailed
    from rdscsi.probe.transcript import save

    target = Target(args.host, args.port, args.user, args.key, None if args.insecure else args.host_key_file)
    async with open_channel(target) as door:
        probe = Probe(
            door=door,
            pool=args.pool,
            ask=_asking(args),
            tell=lambda text: print(text, flush=True),
            size=args.size,
            channels=args.channels,
            user=args.user,
        )
        status = 0
        try:
            transcript = await probe.walk()
        except (ProbeFailed, CannotConnect) as error:
            print(f"rdscsi probe: {error}", file=sys.stderr)
            if probe.partial is None:
                return 1
            transcript, status = probe.partial, 1
    save(transcript, args.output)
    print(f"{len(transcript.exchanges)} answers of RouterOS {transcript.routeros} in {args.output}")
    return status


def _asking(args: argparse.Namespace) -> Callable[[str], bool]:
    """Return what puts questions to whoever started the probe."""

    def ask(question: str) -> bool:
        if args.read_only:
            return False
        print(question)
        if args.yes:
            return True
        try:
            return input("Go on? [y/N] ").strip().lower() in ("y", "yes")
        except EOFError:
            return False

    return ask


def _compare(path: Path) -> int:
    from rdscsi.probe.comparison import differences, learned_texts
    from rdscsi.probe.transcript import load

    try:
        transcript = load(path)
    except (OSError, ValueError) as error:
        print(f"rdscsi probe: {error}", file=sys.stderr)
        return 1
    count = 0
    for difference in differences(transcript):
        count += 1
        print(f"--- {difference.step}: {difference.line}")
        print(f"appliance: {difference.appliance.rstrip()}")
        print(f"simulated: {difference.simulated.rstrip()}")
    for name, text in sorted(learned_texts(transcript).items()):
        print(f"{name} = {text!r}")
    print(f"{count} of {len(transcript.exchanges)} answers differ")
    return 0
