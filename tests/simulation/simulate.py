"""Runs simulations by the seed, on all cores, and shows how it goes.

    python tests/simulation/simulate.py [--seeds FIRST:COUNT] [--minutes M] [--real] [--replay SEED]

A seed decides a whole script: what the orchestrator wants, what goes wrong and when. A failure prints the line that
replays it and its script cut down to what still fails; add the seed to tests/simulation/corpus.txt, which CI runs for
ever. `--real` takes the simulated RDS with its console instead of the fast model.
"""

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import structlog

from rdscsi.testing.minimise import minimise
from rdscsi.testing.script import make_script
from rdscsi.testing.simulation import Result, simulate

CORPUS = Path(__file__).with_name("corpus.txt")
MOST_FAILURES = 5


@dataclass(slots=True)
class Totals:
    """What was done so far."""

    schedules: int = 0
    calls: int = 0
    lines: int = 0
    lives: int = 0
    reboots: int = 0
    hours: float = 0.0
    cpu: float = 0.0
    failures: list[tuple[int, list[str]]] = field(default_factory=list)

    def add(self, seed: int, result: Result, cpu: float) -> None:
        self.schedules += 1
        self.calls += result.calls
        self.lines += result.lines
        self.lives += result.lives
        self.reboots += result.reboots
        self.hours += result.seconds / 3600
        self.cpu += cpu
        if result.wrong:
            self.failures.append((seed, result.wrong))

    def told(self, seconds: float) -> str:
        return (
            f"{self.schedules} schedules, {self.calls} calls, {self.lines} console lines, {self.lives} lives, "
            f"{self.reboots} reboots, {len(self.failures)} failures; {60 * self.schedules / max(seconds, 0.001):.0f} "
            f"schedules a minute, {self.hours:.0f} simulated hours, "
            f"{3600 * self.hours / max(self.cpu, 0.001):.0f} of them per processor hour"
        )


def main() -> int:
    arguments = parsed()
    silence()
    if arguments.replay is not None:
        return replay(arguments.replay, fast=not arguments.real)
    totals, began = Totals(), time.monotonic()
    until = began + 60 * arguments.minutes if arguments.minutes else None
    shown = began
    with multiprocessing.Pool(initializer=silence) as pool:
        for seed, result, cpu in pool.imap_unordered(partial(run, not arguments.real), seeds(arguments, until)):
            totals.add(seed, result, cpu)
            if time.monotonic() - shown > 10:
                shown = time.monotonic()
                print(totals.told(shown - began), flush=True)
            if len(totals.failures) >= MOST_FAILURES:
                pool.terminate()
                break
    print(totals.told(time.monotonic() - began))
    for seed, wrong in totals.failures:
        tell_failure(seed, wrong, fast=not arguments.real)
    return 1 if totals.failures else 0


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run simulations by the seed.")
    parser.add_argument("--seeds", default="0:1000", metavar="FIRST:COUNT", help="default %(default)s")
    parser.add_argument("--minutes", type=float, metavar="M", help="go on from FIRST for so long, whatever COUNT says")
    parser.add_argument("--corpus", action="store_true", help="only the seeds that ever failed")
    parser.add_argument("--real", action="store_true", help="the simulated RDS instead of the fast model")
    parser.add_argument("--replay", type=int, metavar="SEED", help="run one seed and tell all about it")
    return parser.parse_args()


def seeds(arguments: argparse.Namespace, until: float | None) -> Iterator[int]:
    yield from corpus()
    if arguments.corpus:
        return
    first, _, count = arguments.seeds.partition(":")
    seed = int(first)
    while (until is None and seed < int(first) + int(count or 1)) or (until is not None and time.monotonic() < until):
        yield seed
        seed += 1


def corpus() -> list[int]:
    """The seeds that ever failed."""
    lines = (line.partition("#")[0].strip() for line in CORPUS.read_text().splitlines())
    return [int(line) for line in lines if line]


def run(fast: bool, seed: int) -> tuple[int, Result, float]:
    began = time.process_time()
    return seed, outcome(seed, fast=fast), time.process_time() - began


def outcome(seed: int, *, fast: bool) -> Result:
    try:
        return simulate(make_script(seed), fast=fast)
    except Exception as error:  # a simulation that breaks down is a failure to be told like the others
        return Result([f"it broke down: {type(error).__name__}: {error}"])


def tell_failure(seed: int, wrong: list[str], *, fast: bool) -> None:
    print(f"\nseed {seed} failed; to replay: python tests/simulation/simulate.py --replay {seed}")
    for one in wrong[:5]:
        print(f"  {one[:400]}")
    shortest = minimise(make_script(seed), lambda script: bool(simulate(script, fast=fast).wrong))
    print("what still fails:")
    print("  " + str(shortest).replace("\n", "\n  "))


def replay(seed: int, *, fast: bool) -> int:
    print(make_script(seed))
    result = outcome(seed, fast=fast)
    for one in result.wrong:
        print(one)
    print("failed" if result.wrong else "all well")
    return 1 if result.wrong else 0


def silence() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    os.environ.setdefault("PYTHONHASHSEED", "0")


if __name__ == "__main__":
    sys.exit(main())
