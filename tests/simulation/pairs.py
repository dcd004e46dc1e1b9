"""Runs every pair of strikes on create, delete and publish, on all cores, and prints the counts.

    python tests/simulation/pairs.py [SCENARIO …] [--every N] [--real]

`--every N` takes each Nth pair only; CI takes still fewer. A pair's reaction (the orchestrator calls again, gives up,
or deletes) goes round with its number. `--real` takes the simulated RDS with its console instead of the fast model.
"""

import argparse
import multiprocessing
import sys
import time
from dataclasses import dataclass, field
from functools import partial

import structlog

from rdscsi.testing.pairs import firsts, pairs, run_pair
from rdscsi.testing.scenarios import SCENARIOS
from rdscsi.testing.schedules import Reaction
from rdscsi.testing.strikes import Strike

CALLS = ("create", "delete", "publish")


@dataclass(slots=True)
class Count:
    """What was found under one first strike."""

    pairs: int = 0
    ran: int = 0
    failures: list[str] = field(default_factory=list)


def run_first(name: str, every: int, fast: bool, numbered: tuple[int, Strike]) -> Count:
    """Run the pairs that begin with one strike, or each Nth of them; which ones depends on its number."""
    number, first = numbered
    scenario, count = SCENARIOS[name], Count()
    for index, pair in enumerate(pairs(scenario, first, fast=fast)):
        count.pairs += 1
        if (index + number) % every:
            continue
        reaction = tuple(Reaction)[index // every % len(Reaction)]
        ending = run_pair(scenario, (pair.first, pair.second), reaction=reaction, fast=fast)
        count.ran += 1
        if ending.wrong or (ending.not_struck and reaction is Reaction.RETRIES):
            count.failures.append(f"{name}: {pair}; {reaction}: {ending.wrong or 'never fell'}")
    return count


def run_call(
    name: str, *, every: int, fast: bool, of_firsts: int = 1, pool: "multiprocessing.pool.Pool | None" = None
) -> Count:
    """Run the pairs of one call, or each Nth of them, under each first strike or each Nth of those."""
    listed = list(enumerate(firsts(SCENARIOS[name], fast=fast)))[::of_firsts]
    work = partial(run_first, name, every, fast)
    total = Count()
    for one in map(work, listed) if pool is None else pool.imap_unordered(work, listed):
        total.pairs += one.pairs
        total.ran += one.ran
        total.failures += one.failures
    return total


def main() -> int:
    parser = argparse.ArgumentParser(description="Run pairs of strikes.")
    parser.add_argument("names", nargs="*", default=CALLS, metavar="SCENARIO", help=f"default: {', '.join(CALLS)}")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="each Nth pair only")
    parser.add_argument("--real", action="store_true", help="the simulated RDS instead of the fast model")
    arguments = parser.parse_args()
    failures: list[str] = []
    silence()
    with multiprocessing.Pool(initializer=silence) as pool:
        for name in arguments.names:
            began = time.monotonic()
            count = run_call(name, every=arguments.every, fast=not arguments.real, pool=pool)
            failures += count.failures
            print(f"{told(name, count)}, {time.monotonic() - began:.0f} s", flush=True)
    for failure in failures:
        print(failure[:600])
    return 1 if failures else 0


def told(name: str, count: Count) -> str:
    return f"{name}: {count.pairs} pairs, {count.ran} run, {len(count.failures)} failed"


def silence() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))


if __name__ == "__main__":
    sys.exit(main())
