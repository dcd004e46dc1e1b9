"""SSH for real: the pinned host key, the login, and keys that are rotated."""

import getpass
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from ssh_rig import HELLO, KEYS, PATIENCE, Rig, connected, serving

from rdscsi.errors import SettingsInvalid
from rdscsi.routeros.ssh import HostKeyRefused, LoginRefused, open_ssh
from rdscsi.simulator import Appliance
from rdscsi.testing.logbook import Logbook, open_logbook


@pytest.fixture(autouse=True)
def logbook() -> Iterator[Logbook]:
    with open_logbook() as book:
        yield book


@pytest.fixture
def appliance(tmp_path: Path) -> Iterator[Appliance]:
    with Appliance(tmp_path / "appliance") as made:
        yield made


@pytest.fixture
async def rig(appliance: Appliance, tmp_path: Path) -> AsyncIterator[Rig]:
    async with serving(appliance, tmp_path) as made:
        yield made


class TestTheHostKey:
    @pytest.mark.parametrize("form", ["{key}", "# a comment\n{key}\n", "[{host}]:{port} {key}", "* {key}"])
    async def test_it_is_pinned_in_any_form(self, rig: Rig, form: str) -> None:
        text = form.format(key=rig.simulator.host_key, host=rig.settings.host, port=rig.settings.port)
        rig.host_key_file.write_text(text)
        async with connected(rig) as pool:
            assert await pool.run(HELLO, deadline=PATIENCE) == "hello\n"

    @pytest.mark.parametrize("form", ["{other}", "[192.0.2.1]:22 {key}", "@revoked * {key}"])
    async def test_whoever_shows_another_is_told_nothing(self, rig: Rig, form: str) -> None:
        other = KEYS[1].export_public_key().decode().strip()
        rig.host_key_file.write_text(form.format(key=rig.simulator.host_key, other=other))
        async with connected(rig) as pool:
            with pytest.raises(HostKeyRefused, match="does not hold for it") as caught:
                await pool.run(HELLO, deadline=PATIENCE)
        assert "compare the key on its own console" in str(caught.value)
        if "revoked" not in form:
            assert rig.simulator.fingerprint in str(caught.value)
        assert rig.ran == []

    async def test_one_that_is_put_into_the_file_later_counts(self, rig: Rig) -> None:
        rig.host_key_file.write_bytes(KEYS[1].export_public_key())
        async with connected(rig) as pool:
            with pytest.raises(HostKeyRefused):
                await pool.run(HELLO, deadline=PATIENCE)
            rig.host_key_file.write_text(rig.simulator.host_key)
            while True:
                try:
                    assert await pool.run(HELLO, deadline=PATIENCE) == "hello\n"
                    break
                except HostKeyRefused:
                    await trio.sleep(0.01)

    async def test_a_file_that_is_gone_while_running_is_told(self, rig: Rig) -> None:
        async with connected(rig) as pool:
            rig.host_key_file.unlink()
            with pytest.raises(HostKeyRefused, match=r"cannot be used: .*No such file"):
                await pool.run(HELLO, deadline=PATIENCE)

    async def test_without_one_it_does_not_start(self, rig: Rig) -> None:
        with pytest.raises(SettingsInvalid, match="no host key of the appliance is pinned"):
            async with open_ssh(replace(rig.settings, host_key_file=None)):
                raise AssertionError

    async def test_any_will_do_only_on_request_and_with_a_warning_at_each_connect(
        self, rig: Rig, logbook: Logbook
    ) -> None:
        async with connected(rig, host_key_file=None, insecure=True) as pool:
            await pool.run(HELLO, deadline=PATIENCE)
            rig.simulator.disconnect_all()
            await rig.wait_deserted()
            await pool.run(HELLO, deadline=PATIENCE)
        warnings = [event for event in logbook.events() if "the host key is not checked" in event["event"]]
        assert [event["level"] for event in warnings] == ["warning"] * 2
        assert {event["host_key"] for event in warnings} == {rig.simulator.fingerprint}


class TestTheLogin:
    async def test_a_key_that_the_appliance_does_not_know_is_told(self, rig: Rig) -> None:
        rig.key_file.write_bytes(KEYS[1].export_private_key())
        async with connected(rig) as pool:
            with pytest.raises(LoginRefused, match="does not let user 'admin' in") as caught:
                await pool.run(HELLO, deadline=PATIENCE)
        assert "/user/ssh-keys" in str(caught.value)
        assert str(rig.key_file) in str(caught.value)

    async def test_a_user_that_it_does_not_know_is_told(self, rig: Rig) -> None:
        async with connected(rig, username="nobody") as pool:
            with pytest.raises(LoginRefused, match="user 'nobody'"):
                await pool.run(HELLO, deadline=PATIENCE)

    async def test_a_key_is_rotated_without_a_restart(self, appliance: Appliance, tmp_path: Path) -> None:
        async with serving(appliance, tmp_path, *KEYS) as rig, connected(rig) as pool:
            await pool.run(HELLO, deadline=PATIENCE)
            rig.key_file.write_bytes(KEYS[1].export_private_key())
            rig.simulator.disconnect_all()
            await rig.wait_deserted()
            assert await pool.run(HELLO, deadline=PATIENCE) == "hello\n"

    async def test_after_the_key_was_put_right_it_gets_in(self, rig: Rig) -> None:
        rig.key_file.write_bytes(KEYS[1].export_private_key())
        async with connected(rig) as pool:
            with pytest.raises(LoginRefused):
                await pool.run(HELLO, deadline=PATIENCE)
            rig.key_file.write_bytes(KEYS[0].export_private_key())
            while True:
                try:
                    assert await pool.run(HELLO, deadline=PATIENCE) == "hello\n"
                    break
                except LoginRefused:
                    await trio.sleep(0.01)

    async def test_all_mistakes_in_the_files_are_told_at_the_start(self, rig: Rig) -> None:
        rig.key_file.write_text("no key at all")
        rig.host_key_file.write_bytes(KEYS[1].export_private_key())
        with pytest.raises(SettingsInvalid) as caught:
            async with open_ssh(rig.settings):
                raise AssertionError
        first, second = caught.value.mistakes
        assert f"the private key {rig.key_file} cannot be used" in first
        assert f"the host key file {rig.host_key_file} cannot be used: it holds a private key" in second

    async def test_a_key_with_a_passphrase_is_a_mistake(self, rig: Rig) -> None:
        rig.key_file.write_bytes(KEYS[0].export_private_key("pkcs8-pem", passphrase="hush"))
        with pytest.raises(SettingsInvalid, match="cannot be used: Passphrase must be specified"):
            async with open_ssh(rig.settings):
                raise AssertionError

    async def test_key_material_never_reaches_the_log(self, rig: Rig, logbook: Logbook) -> None:
        async with connected(rig) as pool:
            await pool.run(HELLO, deadline=PATIENCE)
        secret = rig.key_file.read_text().splitlines()[3]
        assert secret not in logbook.text

    async def test_a_process_without_a_user_name_gets_in(self, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
        def nobody() -> str:
            if "LOGNAME" not in os.environ:
                raise KeyError("getpwuid(): uid not found: 12345")
            return os.environ["LOGNAME"]

        monkeypatch.delenv("LOGNAME", raising=False)
        monkeypatch.setattr(getpass, "getuser", nobody)
        async with connected(rig) as pool:
            assert await pool.run(HELLO, deadline=PATIENCE) == "hello\n"
        assert os.environ["LOGNAME"] == "rdscsi"
