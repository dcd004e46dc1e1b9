"""Who cannot run the cluster is told why, and only CI takes it for a failure."""

import os

import e2e
import pytest


@pytest.mark.parametrize(("ci", "status"), [("true", 1), ("", 0)])
def test_without_root_it_is_skipped_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], ci: str, status: int
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("CI", ci)
    assert e2e.main(["run"]) == status
    assert "this needs root" in capsys.readouterr().err


def test_clearing_up_and_looking_need_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("PATH", "")
    assert e2e.lacking("down") == []
    assert len(e2e.lacking("run")) == 1 + len(e2e.PROGRAMS)
