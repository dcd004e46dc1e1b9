"""What the laboratory's tests have shown: the parts' JUnit files joined to one, and told to a person."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree


@dataclass(frozen=True, slots=True)
class Case:
    """One test. `figures` are what it measured, by name (`record_property`)."""

    part: str
    name: str
    outcome: str
    seconds: float
    figures: tuple[tuple[str, str], ...] = ()

    @property
    def failed(self) -> bool:
        """It ran and did not pass."""
        return self.outcome in ("failure", "error")

    @property
    def sentence(self) -> str:
        """The test's name as a sentence."""
        return self.name.removeprefix("test_").replace("_", " ")


def join(parts: Iterable[Path], joined: Path) -> list[Case]:
    """Write one JUnit file of those that are there; return their tests."""
    suites = ElementTree.Element("testsuites")
    cases = []
    for part in parts:
        for suite in ElementTree.parse(part).getroot().iter("testsuite"):
            suite.set("name", f"lab {part.stem}")
            suites.append(suite)
        cases += read(part)
    ElementTree.ElementTree(suites).write(joined, encoding="utf-8", xml_declaration=True)
    return cases


def read(part: Path) -> list[Case]:
    """Return the tests of one part's JUnit file."""
    return [_case(part.stem, element) for element in ElementTree.parse(part).getroot().iter("testcase")]


def _case(part: str, element: ElementTree.Element) -> Case:
    kinds = [child.tag for child in element if child.tag in ("failure", "error", "skipped")]
    figures = tuple((one.get("name", ""), one.get("value", "")) for one in element.iter("property"))
    return Case(part, element.get("name", ""), kinds[0] if kinds else "ok", float(element.get("time", "0")), figures)


def write_skipped(reason: str, file: Path) -> None:
    """Write a JUnit file that says why there were no tests."""
    suites = ElementTree.Element("testsuites")
    suite = ElementTree.SubElement(suites, "testsuite", name="lab", tests="1", skipped="1")
    case = ElementTree.SubElement(suite, "testcase", name="machines of the laboratory", classname="lab")
    ElementTree.SubElement(case, "skipped", message=reason)
    ElementTree.ElementTree(suites).write(file, encoding="utf-8", xml_declaration=True)


def write_ended(part: str, status: int, said: str, file: Path) -> None:
    """Write a JUnit file of one failed test: a part ended badly although none of its tests did, or before they ran."""
    suites = ElementTree.Element("testsuites")
    suite = ElementTree.SubElement(suites, "testsuite", name=part, tests="1", failures="1")
    case = ElementTree.SubElement(suite, "testcase", name=f"test_{part}_ends_well", classname="lab")
    ElementTree.SubElement(case, "failure", message=f"status {status}").text = said
    ElementTree.ElementTree(suites).write(file, encoding="utf-8", xml_declaration=True)


def render(cases: Sequence[Case]) -> str:
    """Write what was shown, what was not, and what was measured."""
    lines = []
    for part in sorted({case.part for case in cases}):
        own = [case for case in cases if case.part == part]
        lines += [f"{part}: {_counts(own)}"]
        lines += [f"  {case.outcome:<8}{case.seconds:6.1f} s  {case.sentence}" for case in own]
    figures = [(name, value, case) for case in cases for name, value in case.figures]
    if figures:
        lines += ["figures (in emulation, for comparison among themselves only)"]
        lines += [f"  {name.replace('_', ' '):<46}{value}" for name, value, _ in figures]
    return "\n".join([*lines, f"lab: {_counts(cases)}"])


def _counts(cases: Sequence[Case]) -> str:
    counted = {kind: sum(case.outcome == kind for case in cases) for kind in ("ok", "failure", "error", "skipped")}
    shown = [f"{number} {kind}" for kind, number in counted.items() if number or kind == "ok"]
    return ", ".join(shown)
