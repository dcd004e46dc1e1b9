"""The calls themselves, made in this process: what they do, and the numbers of their errors."""

import errno
import io
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from rdscsi.host import callee


def ask(name: str, *arguments: object) -> object:
    """Make a call as the other side does."""
    reply = json.loads(callee.answer(json.dumps([name, *arguments]).encode()))
    if "errno" in reply:
        return errno.errorcode[reply["errno"]]
    return reply["result"]


def test_paths_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to("file")
    for name, kind in {"": "directory", "file": "file", "link": "other", "-": "absent", "file/x": "absent"}.items():
        assert ask("lstat", str(tmp_path / name)) == [kind, 0, 0]
    assert ask("lstat", "/" + "x" * 300) == "ENAMETOOLONG"


def test_links_in_directories_are_resolved_and_the_last_part_is_kept(tmp_path: Path) -> None:
    real = Path(os.path.realpath(tmp_path))
    (real / "directory").mkdir()
    (real / "link").symlink_to("directory")
    assert ask("canonical", f"{real}/link/../link//x/") == str(real / "directory" / "x")
    assert ask("canonical", f"{real}/link") == str(real / "link")
    assert ask("canonical", "/") == "/"


def test_making_what_is_there_is_a_success_and_what_is_in_the_way_is_not(tmp_path: Path) -> None:
    directory, file = str(tmp_path / "a" / "b"), str(tmp_path / "c" / "file")
    for _ in range(2):
        assert ask("make_directory", directory) is None
        assert ask("make_file", file) is None
    assert ask("make_directory", file) == "EEXIST"
    assert ask("make_file", directory) == "EISDIR"
    (tmp_path / "link").symlink_to(file)
    assert ask("make_file", str(tmp_path / "link")) == "ELOOP"
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    assert ask("make_file", str(tmp_path / "pipe")) == "EEXIST"
    os.close(reader)


def test_removal_spares_what_holds_something_or_is_nothing_of_ours(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("data")
    os.mkfifo(tmp_path / "pipe")
    assert ask("remove", str(tmp_path / "full")) == "ENOTEMPTY"
    assert ask("remove", str(tmp_path / "full" / "file")) == "ENOTEMPTY"
    assert ask("remove", str(tmp_path / "pipe")) == "EEXIST"
    assert (tmp_path / "full" / "file").read_text() == "data"
    (tmp_path / "full" / "file").write_text("")
    for name in ("full/file", "full", "full", "full/file"):
        assert ask("remove", str(tmp_path / name)) is None
    assert not (tmp_path / "full").exists()


def test_a_device_node_that_may_not_be_made_or_opened_is_not_supported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "mknod", refuse)
    assert ask("make_node", str(tmp_path / "new" / "node"), 259, 1, 0o660) == "ENOTSUP"
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_flag=os.ST_NODEV))
    assert ask("make_node", str(tmp_path / "node"), 259, 1, 0o660) == "ENOTSUP"


def test_a_device_node_gets_its_mode_whatever_the_umask_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    monkeypatch.setattr(os, "mknod", lambda *arguments: made.append(arguments))
    monkeypatch.setattr(os, "chmod", lambda *arguments: made.append(arguments))
    path = str(tmp_path / "node")
    assert ask("make_node", path, 259, 1, 0o440) is None
    assert made == [(path, 0o060440, os.makedev(259, 1)), (path, 0o440)]


def test_sysfs_is_written_and_a_device_that_answers_is_read(tmp_path: Path) -> None:
    file = tmp_path / "attribute"
    file.write_text("0123456789")
    assert ask("write", str(file), "1") is None
    assert ask("exchange", str(file), "ab") == "23456789"
    assert ask("write", str(tmp_path / "gone"), "1") == "ENOENT"


def test_a_path_that_is_no_device_or_another_is_never_read_or_written(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(bytes(8192))
    for call, *arguments in (("free",), ("hold",), ("probe", 8192, [0], "s"), ("write_stamp", [0], "s")):
        assert ask(call, str(file), 259, 1, *arguments) in ("ENODEV", "EINVAL")  # tmpfs may not do O_DIRECT
    assert file.read_bytes() == bytes(8192)


def test_a_short_read_or_write_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(4096))
    descriptor = os.open(tmp_path / "file", os.O_RDWR)
    try:
        with pytest.raises(OSError, match="less than 8192"):
            callee._read(descriptor, 0, 8192)
        callee._write(descriptor, 0, b"x" * 4096)
        assert callee._read(descriptor, 0, 4096) == b"x" * 4096
    finally:
        os.close(descriptor)
    full = os.open("/dev/full", os.O_RDWR)
    try:
        with pytest.raises(OSError, match="space"):
            callee._write(full, 0, b"x" * 4096)
    finally:
        os.close(full)


def test_requests_are_answered_line_by_line_until_the_input_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = b'["lstat", "/"]\n["statvfs", "/no/such/path"]\n["release"]\n'
    answers = io.BytesIO()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(asked)))
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(buffer=answers))
    callee.main()
    first, second, third = map(json.loads, answers.getvalue().splitlines())
    assert first == {"result": ["directory", 0, 0]}
    assert second == {"errno": errno.ENOENT, "error": "No such file or directory"}
    assert third == {"result": None}


def test_an_error_without_a_number_is_told_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: str) -> None:
        raise OSError("odd")

    monkeypatch.setitem(callee.CALLS, "lstat", fail)
    assert json.loads(callee.answer(b'["lstat", "/"]')) == {"errno": errno.EIO, "error": "odd"}


def test_usage_is_statvfs_in_order(tmp_path: Path) -> None:
    fragment, blocks, free, available, files, free_files = callee.statvfs(str(tmp_path))
    assert blocks >= free >= available >= 0
    assert fragment > 0
    assert files >= free_files
