"""The tool's arguments, the scripts of commands and QEMU's command line, without a machine."""

import argparse
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab import command, job, places, qemu
from lab.failures import LabFailed
from lab.kernel import Kernel
from lab.qemu import Cable, Forward, Options

TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=20)


def test_everything_behind_the_first_dashes_is_the_command() -> None:
    assert command.split_command(["run", "--cpus", "1", "--", "ls", "--", "-l"]) == (
        ["run", "--cpus", "1"],
        ["ls", "--", "-l"],
    )
    assert command.split_command(["list"]) == (["list"], [])


def test_options_become_the_machine() -> None:
    words = "run --memory 512M --cpus 2 --disk 8G --share out --cable ab:1=10.0.0.2/24 --forward 1:2 --no-udev"
    options = command.options(command.parser().parse_args(words.split()))
    assert options == Options(
        memory=512 << 20,
        cpus=2,
        disks=(8 << 30,),
        shares=(Path("out").absolute(),),
        udev=False,
        cables=(Cable("ab", 1, "10.0.0.2/24"),),
        forwards=(Forward(1, 2),),
    )


@pytest.mark.parametrize("text", ["", "1.5G", "-1", "8T", "G"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        command.size(text)


@pytest.mark.parametrize("text", ["ab", "ab:2=10.0.0.1/24", "ab:0", "ab:0=host", "A:0=10.0.0.1/24"])
def test_what_is_no_cable_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        command.cable(text)


@pytest.mark.parametrize("name", ["", "Ab", "a/b", "..", "a b", "a" * 40, "-a"])
def test_what_is_no_name_of_a_machine_is_refused(name: str) -> None:
    with pytest.raises(LabFailed):
        places.machine(name)


@settings(deadline=None, max_examples=30)
@given(st.lists(TEXT, max_size=4), TEXT)
def test_a_script_runs_the_command_with_its_words_untouched(words: list[str], value: str) -> None:
    script = job.render_script(
        ["printf", "[%s]", *words, value],
        job.Orders(directory=Path("/"), env={"WORD": value}),
        {"PATH": "/bin:/usr/bin"},
    )
    done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, check=True)
    assert done.stdout.decode() == "".join(f"[{word}]" for word in [*words, value])


def test_only_what_tests_need_of_the_environment_is_passed_on() -> None:
    script = job.render_script(
        ["true"], job.Orders(directory=Path("/")), {"HOME": "/root", "TOKEN": "secret", "CI": "true"}
    )
    assert "secret" not in script
    assert "export HOME=/root" in script
    assert "export LAB_MACHINE=1" in script


def test_no_acceleration_is_ever_asked_for(tmp_path: Path) -> None:
    kernel = Kernel("linux-image", "6.1", tmp_path / "image", tmp_path)
    options = Options(disks=(1, 2), cables=(Cable("ab", 0, "10.0.0.1/24"),), shares=(Path("/a,b"),))
    line = qemu.command(options, directory=tmp_path / "m", name="m", machine_id="id", kernel=kernel, qemu="qemu")
    assert not [word for word in line if "kvm" in word]
    assert [word for word in line if "path=/a,,b," in word]
    assert f"local.path={tmp_path}/cable-ab.0" in " ".join(line)
    assert f"remote.path={tmp_path}/cable-ab.1" in " ".join(line)


def test_both_ends_of_a_cable_have_addresses_of_their_own() -> None:
    ends = {Cable(name, end, "10.0.0.1/24").mac for name in ("ab", "bc") for end in (0, 1)}
    assert len(ends) == 4
    assert all(mac.startswith("52:54:00:") for mac in ends)
