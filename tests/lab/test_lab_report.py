"""The parts' JUnit files become one, and a text that says what was shown."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from lab import report, suite
from lab.failures import CannotRun

PART = """<?xml version="1.0"?><testsuites><testsuite name="pytest" tests="3" failures="1" skipped="1">
<testcase classname="c" name="test_data_is_kept" time="1.5"><properties><property name="stage_time" value="0.4 s"/>
</properties></testcase>
<testcase classname="c" name="test_nothing_is_lost" time="2.5"><failure message="it was">trace</failure></testcase>
<testcase classname="c" name="test_later" time="0"><skipped message="why"/></testcase>
</testsuite></testsuites>"""


def test_parts_are_joined_with_what_they_showed(tmp_path: Path) -> None:
    for name in ("guest", "nodes"):
        (tmp_path / f"{name}.xml").write_text(PART)
    cases = report.join(sorted(tmp_path.glob("*.xml")), tmp_path / "all")
    suites = ElementTree.parse(tmp_path / "all").getroot()
    assert [suite.get("name") for suite in suites] == ["lab guest", "lab nodes"]
    assert [case.outcome for case in cases] == ["ok", "failure", "skipped"] * 2
    text = report.render(cases)
    assert "ok         1.5 s  data is kept" in text
    assert "failure    2.5 s  nothing is lost" in text
    assert "stage time                                    0.4 s" in text
    assert text.endswith("lab: 2 ok, 2 failure, 2 skipped")


def test_what_is_left_out_is_a_skipped_test_with_its_reason(tmp_path: Path) -> None:
    report.write_skipped("no QEMU here", tmp_path / "lab.xml")
    [case] = report.join([tmp_path / "lab.xml"], tmp_path / "all")
    assert case.outcome == "skipped"
    assert "no QEMU here" in (tmp_path / "all").read_text()


@pytest.mark.parametrize(("ci", "status"), [("", 0), ("true", 1)])
def test_where_no_machine_can_run_that_is_said_and_fails_in_ci_alone(
    ci: str, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse() -> None:
        raise CannotRun("machines need root")

    monkeypatch.setattr(suite, "ensure_kernel", refuse)
    monkeypatch.setattr(suite, "ARTEFACTS", tmp_path)
    monkeypatch.setattr(suite, "KEPT", tmp_path / "lab")
    monkeypatch.setenv("CI", ci)
    assert suite.run((), ()) == status
    assert "left out: machines need root" in capsys.readouterr().out
    assert "machines need root" in (tmp_path / "lab.xml").read_text()


PASSED = PART.replace("<failure", "<skipped").replace("</failure", "</skipped")


@pytest.mark.parametrize(("xml", "failed"), [(None, 1), (PASSED, 1), (PART, 0)], ids=["none", "passed", "failed"])
def test_a_part_that_ends_badly_without_a_failed_test_is_one(
    xml: str | None, failed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suite, "KEPT", tmp_path)
    (tmp_path / "guest.log").write_text("".join(f"line {number}\n" for number in range(100)))
    if xml is not None:
        (tmp_path / "guest.xml").write_text(xml)
    said = suite._explained(suite.Outcome(suite.GUEST, 125, 1.0))
    assert said.startswith("lab: guest ended with status 125")
    assert "line 99" in said
    assert "line 9\n" not in said
    written = list(tmp_path.glob("*-itself.xml"))
    assert len(written) == failed
    assert all(case.failed and "ends well" in case.sentence for one in written for case in report.read(one))
