"""The command `rdscsi simulator`: its arguments and its run. The command line itself is put together elsewhere."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from rdscsi.simulator import fault_command, loops, switches
from rdscsi.simulator.appliance import Appliance
from rdscsi.simulator.clock import SystemClock
from rdscsi.simulator.control import Controls, ControlServer
from rdscsi.simulator.faults import Faults
from rdscsi.simulator.history import History
from rdscsi.simulator.latency import LatencyProfile, parse_latency
from rdscsi.simulator.nvmet import EVERYWHERE, Backing, Growth, Nvmet, Uuids
from rdscsi.simulator.options import ApplianceOptions, Behaviour, PoolOptions
from rdscsi.simulator.server import ServerOptions, SshServer
from rdscsi.simulator.sessions import Sessions
from rdscsi.simulator.storage.store import StateDirectoryInUse
from rdscsi.simulator.version import NEWEST, OLDEST, minor

_GIB = 1 << 30


_DESCRIPTION = """\
Serve a simulated MikroTik ROSE Data Server: a RouterOS console over SSH (exec only) with /disk, /disk/btrfs, /file and
what belongs to them, over a storage model whose files are real files of this machine.

DIR keeps everything: the files behind disks (pool/), links to what is exported (exports/), the host key (host_key.pub)
and the socket by which `rdscsi simulator fault` makes things go wrong. One simulator at a time may use a directory; it
may be killed at any moment, and the next one goes on where it was.
"""

_EPILOG = """\
examples:
  rdscsi simulator --state-dir /tmp/rds --authorized-key ~/.ssh/id_ed25519.pub
  ssh -p 2222 admin@127.0.0.1 /disk/print
  rdscsi simulator --state-dir /tmp/rds --authorized-key key.pub --routeros 7.21.5 --fs xfs --latency realistic \\
      --set allocation=sparse --set max-slot=40
  rdscsi simulator fault --state-dir /tmp/rds add drop-after --contains /disk/add --times 1
  rdscsi simulator fault --help

It prints one line when it is ready and then nothing. docs/simulator.md tells more, docs/simulator-honesty.md how sure
we are of what it does.

exit status: 0 stopped by SIGTERM or SIGINT, 1 `fault` was refused, 2 it cannot start or the command line is wrong
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `rdscsi simulator`."""
    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    actions = parser.add_subparsers(dest="action", metavar="[fault …]", title="of a running simulator")
    fault_command.add_arguments(actions.add_parser("fault", help="make something go wrong, see `fault --help`"))
    _add_server_arguments(parser)
    _add_model_arguments(parser)
    _add_export_arguments(parser)


def _add_server_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--listen", default="127.0.0.1:2222", metavar="HOST:PORT", help="default %(default)s; port 0: any"
    )
    parser.add_argument("--state-dir", type=Path, metavar="DIR", help="kept across restarts; required")
    parser.add_argument(
        "--authorized-key", type=Path, action="append", metavar="FILE", help="public keys; required, repeatable"
    )
    parser.add_argument(
        "--user", action="append", metavar="NAME", help="who may log in with such a key (default: any name); repeatable"
    )
    parser.add_argument("--routeros", type=_version, default="7.24.4", metavar="VERSION", help="default %(default)s")
    parser.add_argument(
        "--latency",
        type=_latency,
        default="none",
        metavar="none|realistic|MS[:SPREAD]",
        help="time that each command takes; realistic is 200:50; default %(default)s",
    )
    parser.add_argument("--seed", type=int, default=0, help="of latencies and faults; default %(default)s")
    parser.add_argument("--host-key", choices=("rsa", "ed25519"), default="rsa", help="default %(default)s")
    parser.add_argument("--console-log", type=Path, metavar="FILE", help="every line and answer, one JSON object each")


def _add_model_arguments(parser: argparse.ArgumentParser) -> None:
    pool = parser.add_argument_group("the pool (only when the state directory is new)")
    pool.add_argument("--pool-size", type=_size, default=2048 * _GIB, metavar="BYTES", help="default 2 TiB, sparse")
    pool.add_argument("--pool-slot", default="pool1", metavar="NAME", help="slot, label and mount point")
    pool.add_argument("--fs", choices=("btrfs", "xfs", "ext4"), default="btrfs", help="default %(default)s")
    model = parser.add_argument_group("what no source settles")
    model.add_argument("--allocation", choices=("full", "sparse"), default="full", help="default %(default)s")
    model.add_argument("--flush-delay", type=float, default=0.0, metavar="SECONDS", help="until changes survive a cut")
    model.add_argument("--no-rose-storage", action="store_true", help="leave the package out")
    model.add_argument(
        "--set",
        type=_switch,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help=f"any switch of how it behaves, repeatable: {', '.join(switches.names())}",
    )


def _add_export_arguments(parser: argparse.ArgumentParser) -> None:
    exports = parser.add_argument_group("exported disks")
    exports.add_argument(
        "--export",
        choices=("links", "nvmet"),
        default="links",
        help="symbolic links in DIR/exports alone, or real NVMe/TCP by this machine's kernel as well (root)",
    )
    exports.add_argument(
        "--export-address", default=EVERYWHERE, metavar="IP[,IP]", help="where nvmet listens; default %(default)s"
    )
    exports.add_argument(
        "--export-sectors",
        choices=("4096", "512"),
        default="4096",
        help="files on Btrfs have 4096 bytes, by loop devices 512; default %(default)s",
    )
    exports.add_argument(
        "--export-growth",
        choices=[growth.value for growth in Growth],
        default=Growth.RESCAN.value,
        help="whether initiators are told, or must look again; default %(default)s",
    )
    exports.add_argument(
        "--export-uuid",
        choices=[uuids.value for uuids in Uuids],
        default=Uuids.DRAWN.value,
        help="whether each export has a new UUID, which ends what is mounted; default %(default)s",
    )


def _switch(text: str) -> tuple[str, switches.Setting]:
    try:
        return switches.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _version(text: str) -> str:
    try:
        found = minor(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if not OLDEST <= found <= NEWEST:
        raise argparse.ArgumentTypeError(f"{text}: 7.16 to 7.26 are known (from 7.25 on as 7.24)")
    return text


def _latency(text: str) -> LatencyProfile:
    try:
        return parse_latency(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _size(text: str) -> int:
    size = int(text) if text.isdigit() else 0
    if size < _GIB:
        raise argparse.ArgumentTypeError(f"{text}: bytes, at least {_GIB}")
    return size


def appliance_options(args: argparse.Namespace) -> ApplianceOptions:
    return ApplianceOptions(
        version=args.routeros,
        rose_storage=not args.no_rose_storage,
        pool=PoolOptions(slot=args.pool_slot, label=args.pool_slot, size=args.pool_size, fs=args.fs),
        behaviour=switches.with_switches(
            Behaviour(
                allocation=args.allocation,
                config_flush_delay=args.flush_delay,
                pool_flush_delay=args.flush_delay,
            ),
            args.set,
        ),
    )


def server_options(args: argparse.Namespace) -> ServerOptions:
    host, _, port = args.listen.rpartition(":")
    return ServerOptions(
        host=host or "127.0.0.1",
        port=int(port),
        authorized_keys=args.authorized_key,
        users=args.user or (),
        host_key_type="ssh-rsa" if args.host_key == "rsa" else "ssh-ed25519",
        latency=args.latency,
        seed=args.seed,
    )


def exporter(args: argparse.Namespace) -> Nvmet | None:
    """The kernel's target, where it is wanted. Raises OSError where there is none."""
    if args.export != "nvmet":
        return None
    return Nvmet(
        args.state_dir,
        addresses=tuple(args.export_address.split(",")),
        backing=Backing.LOOP if args.export_sectors == "512" else Backing.FILE,
        growth=Growth(args.export_growth),
        uuids=Uuids(args.export_uuid),
    )


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT, or pull the strings of one that does; the exit status."""
    if args.action == "fault":
        return fault_command.run(args)
    if args.state_dir is None or not args.authorized_key:
        print("rdscsi simulator: --state-dir and --authorized-key are required", file=sys.stderr)
        return 2
    try:
        server = server_options(args)
        clock = SystemClock()
        appliance = Appliance(
            args.state_dir,
            appliance_options(args),
            clock=clock,
            history=History(path=args.console_log),
            exporter=exporter(args),
        )
    except (OSError, ValueError, StateDirectoryInUse) as error:
        print(f"rdscsi simulator: {error}", file=sys.stderr)
        return 2
    with appliance:
        try:
            loops.run(_serve(appliance, server, args.seed))
        except (OSError, ValueError) as error:
            print(f"rdscsi simulator: {error}", file=sys.stderr)
            return 2
        finally:
            clock.stop()
            appliance.storage.exports.power_off()
    return 0


async def _serve(appliance: Appliance, options: ServerOptions, seed: int) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with (
        SshServer(Sessions(appliance, Faults(seed=seed)), options) as server,
        ControlServer(Controls(server, seed=seed), appliance.state_dir),
    ):
        print(
            f"simulated RDS ready: host={options.host} port={server.port} users={','.join(options.users) or 'any'} "
            f"host-key={server.fingerprint} routeros={appliance.options.version} state={appliance.state_dir}",
            flush=True,
        )
        await stop.wait()


def main(argv: list[str] | None = None) -> int:
    """`python -m rdscsi.simulator.command …`: the command on its own."""
    parser = argparse.ArgumentParser(prog="rdscsi simulator", description=__doc__)
    add_arguments(parser)
    return run(parser.parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
