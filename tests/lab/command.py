"""The tool's command line: `python tests/lab …`."""

import argparse
import contextlib
import itertools
import os
import re
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

from lab import directory as directories
from lab import job, terminal
from lab.failures import LabFailed
from lab.kernel import ensure_kernel
from lab.machine import Machine, attach, bring_up, open_machine
from lab.qemu import CPUS, MEMORY, Cable, Forward, Options

TIMED_OUT, FAILED, INTERRUPTED = 124, 125, 130
_DESCRIPTION = """\
Run commands in throw-away virtual machines: Debian's kernel under emulation, this machine's own files as the root.

Nothing that a machine writes comes back, except below the directories named with --share. A machine lives no longer
than the process that it belongs to, however that one ends.
"""
_EPILOG = """\
examples:
  python tests/lab run --disk 8G -- sh -c 'mkfs.btrfs -q /dev/vda && uname -a'
  python tests/lab shell
  python tests/lab up a --cable ab:0=10.77.0.1/24 && python tests/lab up b --cable ab:1=10.77.0.2/24
  python tests/lab exec a -- ping -c 1 10.77.0.2; python tests/lab down a b

exit status of run, exec and shell: the command's own, 128 + n for signal n; 124 when its time was over (what the
kernel says is blocked is printed), 125 when the laboratory failed, 130 after Ctrl-C
"""


def main(arguments: Sequence[str] | None = None) -> int:
    given, command = split_command(sys.argv[1:] if arguments is None else arguments)
    parsed = parser().parse_args(given)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job begins with it ignored
    try:
        status: int = parsed.act(parsed, command)
    except TimeoutError as error:
        say(str(error))
        return TIMED_OUT
    except LabFailed as error:
        say(str(error))
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    return status


def _leave(number: int, _frame: FrameType | None) -> None:
    """End as Ctrl-C does: what is open is closed on the way."""
    sys.exit(128 + number)


def say(text: str) -> None:
    """Tell the person at standard error."""
    print(f"lab: {text}", file=sys.stderr, flush=True)


def split_command(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Part the tool's own arguments from the command, which is everything behind the first `--`."""
    if "--" not in arguments:
        return list(arguments), []
    at = list(arguments).index("--")
    return list(arguments[:at]), list(arguments[at + 1 :])


# -- arguments -------------------------------------------------------------------------------------------------------


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="python tests/lab",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = top.add_subparsers(required=True, metavar="VERB")
    _verb(verbs, "setup", setup, "fetch the kernel, once")
    run = _verb(verbs, "run", run_once, "start a machine, run one command in it, remove the machine")
    shell = _verb(verbs, "shell", run_shell, "the same with a terminal; in a running machine where NAME is given")
    up = _verb(verbs, "up", start, "start a machine and leave it running")
    execute = _verb(verbs, "exec", execute_in, "run a command in a running machine")
    down = _verb(verbs, "down", stop, "power off and remove machines")
    _verb(verbs, "list", show, "the machines that are running")
    test = _verb(verbs, "test", run_tests, "run the tests of `make lab`; behind -- more arguments for pytest")
    test.add_argument("parts", nargs="*", metavar="PART", help="tool, guest, nodes; default: these three")
    test.add_argument("--all", action="store_true", help="the slow tests too")
    for verb in (run, shell, up):
        _add_options(verb)
    for verb in (run, execute):
        _add_orders(verb)
    run.add_argument("--name", default=f"run-{os.getpid()}", help="its host name too; default: one that is free")
    run.add_argument("--times", action="store_true", help="print how long each part took")
    shell.add_argument("name", nargs="?", metavar="NAME")
    shell.add_argument("--driver", action="store_true", help="with the driver, a simulated RDS and a volume in use")
    shell.add_argument("--directory", type=Path, metavar="DIR", help="where it starts; default: here")
    up.add_argument("name", metavar="NAME")
    up.add_argument("--until", type=int, metavar="PID", help="a process to end with; default: the one that called")
    execute.add_argument("name", metavar="NAME")
    down.add_argument("names", nargs="+", metavar="NAME")
    return top


def _verb(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, act: object, what: str
) -> argparse.ArgumentParser:
    verb = verbs.add_parser(name, help=what, description=what)
    verb.set_defaults(act=act)
    return verb


def _add_options(verb: argparse.ArgumentParser) -> None:
    machine = verb.add_argument_group("the machine")
    machine.add_argument("--memory", type=size, default=MEMORY, metavar="SIZE", help="default 2G")
    machine.add_argument("--cpus", type=int, default=CPUS, help="default %(default)s")
    machine.add_argument("--disk", type=size, action="append", default=[], metavar="SIZE", help="sparse; repeatable")
    machine.add_argument(
        "--share", type=Path, action="append", default=[], metavar="DIR", help="writable at the same path; repeatable"
    )
    machine.add_argument("--load", action="append", default=[], metavar="MODULE", help="repeatable")
    machine.add_argument("--append", default="", metavar="WORDS", help="more of the kernel's command line")
    machine.add_argument("--no-udev", action="store_true")
    machine.add_argument(
        "--cable", type=cable, action="append", default=[], metavar="CABLE:0|1=ADDRESS/BITS", help="to another machine"
    )
    machine.add_argument(
        "--forward", type=forward, action="append", default=[], metavar="HERE:THERE", help="a TCP port of 127.0.0.1"
    )


def _add_orders(verb: argparse.ArgumentParser) -> None:
    orders = verb.add_argument_group("the command")
    orders.add_argument("--directory", type=Path, metavar="DIR", help="where it runs; default: here")
    orders.add_argument("--env", type=pair, action="append", default=[], metavar="NAME=VALUE", help="repeatable")
    orders.add_argument("--stdin", action="store_true", help="hand on standard input, all of it first")
    orders.add_argument("--timeout", type=float, default=3600.0, metavar="SECONDS", help="default %(default)g")


def size(text: str) -> int:
    """Read a size: bytes, or with M or G."""
    found = re.fullmatch(r"(\d+)([MG]?)", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text}: bytes, or a number with M or G")
    return int(found[1]) << {"": 0, "M": 20, "G": 30}[found[2]]


def cable(text: str) -> Cable:
    """Read an end of a cable."""
    found = re.fullmatch(r"([a-z][a-z0-9-]*):([01])=([0-9.]+/\d+)", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text}: for example ab:0=10.77.0.1/24")
    return Cable(found[1], int(found[2]), found[3])


def forward(text: str) -> Forward:
    """Read a forwarded port."""
    here, _, there = text.partition(":")
    return Forward(int(here), int(there))


def pair(text: str) -> tuple[str, str]:
    """Read a name and a value."""
    name, _, value = text.partition("=")
    return name, value


def options(args: argparse.Namespace) -> Options:
    """The machine that the arguments wish for."""
    return Options(
        memory=args.memory,
        cpus=args.cpus,
        disks=tuple(args.disk),
        shares=tuple(path.absolute() for path in args.share),
        load=tuple(args.load),
        append=args.append,
        udev=not args.no_udev,
        cables=tuple(args.cable),
        forwards=tuple(args.forward),
    )


# -- verbs -----------------------------------------------------------------------------------------------------------


def setup(_args: argparse.Namespace, _command: list[str]) -> int:
    began = time.monotonic()
    kernel = ensure_kernel()
    say(f"kernel {kernel.release} is ready ({time.monotonic() - began:.1f} s)")
    return 0


def run_once(args: argparse.Namespace, command: list[str]) -> int:
    marks = [time.monotonic()]
    with open_machine(args.name, options(args), ensure_kernel()) as machine:
        marks.append(time.monotonic())
        status = _execute(machine, args, command)
        marks.append(time.monotonic())
        machine.shut_down()
        tell_complaints(machine)
        booted = machine.boot_seconds()
    if args.times:
        up, done = (f"{later - earlier:.2f} s" for earlier, later in itertools.pairwise(marks))
        say(f"up {up} (by its own clock {booted:.2f} s), command {done}, whole {time.monotonic() - marks[0]:.2f} s")
    return status


def run_shell(args: argparse.Namespace, command: list[str]) -> int:
    with _shell_machine(args) as machine:
        greeting = "cat /etc/motd; " if args.driver else ""
        line = f"{terminal.size_command()}; {greeting}exec {' '.join(command) or 'bash -i'}"
        running = machine.start(("sh", "-c", line), job.Orders(directory=args.directory, terminal=True))
        terminal.converse(
            machine.directory / "terminal", lambda: running.status() is not None or not machine.is_alive()
        )
        status = running.status()
    return FAILED if status is None else status


@contextlib.contextmanager
def _shell_machine(args: argparse.Namespace) -> Iterator[Machine]:
    if args.name:
        yield attach(args.name)
        return
    if args.driver:
        from lab.nodes import showcase

        with showcase.open_showcase(f"shell-{os.getpid()}", ensure_kernel()) as machine:
            yield machine
        return
    with open_machine(f"shell-{os.getpid()}", options(args), ensure_kernel()) as machine:
        yield machine


def start(args: argparse.Namespace, _command: list[str]) -> int:
    bring_up(args.name, options(args), ensure_kernel(), owner=args.until or os.getppid()).let_go()
    return 0


def execute_in(args: argparse.Namespace, command: list[str]) -> int:
    return _execute(attach(args.name), args, command)


def _execute(machine: Machine, args: argparse.Namespace, command: list[str]) -> int:
    if not command:
        raise LabFailed("no command: it comes after --")
    orders = job.Orders(
        directory=args.directory, env=dict(args.env), stdin=sys.stdin.buffer.read() if args.stdin else None
    )
    running = machine.start(command, orders)
    try:
        return machine.wait(running, job.passed_to(1, 2), args.timeout or None)
    except TimeoutError:
        print("\n".join(machine.console()[-80:]), file=sys.stderr)
        raise
    except (KeyboardInterrupt, SystemExit):
        with contextlib.suppress(LabFailed):
            machine.stop(running)
        raise


def tell_complaints(machine: Machine) -> None:
    """Print what the machine's kernel complained of; no test need fail of it."""
    if lines := machine.complaints():
        say(f"the kernel of {machine.name} complained:")
        print("\n".join(f"    {line}" for line in lines[:20]), file=sys.stderr)


def stop(args: argparse.Namespace, _command: list[str]) -> int:
    for name in args.names:
        machine = attach(name)
        machine.shut_down()
        tell_complaints(machine)
        machine.release()
    return 0


def run_tests(args: argparse.Namespace, command: list[str]) -> int:
    from lab import suite

    return suite.run(args.parts, command, everything=args.all)


def show(_args: argparse.Namespace, _command: list[str]) -> int:
    for name in directories.running():
        print(name)
    return 0
