"""JUnit XML, the form in which every kind of test here leaves its results: reading its counters, writing a file."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree


@dataclass(frozen=True, slots=True)
class Counts:
    """How many tests ended how."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    @property
    def ran(self) -> int:
        """Count those that were not skipped."""
        return self.passed + self.failed

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped)


@dataclass(frozen=True, slots=True)
class Case:
    """One test: `state` is passed, failed or skipped; `why` says why not passed; `seconds` is its duration."""

    name: str
    state: str
    why: str
    seconds: float


def read(path: Path) -> list[Case]:
    """Read the tests of a file. Raises xml.etree.ElementTree.ParseError when it was cut off."""
    return [_case(element) for element in ElementTree.parse(path).iter("testcase")]


def _case(element: ElementTree.Element) -> Case:
    state, why = "passed", ""
    for child in element:
        if child.tag in ("failure", "error"):
            state, why = "failed", child.get("message") or (child.text or "").strip()
        elif child.tag == "skipped" and state == "passed":
            state, why = "skipped", child.get("message") or (child.text or "").strip()
    return Case(element.get("name", ""), state, why, float(element.get("time") or 0))


def count(paths: Iterable[Path]) -> Counts:
    """Add up the tests of several files; one that cannot be read counts as a failed test."""
    total = Counts()
    for path in paths:
        try:
            total += tally(read(path))
        except ElementTree.ParseError:
            total += Counts(failed=1)
    return total


def tally(cases: Iterable[Case]) -> Counts:
    """Count tests by how they ended."""
    states = [case.state for case in cases]
    return Counts(states.count("passed"), states.count("failed"), states.count("skipped"))


def write(path: Path, suite: str, cases: Iterable[Case]) -> None:
    """Write a file of one suite."""
    cases = list(cases)
    counts = tally(cases)
    root = ElementTree.Element("testsuites")
    numbers = {"tests": len(cases), "failures": counts.failed, "skipped": counts.skipped}
    top = ElementTree.SubElement(root, "testsuite", {"name": suite} | {key: str(n) for key, n in numbers.items()})
    for case in cases:
        element = ElementTree.SubElement(top, "testcase", name=case.name, classname=suite, time=f"{case.seconds:.3f}")
        if case.state != "passed":
            tag = "skipped" if case.state == "skipped" else "failure"
            ElementTree.SubElement(element, tag, message=case.why)
    ElementTree.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)
