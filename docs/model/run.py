"""Checks the protocol's models with SPIN and says of every case whether it came out as expected.

    python3 docs/model/run.py                    the small cases, in about a minute; what CI runs
    python3 docs/model/run.py --large            the large ones, by hand: up to 6 GiB and half an hour each
    python3 docs/model/run.py NAME …             cases by name, or by the beginning of it
    python3 docs/model/run.py --story NAME       the shortest counterexample of a case, told step by step
    python3 docs/model/run.py --write …          … and put the figures into README.md

Cases are in cases.toml, models beside it. Needs `spin` (Debian's package of that name) and gcc. Standard library only.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
HOLDS = "holds"
SMALL_SECONDS, SMALL_MIB, SMALL_DEPTH = 300, 1500, 50_000
LARGE_SECONDS, LARGE_MIB, LARGE_DEPTH = 4 * 3600, 6000, 2_000_000

_SWITCH = re.compile(r"^#ifndef (\w+)\n#define \1 (\S+)", re.MULTILINE)
_BROKEN = re.compile(r"BROKEN (\w+)")
_FIGURES = {
    "states": re.compile(r"^\s*([\d.e+]+) states, stored", re.MULTILINE),
    "depth": re.compile(r"depth reached (\d+)"),
    "mib": re.compile(r"([\d.]+)\s+total actual memory usage"),
    "errors": re.compile(r"errors: (\d+)"),
}


@dataclass(frozen=True, slots=True)
class Case:
    """One run: a model, how much goes wrong, what is left out, and what must come of it.

    `expect` is `holds` or the property that breaks. `bits` (of a hash table, as a power of two) makes the search one
    by bitstate: it may overlook states, so that `holds` is then only `nothing found`.
    """

    name: str
    model: str
    bounds: Mapping[str, int]
    drops: tuple[str, ...]
    adds: tuple[str, ...]
    expect: str
    large: bool
    bits: int
    says: str

    @property
    def flags(self) -> list[str]:
        """The switches as the preprocessor takes them. Raises nothing: names are checked by `mistakes`."""
        values = {**self.bounds, **dict.fromkeys(self.drops, 0), **dict.fromkeys(self.adds, 1)}
        return [f"-D{name}={value}" for name, value in values.items()]


@dataclass(frozen=True, slots=True)
class Result:
    """What SPIN said. `verdict` is `holds`, the broken property, or why there is none (`cut: …`, `failed: …`)."""

    verdict: str
    states: int
    depth: int
    seconds: float
    mib: float

    def fits(self, case: Case) -> bool:
        """Tell whether the case came out as expected."""
        return self.verdict == case.expect


def load_cases(text: str) -> list[Case]:
    """Read cases.toml. Raises KeyError or TypeError for a case that lacks something or has too much."""
    return [
        Case(
            name=one["name"],
            model=one["model"],
            bounds=one.get("bounds", {}),
            drops=tuple(one.get("drops", ())),
            adds=tuple(one.get("adds", ())),
            expect=one["expect"],
            large=one.get("large", False),
            bits=one.get("bits", 0),
            says=one["says"],
        )
        for one in tomllib.loads(text)["case"]
    ]


def switches(model: str) -> dict[str, str]:
    """Return the switches of a model with their defaults."""
    sources = sorted(HERE.glob(f"{model}*"))
    return dict(found for source in sources for found in _SWITCH.findall(source.read_text()))


def ingredients(model: str) -> set[str]:
    """Return the switches that can be dropped: those that follow a heading which says so."""
    text = "".join(source.read_text() for source in sorted(HERE.glob(f"{model}*")))
    return {name for part in text.split("--- ingredients")[1:] for name, value in _SWITCH.findall(part) if value != "0"}


def mistakes(cases: Sequence[Case]) -> list[str]:
    """Tell what is wrong with the cases themselves: unknown switches, equal names, ingredients that no case drops."""
    names = [case.name for case in cases]
    wrong = [f"two cases are named {name!r}" for name in sorted({name for name in names if names.count(name) > 1})]
    for case in cases:
        unknown = {*case.bounds, *case.drops, *case.adds} - switches(case.model).keys()
        wrong += [f"{case.name}: {case.model} has no switch {name}" for name in sorted(unknown)]
    for model in sorted({case.model for case in cases}):
        dropped = {name for case in cases if case.model == model for name in case.drops}
        wrong += [f"{model}: no case drops {name}" for name in sorted(ingredients(model) - dropped)]
    return wrong


def check(case: Case, *, shortest: bool = False) -> tuple[Result, list[str]]:
    """Build and run one case; return its result and the story of the counterexample, if there is one."""
    with tempfile.TemporaryDirectory(prefix="rdscsi-model-") as directory:
        place = Path(directory)
        for source in HERE.glob(f"{case.model}*"):
            shutil.copy(source, place)
        if trouble := _build(case, place, shortest=shortest):
            return Result(f"failed: {trouble}", 0, 0, 0.0, 0.0), []
        result = _search(case, place, shortest=shortest)
        trails = sorted(place.glob("*.trail"))
        if not trails:
            return result, []
        story = _tell(case, place, trails[0])
        broken = _BROKEN.findall(story[-1]) if story else []
        verdict = broken[0] if broken else "STUCK"
        return Result(verdict, result.states, result.depth, result.seconds, result.mib), story


def _build(case: Case, place: Path, *, shortest: bool) -> str:
    options = ["-DSAFETY", "-DVECTORSZ=2048", f"-DMEMLIM={LARGE_MIB if case.large else SMALL_MIB}"]
    # Compressed states cost more than half of the time; small cases fit without.
    options += ["-DBITSTATE"] if case.bits else ["-DCOLLAPSE"] if case.large else []
    options += ["-DREACH"] if shortest else []
    # Compiling takes longer than most small searches.
    optimise = "-O2" if case.large else "-O0"
    for command in (
        ["spin", "-a", *case.flags, f"{case.model}.pml"],
        ["gcc", optimise, "-w", *options, "-o", "pan", "pan.c"],
    ):
        done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=300, check=False)
        if done.returncode or "Error" in done.stdout:
            return f"{' '.join(command)}: {(done.stdout + done.stderr).strip()[:300]}"
    return ""


def _search(case: Case, place: Path, *, shortest: bool) -> Result:
    depth = LARGE_DEPTH if case.large else SMALL_DEPTH
    command = ["./pan", "-n", f"-m{depth}", *(["-i"] if shortest else []), *([f"-w{case.bits}"] if case.bits else [])]
    began = time.monotonic()
    try:
        done = subprocess.run(
            command,
            cwd=place,
            capture_output=True,
            text=True,
            timeout=LARGE_SECONDS if case.large else SMALL_SECONDS,
            check=False,
        )
        output = done.stdout
    except subprocess.TimeoutExpired:
        return Result("cut: out of time", 0, 0, time.monotonic() - began, 0.0)
    return read_search(output, time.monotonic() - began)


def read_search(output: str, seconds: float) -> Result:
    """Read what pan printed. Whatever is not a full search without errors is not `holds`."""
    found = {name: match[1] for name, pattern in _FIGURES.items() if (match := pattern.search(output))}
    if "max search depth too small" in output:
        verdict = "cut: too deep"
    elif "out of memory" in output or "reached -DMEMLIM bound" in output:
        verdict = "cut: out of memory"
    elif "Search not completed" in output and found.get("errors") == "0":
        verdict = "cut: not completed"
    elif found.keys() != _FIGURES.keys():
        verdict = f"failed: {output.strip()[-200:]}"
    else:
        verdict = HOLDS if found["errors"] == "0" else "broken"
    states = int(float(found.get("states", "0")))
    return Result(verdict, states, int(found.get("depth", "0")), seconds, float(found.get("mib", "0")))


def _tell(case: Case, place: Path, trail: Path) -> list[str]:
    """Replay a trail: what the model prints on its way is the story."""
    command = ["spin", "-T", "-k", trail.name, *case.flags, f"{case.model}.pml"]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=120, check=False)
    if told := _story(done.stdout):
        return told
    return [f"the trail could not be replayed: status {done.returncode}: {(done.stdout + done.stderr).strip()[:200]}"]


def _story(output: str) -> list[str]:
    """What the model itself printed; the rest is SPIN's."""
    told = []
    for line in output.splitlines():
        if line.startswith("spin: warning"):
            continue  # the model is "newer" than a trail that was written in the same second
        if line.startswith(("spin:", "#", "\t")):
            break
        told.append(line.strip())
    return [line for line in told if line]


def row(case: Case, result: Result) -> str:
    """Render one line of the results' table in README.md."""
    switched = [f"{name}={value}" for name, value in case.bounds.items()]
    switched += [f"**{name}=0**" for name in case.drops] + [f"**{name}=1**" for name in case.adds]
    how = f"bitstate, 2^{case.bits} bits" if case.bits else "exhaustive"
    verdict = "holds" if case.expect == HOLDS else f"breaks {case.expect}"
    if case.bits and case.expect == HOLDS:
        verdict = "nothing found"
    goes_wrong = " ".join(switched) or "nothing goes wrong"
    return (
        f"| {case.name} | {goes_wrong} | {how} | {result.states:,} | {result.depth:,} | "
        f"{result.seconds:.1f} s | {result.mib:,.0f} MiB | {verdict} | {case.says} |"
    )


def with_rows(text: str, rows: Mapping[str, str], order: Iterable[str]) -> str:
    """Put rows into the table between the two marks of README.md, in place of older ones of the same case."""
    start, end = text.index("<!-- results -->"), text.index("<!-- end of results -->")
    lines = text[start:end].splitlines()
    heading = [line for line in lines if line.startswith(("<!--", "| case", "|---"))]
    older = {line.split("|")[1].strip(): line for line in lines if line.startswith("| ") and line not in heading}
    kept = {**older, **rows}
    body = [kept[name] for name in order if name in kept]
    return text[:start] + "\n".join([*heading, *body]) + "\n" + text[end:]


def chosen(cases: Sequence[Case], names: Sequence[str], *, large: bool) -> list[Case]:
    """Return the cases that were asked for. Raises SystemExit for a name that none has."""
    if not names:
        return [case for case in cases if case.large == large]
    exact = {case.name for case in cases}
    found = [
        case
        for case in cases
        if any(case.name == name or (name not in exact and case.name.startswith(name)) for name in names)
    ]
    if not found:
        raise SystemExit(f"no case is named {', '.join(names)}; cases.toml has them all")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for; the status is 1 when a case did not come out as expected."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="cases, by name or its beginning")
    parser.add_argument("--large", action="store_true", help="the large cases")
    parser.add_argument("--story", action="store_true", help="tell the shortest counterexample of each case")
    parser.add_argument("--write", action="store_true", help="put the figures into README.md")
    parser.add_argument(
        "--if-possible", action="store_true", help="without spin or gcc say so and end well, unless CI=true"
    )
    parser.add_argument("--jobs", type=int, default=2, help="cases side by side (large ones never are)")
    wanted = parser.parse_args(arguments)
    cases = load_cases((HERE / "cases.toml").read_text())
    if wrong := mistakes(cases):
        raise SystemExit("\n".join(wrong))
    if missing := [tool for tool in ("spin", "gcc") if shutil.which(tool) is None]:
        told = f"{' and '.join(missing)} not found; on Debian: apt-get install spin gcc libc6-dev"
        if wanted.if_possible and os.environ.get("CI") != "true":
            print(f"the model was not checked: {told}")
            return 0
        raise SystemExit(told)
    return _run(cases, chosen(cases, wanted.names, large=wanted.large), wanted)


def _run(cases: Sequence[Case], selected: Sequence[Case], wanted: argparse.Namespace) -> int:
    rows: dict[str, str] = {}
    failed = 0
    jobs = 1 if any(case.large for case in selected) else wanted.jobs
    with ThreadPoolExecutor(jobs) as pool:
        runs = pool.map(lambda case: check(case, shortest=wanted.story), selected)
        for case, (result, story) in zip(selected, runs, strict=True):
            well = result.fits(case)
            failed += not well
            print(
                f"{'ok  ' if well else 'FAIL'} {case.name:44} {result.states:>13,} states {result.depth:>6,} deep "
                f"{result.seconds:>7.1f} s {result.mib:>6,.0f} MiB  {result.verdict}"
                + ("" if well else f", expected {case.expect}"),
                flush=True,
            )
            if story and (wanted.story or not well):
                print("".join(f"       {line}\n" for line in story), end="")
            if well:
                rows[case.name] = row(case, result)
    if wanted.write:
        readme = HERE / "README.md"
        readme.write_text(with_rows(readme.read_text(), rows, [case.name for case in cases]))
    print(f"{len(selected)} cases, {failed} not as expected")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
