"""The command line itself: help that tells the story, exit statuses, and what is (not) imported."""

import subprocess
import sys

import pytest

from rdscsi.cli.main import COMMANDS, main

SERVERS = ("controller", "node", "driver")


def test_help_names_every_command_and_where_to_start(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert all(command.name in shown for command in COMMANDS)
    assert "rdscsi demo" in shown
    assert "exit status" in shown


@pytest.mark.parametrize("command", [command.name for command in COMMANDS])
def test_each_help_tells_what_it_does_with_examples_and_exit_status(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert f"rdscsi {command}" in shown
    assert "example" in shown
    assert "exit status" in shown


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("rdscsi 0.")


@pytest.mark.parametrize("command", SERVERS)
def test_wrong_settings_end_with_status_2_and_all_mistakes(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--socket-mode", "rw", "--max-receive-bytes", "1"]) == 2
    shown = capsys.readouterr().err
    assert "cluster-id is required" in shown
    assert "socket-mode='rw' (--socket-mode): expected an octal file mode" in shown
    assert "max-receive-bytes='1'" in shown


def test_check_prints_each_setting_with_its_origin(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RDSCSI_LOG_LEVEL", "debug")
    assert main(["node", "--check", "--cluster-id", "c", "--node-name", "n"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert "cluster-id = 'c' (--cluster-id)" in shown
    assert "log-level = 'debug' (RDSCSI_LOG_LEVEL)" in shown
    assert "drain-seconds = '25' (default)" in shown


def test_no_command_and_an_unknown_flag_are_usage_errors(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["node", "--no-such-flag"], ["nonsense"]):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2
    assert "usage:" in capsys.readouterr().err


def imported_by(*arguments: str) -> set[str]:
    """The modules in a fresh interpreter after a command ran."""
    script = (
        "import sys\nfrom rdscsi.cli.main import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        "print('\\n' + ' '.join(sys.modules), file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True)
    return set(ended.stderr.splitlines()[-1].split())


def test_help_imports_nothing_heavy() -> None:
    assert not imported_by("--help") & {"trio", "asyncssh", "sqlalchemy", "grpclib", "rich", "asyncio"}


def test_the_servers_help_needs_no_server() -> None:
    assert not imported_by("controller", "--help") & {"trio", "asyncssh", "sqlalchemy", "grpclib", "asyncio"}
