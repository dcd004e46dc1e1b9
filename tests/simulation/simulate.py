"""Runs simulations by the seed, on all cores, and shows how it goes.

    python tests/simulation/simulate.py [--seeds FIRST:COUNT] [--flavour F] [--minutes M] [--state FILE] [--real]
    python tests/simulation/simulate.py --replay SEED [--flavour F]

A seed and a flavour decide a whole script: what the orchestrator wants, what goes wrong and when. A failure prints the
line that replays it and its script cut down to what still fails; add it to tests/simulation/corpus.txt, which CI runs
for ever. `--real` takes the simulated RDS with its console instead of the fast model.

A long run: `--minutes 600 --nice --state run.json`. It may be stopped at any time (SIGINT, SIGTERM, SIGKILL): the same
command goes on where it stopped, and the last line counts all of it.
"""

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from types import FrameType

import structlog
from totals import Batch, Totals, told

from rdscsi.testing.minimise import minimise
from rdscsi.testing.script import DENSE, FLAVOURS, MIXED, Script, make_script
from rdscsi.testing.simulation import Result, simulate

CORPUS = Path(__file__).with_name("corpus.txt")
MOST_FAILURES, TOLD_FAILURES = 100, 5
SHOWN_SECONDS = 10.0
BATCH = 10
AHEAD = 3
"""Batches for each core under way or waiting: enough that none idles, few enough that a run ends after its time."""


@dataclass(frozen=True, slots=True)
class Seed:
    """One simulation."""

    flavour: str
    number: int

    def __str__(self) -> str:
        return f"{self.number}" if self.flavour == "long" else f"{self.number} --flavour {self.flavour}"


def main() -> int:
    arguments = parsed()
    silence()
    if arguments.replay is not None:
        return replay(Seed(arguments.flavour, arguments.replay), fast=not arguments.real)
    totals = Totals.load(arguments.state, first_seed(arguments))
    failures: list[tuple[Seed, list[str]]] = []
    began = shown = time.monotonic()
    stop = stopped_by_signals()
    for batch in done(arguments, totals.next, stop):
        totals.add(batch)
        failures += [(Seed(flavour, number), wrong) for flavour, number, wrong in batch.failures]
        if time.monotonic() - shown > SHOWN_SECONDS:
            shown = time.monotonic()
            totals.save(arguments.state, shown - began)
            print(told(totals, shown - began), flush=True)
        for flavour, number, wrong in batch.failures:
            print(f"seed {Seed(flavour, number)} failed: {wrong[0][:300]}", flush=True)
        if len(failures) >= MOST_FAILURES:
            stop.set()
    totals.save(arguments.state, time.monotonic() - began)
    print(told(totals, time.monotonic() - began), flush=True)
    for seed, wrong in failures[:TOLD_FAILURES]:
        tell_failure(seed, wrong, fast=not arguments.real)
    return 1 if failures else 0


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run simulations by the seed.")
    parser.add_argument("--seeds", default="0:1000", metavar="FIRST:COUNT", help="default %(default)s")
    parser.add_argument("--flavour", default="long", choices=(*FLAVOURS, MIXED, DENSE), help="default %(default)s")
    parser.add_argument("--minutes", type=float, metavar="M", help="go on from FIRST for so long, whatever COUNT says")
    parser.add_argument("--state", type=Path, metavar="FILE", help="keep the count there, and go on from it")
    parser.add_argument("--nice", action="store_true", help="leave the processors to whoever else wants them")
    parser.add_argument("--corpus", action="store_true", help="only the seeds that ever failed")
    parser.add_argument("--real", action="store_true", help="the simulated RDS instead of the fast model")
    parser.add_argument("--replay", type=int, metavar="SEED", help="run one seed and tell all about it")
    return parser.parse_args()


def stopped_by_signals() -> threading.Event:
    """Return an event that is set once somebody wants the run to end; what has begun is still counted."""
    stop = threading.Event()

    def asked(number: int, frame: FrameType | None) -> None:
        stop.set()

    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, asked)
    return stop


def first_seed(arguments: argparse.Namespace) -> int:
    return int(arguments.seeds.partition(":")[0])


def done(arguments: argparse.Namespace, first: int, stop: threading.Event) -> Iterator[Batch]:
    """Run batches on all cores; yield what came of them, in the order in which they end."""
    work = partial(run_batch, not arguments.real)
    left = batches(arguments, first, stop)
    with ProcessPoolExecutor(initializer=partial(begin_worker, nice=arguments.nice)) as workers:
        waiting = {workers.submit(work, *batch) for batch in islice(left, AHEAD * (os.cpu_count() or 1))}
        while waiting:
            ended, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            waiting |= {workers.submit(work, *batch) for batch in islice(left, len(ended))}
            yield from (one.result() for one in ended)


def batches(
    arguments: argparse.Namespace, begin: int, stop: threading.Event
) -> Iterator[tuple[int | None, list[Seed]]]:
    """Deal out the corpus, then seeds in order."""
    yield None, corpus()
    if arguments.corpus:
        return
    end = first_seed(arguments) + int(arguments.seeds.partition(":")[2] or 1)
    until = time.monotonic() + 60 * (arguments.minutes or 0)
    while not stop.is_set() and (time.monotonic() < until if arguments.minutes else begin < end):
        size = BATCH if arguments.minutes else min(BATCH, end - begin)
        yield begin, [Seed(arguments.flavour, number) for number in range(begin, begin + size)]
        begin += size


def corpus() -> list[Seed]:
    """The seeds that ever failed: a number, and the flavour where it is not the long one."""
    lines = (line.partition("#")[0].split() for line in CORPUS.read_text().splitlines())
    return [Seed(line[1] if len(line) > 1 else "long", int(line[0])) for line in lines if line]


def run_batch(fast: bool, first: int | None, seeds: list[Seed]) -> Batch:
    began, batch = time.process_time(), Batch(first, len(seeds))
    for seed in seeds:
        batch.add(seed.flavour, seed.number, outcome(seed, fast=fast))
    batch.cpu = time.process_time() - began
    return batch


def outcome(seed: Seed, *, fast: bool) -> Result:
    try:
        return simulate(make_script(seed.number, seed.flavour), fast=fast)
    except Exception as error:  # a simulation that breaks down is a failure to be told like the others
        return Result([f"it broke down: {type(error).__name__}: {error}"])


def tell_failure(seed: Seed, wrong: list[str], *, fast: bool) -> None:
    print(f"\nseed {seed} failed; to replay: python tests/simulation/simulate.py --replay {seed}")
    for one in wrong[:5]:
        print(f"  {one[:400]}")
    shortest = minimise(make_script(seed.number, seed.flavour), partial(fails, fast=fast))
    print("what still fails:")
    print("  " + str(shortest).replace("\n", "\n  "), flush=True)


def fails(script: Script, *, fast: bool) -> bool:
    try:
        return bool(simulate(script, fast=fast).wrong)
    except Exception:  # see outcome
        return True


def replay(seed: Seed, *, fast: bool) -> int:
    print(make_script(seed.number, seed.flavour))
    result = outcome(seed, fast=fast)
    for one in result.wrong:
        print(one)
    print("failed" if result.wrong else "all well")
    return 1 if result.wrong else 0


def silence() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))


def begin_worker(*, nice: bool) -> None:
    """The main process alone answers signals: a batch that has begun is brought to its end."""
    silence()
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, signal.SIG_IGN)
    if nice:
        os.nice(19)


if __name__ == "__main__":
    sys.exit(main())
