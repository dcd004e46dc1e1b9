"""The gate that keeps journal, operations and recovery covered as a whole: what it says of a report."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).with_name("covered.py")


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tests_run_covered", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


covered = _load()
FILES = covered.expected(covered.WHOLE)
WHOLE: dict[str, dict[str, list[object]]] = {file: {"missing_lines": [], "missing_branches": []} for file in FILES}


def _run(tmp_path: Path, measured: object) -> int:
    report = tmp_path / "coverage.json"
    report.write_text(json.dumps({"files": measured}))
    status = covered.main([str(report)])
    assert isinstance(status, int)
    return status


def test_the_list_names_files_that_are_there_and_all_of_the_journal() -> None:
    assert {"rdscsi/operations.py", "rdscsi/journal/writer.py", "rdscsi/controller/repairs.py"} <= set(FILES)
    with pytest.raises(ValueError, match="no/such\\.py: there is no such file"):
        covered.expected(["no/such.py"])


def test_a_whole_report_passes_whatever_other_files_lack(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = {"rdscsi/app.py": {"missing_lines": [1], "missing_branches": []}}
    assert _run(tmp_path, WHOLE | other) == 0
    assert f"{len(FILES)} files" in capsys.readouterr().out


def test_lines_and_branches_that_nobody_took_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lacking = {"missing_lines": [7, 8], "missing_branches": [[6, 7], [20, 25], [30, -28]]}
    assert _run(tmp_path, WHOLE | {"rdscsi/operations.py": lacking}) == 1
    shown = capsys.readouterr().out.splitlines()
    assert shown[0] == "rdscsi/operations.py: never run: lines 7, 8"
    assert shown[1] == "rdscsi/operations.py: never taken: from line 20 to line 25, from line 30 out of the function"
    assert "NOT covered as a whole" in shown[2]


def test_a_file_that_no_test_imports_does_not_pass(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(tmp_path, {file: one for file, one in WHOLE.items() if file != "rdscsi/operations.py"}) == 1
    assert "rdscsi/operations.py: not in the report at all" in capsys.readouterr().out
