"""The interpreter takes any line: it answers or refuses, in bounded time and memory, and nothing leaks out of its tree.

A short run here; `python tests/simulator/test_fuzz.py SECONDS [SEED]` runs for as long as it is told and counts.
"""

import random
import resource
import shutil
import sys
import tempfile
import time
import tomllib
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from rdscsi.simulator import Appliance, ApplianceOptions, Behaviour, LineCut, ManualClock, PoolOptions

CASES = Path(__file__).parent / "cases"
OPTIONS = ApplianceOptions(
    behaviour=Behaviour(max_steps=2000, create_directories=True, remove_full_directory=True, format_answer="y"),
    pool=PoolOptions(size=1 << 34),
)
WORDS = (  # noqa: SIM905 - easier to read than a list
    ":put :local :global :set :if :foreach :for :while :do :onerror :error :return :len :pick :find :parse :serialize "
    ":deserialize :tonum :tostr :toarray :typeof :execute :environment :quit :delay /disk/add /disk/set /disk/remove "
    "/disk/find /disk/get /disk/print /disk/format /file/add /file/remove /file/set /file/copy /file/print /file/read "
    "/disk/btrfs/subvolume/add /disk/btrfs/subvolume/remove /user/add /user/remove /user/group/set /system/script/add "
    "/ip/service/set /log/print /system/reboot where and or in do= else= on-error= in= from= to= type=file slot=a "
    "file-path=pool1/a/b file-size=1M file-size=99999999999999999 comment= numbers= detail as-value terse count-only "
    "proplist= order-by= { } [ ] ( ) ; , = != < > <= >= ~ . -> << >> + - * / % & | ^ ! $a $ $[ $( \" \\ # ? ' ` "
    '"\\41" "\\q" "$a" "${" 0 -1 9223372036854775807 99999999999999999999 1.1 1.256 1w2d03:04:05 *1 *FF yes no true '
    "10.0.0.0/8 fe80::1 pool1 a b \x00 \x7f \xff \t \r \n"
).split(" ")
CHARACTERS = "".join(sorted({character for word in WORDS for character in word})) + " "


def corpus() -> list[str]:
    """The captured cases' lines: what fuzzing starts from."""
    tables = [tomllib.loads(path.read_text(encoding="utf-8")) for path in sorted(CASES.glob("*.toml"))]
    return [line for table in tables for case in table["case"] for line in case["lines"]]


def mutants(seed: int) -> Iterator[str]:
    """Endless lines: words put together, captured lines cut up, joined, and sprinkled with noise."""
    chance = random.Random(seed)
    seeds = corpus()
    while True:
        kind = chance.random()
        if kind < 0.4:
            yield " ".join(chance.choices(WORDS, k=chance.randint(1, 25)))
            continue
        line = chance.choice(seeds)
        if kind < 0.6:
            other = chance.choice(seeds)
            line = line[: chance.randint(0, len(line))] + other[chance.randint(0, len(other)) :]
        for _ in range(chance.randint(0, 4)):
            at = chance.randint(0, len(line))
            cut = chance.choice((0, 0, 1, 1, 5))
            line = line[:at] + chance.choice(("", chance.choice(WORDS), chance.choice(CHARACTERS))) + line[at + cut :]
        yield line * chance.choice((1, 1, 1, 1, 2, 40))


class Fuzzed:
    """An appliance that is fed lines, with a witness outside of its tree."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._witness = directory / "witness"
        self._witness.write_text("untouched")
        self.appliance = Appliance(directory / "rds", OPTIONS, clock=ManualClock())
        self.outcomes: Counter[str] = Counter()
        self.slowest = 0.0

    def feed(self, line: str) -> None:
        started = time.perf_counter()
        try:
            answer = self.appliance.run(line)
        except LineCut:
            self.outcomes["cut"] += 1
        else:
            assert isinstance(answer, str)
            self.outcomes[" ".join(answer.split()[:2]) if answer.startswith(("syntax", "expected")) else "other"] += 1
        self.slowest = max(self.slowest, time.perf_counter() - started)

    def check(self) -> None:
        """The appliance still works, and nothing happened beside it."""
        assert self.appliance.run(":put alive", user="checker") == "alive\r\n"
        assert self._witness.read_text() == "untouched"
        assert sorted(path.name for path in self._directory.iterdir()) == ["rds", "witness"]
        listed = {entry.name for entry in self.appliance.storage.files.listing()}
        assert all(not name.startswith("/") and ".." not in name.split("/") for name in listed)

    def restart(self) -> None:
        self.appliance.close()
        self.appliance = Appliance(self._directory / "rds", OPTIONS, clock=ManualClock())


def test_two_thousand_mutants_are_answered(tmp_path: Path) -> None:
    fuzzed = Fuzzed(tmp_path)
    for _, line in zip(range(2000), mutants(1), strict=False):
        fuzzed.feed(line)
    fuzzed.check()
    fuzzed.restart()
    fuzzed.check()
    fuzzed.appliance.close()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(st.sampled_from(WORDS), st.text(max_size=5)), max_size=30))
def test_words_in_any_order_are_answered(words: list[str]) -> None:
    directory = Path(tempfile.mkdtemp())
    try:
        fuzzed = Fuzzed(directory)
        fuzzed.feed(" ".join(words))
        fuzzed.feed("".join(words))
        fuzzed.check()
        fuzzed.appliance.close()
    finally:
        shutil.rmtree(directory)


def main(seconds: float, seed: int) -> None:
    """Fuzz for so long and print what came of it."""
    warnings.simplefilter("error")
    directory = Path(tempfile.mkdtemp())
    fuzzed, count, started = Fuzzed(directory), 0, time.monotonic()
    for line in mutants(seed):
        if time.monotonic() - started >= seconds:
            break
        try:
            fuzzed.feed(line)
        except Exception:
            print(f"seed {seed}, line {count}: {line!r}", flush=True)
            raise
        count += 1
        if count % 5000 == 0:
            fuzzed.check()
            fuzzed.restart()
    fuzzed.check()
    fuzzed.appliance.close()
    shutil.rmtree(directory)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"{count} lines in {seconds:.0f} s, slowest {fuzzed.slowest:.2f} s, at most {memory} MiB", flush=True)
    for outcome, times in fuzzed.outcomes.most_common():
        print(f"{times:>9} {outcome}")


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
