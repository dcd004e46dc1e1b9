"""What writing to /dev/nvme-fabrics answers: the errno of each refusal, which nvme-cli does not tell."""

import errno

import pytest

from lab.guest import initiator
from lab.guest.initiator import STRANGER, STRANGER_ID, connect
from lab.guest.target import Target, sh


def errno_of(nqn: str, **changed: str | int | None) -> int | None:
    with pytest.raises(OSError, match=r"\[Errno") as caught:
        connect(nqn, **changed)
    return caught.value.errno


def test_connecting_twice_is_ealready(target: Target) -> None:
    volume = target.volume()
    connect(volume.nqn)
    assert errno_of(volume.nqn) == errno.EALREADY
    assert len(initiator.controllers(volume.nqn)) == 1


def test_a_second_connection_on_purpose_is_allowed(target: Target) -> None:
    volume = target.volume()
    first = connect(volume.nqn)
    second = connect(volume.nqn, duplicate_connect="")
    assert first != second
    assert len(initiator.controllers(volume.nqn)) == 2


def test_nobody_listening_is_econnrefused(target: Target) -> None:
    volume = target.volume()
    assert errno_of(volume.nqn, trsvcid=4499) == errno.ECONNREFUSED


def test_an_unknown_subsystem_and_a_host_not_allowed_are_both_eio(target: Target) -> None:
    volume = target.file()
    target.nvmet.offer(type(volume.export)(volume.nqn, volume.file, allowed_host=initiator.HOST))
    assert errno_of("nqn.2026-01.io.example:nowhere") == errno.EIO
    assert errno_of(volume.nqn, hostnqn=STRANGER, hostid=STRANGER_ID) == errno.EIO
    connect(volume.nqn)


def test_no_route_is_ehostunreach(target: Target) -> None:
    sh("ip", "route", "add", "unreachable", "10.99.0.0/24")
    try:
        assert errno_of(target.volume().nqn, traddr="10.99.0.1") == errno.EHOSTUNREACH
    finally:
        sh("ip", "route", "del", "unreachable", "10.99.0.0/24")


@pytest.mark.parametrize(
    "wrong", [{"traddr": "999.1.1.1"}, {"traddr": "some.name"}, {"bogus": "1"}, {"trsvcid": "ftp"}, {"transport": None}]
)
def test_what_the_kernel_cannot_read_is_einval(target: Target, wrong: dict[str, str | None]) -> None:
    assert errno_of(target.volume().nqn, **wrong) == errno.EINVAL


def test_nvme_cli_exits_1_for_every_refusal(target: Target) -> None:
    volume = target.volume()
    connect(volume.nqn)
    common = ("nvme", "connect", "-t", "tcp", "-a", "127.0.0.1", "-q", initiator.HOST, "-I", initiator.HOST_ID)
    again = sh(*common, "-s", "4420", "-n", volume.nqn, check=False)
    refused = sh(*common, "-s", "4499", "-n", volume.nqn, check=False)
    unknown = sh(*common, "-s", "4420", "-n", "nqn.2026-01.io.example:nowhere", check=False)
    assert [done.returncode for done in (again, refused, unknown)] == [1, 1, 1]
    assert "already connected" in again.stderr
    assert "onnection refused" in refused.stderr


def test_disconnecting_the_unknown_succeeds() -> None:
    assert sh("nvme", "disconnect", "-n", "nqn.2026-01.io.example:nowhere").returncode == 0
    assert sh("nvme", "disconnect", "-d", "nvme77").returncode == 0
