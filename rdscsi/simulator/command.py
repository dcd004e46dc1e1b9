"""The command `rdscsi simulator`: its arguments and its run. The command line itself is put together elsewhere."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from rdscsi.simulator.appliance import Appliance
from rdscsi.simulator.clock import SystemClock
from rdscsi.simulator.history import History
from rdscsi.simulator.latency import LatencyProfile, parse_latency
from rdscsi.simulator.options import ApplianceOptions, Behaviour, PoolOptions
from rdscsi.simulator.server import ServerOptions, SshServer
from rdscsi.simulator.sessions import Sessions
from rdscsi.simulator.storage.store import StateDirectoryInUse
from rdscsi.simulator.version import minor

_GIB = 1 << 30


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `rdscsi simulator`."""
    parser.add_argument(
        "--listen", default="127.0.0.1:2222", metavar="HOST:PORT", help="default %(default)s; port 0: any"
    )
    parser.add_argument("--state-dir", type=Path, required=True, metavar="DIR", help="kept across restarts")
    parser.add_argument(
        "--authorized-key", type=Path, action="append", required=True, metavar="FILE", help="public keys; repeatable"
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
    parser.add_argument("--seed", type=int, default=0, help="of latencies; default %(default)s")
    parser.add_argument("--host-key", choices=("rsa", "ed25519"), default="rsa", help="default %(default)s")
    pool = parser.add_argument_group("the pool (only when the state directory is new)")
    pool.add_argument("--pool-size", type=_size, default=2048 * _GIB, metavar="BYTES", help="default 2 TiB, sparse")
    pool.add_argument("--pool-slot", default="pool1", metavar="NAME", help="slot, label and mount point")
    pool.add_argument("--fs", choices=("btrfs", "xfs", "ext4"), default="btrfs", help="default %(default)s")
    model = parser.add_argument_group("what no source settles")
    model.add_argument("--allocation", choices=("full", "sparse"), default="full", help="default %(default)s")
    model.add_argument("--flush-delay", type=float, default=0.0, metavar="SECONDS", help="until changes survive a cut")
    model.add_argument("--no-rose-storage", action="store_true", help="leave the package out")
    parser.add_argument("--console-log", type=Path, metavar="FILE", help="every line and answer, one JSON object each")


def _version(text: str) -> str:
    try:
        found = minor(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if not (7, 16) <= found <= (7, 24):
        raise argparse.ArgumentTypeError(f"{text}: 7.16 to 7.24 are known")
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
        behaviour=Behaviour(
            allocation=args.allocation,
            config_flush_delay=args.flush_delay,
            pool_flush_delay=args.flush_delay,
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


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT. 0 after that, 2 when it cannot start."""
    try:
        server = server_options(args)
        clock = SystemClock()
        appliance = Appliance(
            args.state_dir, appliance_options(args), clock=clock, history=History(path=args.console_log)
        )
    except (OSError, ValueError, StateDirectoryInUse) as error:
        print(f"rdscsi simulator: {error}", file=sys.stderr)
        return 2
    with appliance:
        try:
            asyncio.run(_serve(appliance, server))
        except (OSError, ValueError) as error:
            print(f"rdscsi simulator: {error}", file=sys.stderr)
            return 2
        finally:
            clock.stop()
    return 0


async def _serve(appliance: Appliance, options: ServerOptions) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with SshServer(Sessions(appliance), options) as server:
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
