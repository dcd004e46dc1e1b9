"""The other menus: system, users and groups with their policies, services, packages, the log, settings."""

from collections.abc import Callable

import pytest

from rdscsi.simulator import Appliance, ApplianceOptions, Behaviour, ManualClock
from rdscsi.simulator.options import User

MakeAppliance = Callable[..., Appliance]


def test_uptime_counts_from_the_last_boot_in_whole_seconds(appliance: Appliance) -> None:
    clock = appliance.clock
    assert isinstance(clock, ManualClock)
    clock.advance(3661.9)
    assert appliance.run(":put [/system/resource/get uptime]") == "01:01:01\r\n"
    appliance.reboot()
    assert appliance.run(":put [/system/resource/get uptime]") == "00:00:00\r\n"


def test_a_restart_of_the_simulator_is_no_reboot(make_appliance: MakeAppliance) -> None:
    first = make_appliance()
    assert isinstance(first.clock, ManualClock)
    first.clock.advance(100)
    first.close()
    assert make_appliance().run(":put [/system/resource/get uptime]") == "00:01:40\r\n"


@pytest.mark.parametrize(
    ("version", "shown"), [("7.24.4", "7.24.4 (stable)"), ("7.24rc2", "7.24rc2"), ("7.26beta5", "7.26beta5")]
)
def test_the_version_is_told_with_its_channel(make_appliance: MakeAppliance, version: str, shown: str) -> None:
    appliance = make_appliance(ApplianceOptions(version=version))
    assert appliance.run(":put [/system/resource/get version]") == f"{shown}\r\n"


def test_singletons_give_one_record_as_value(appliance: Appliance) -> None:
    assert int(appliance.run(":put [:len [/system/resource/print as-value]]")) > 10
    assert appliance.run(":put [/system/identity/print as-value]") == "name=RDS\r\n"
    assert appliance.run("/system/identity/print") == "  name: RDS\r\n"


def test_settings_are_kept(make_appliance: MakeAppliance) -> None:
    first = make_appliance()
    first.run("/system/identity/set name=other; /disk/settings/set auto-smb-sharing=yes")
    first.close()
    again = make_appliance()
    assert again.run(":put [/system/identity/get name]") == "other\r\n"
    assert again.run(":put [/disk/settings/get auto-smb-sharing]") == "true\r\n"


def test_settings_younger_than_the_flush_delay_do_not_survive_a_power_cut(make_appliance: MakeAppliance) -> None:
    appliance = make_appliance(ApplianceOptions(behaviour=Behaviour(config_flush_delay=10)))
    appliance.run("/system/identity/set name=lost; /user/add name=u group=read password=p")
    assert appliance.reboot() == 2
    assert appliance.run(":put [/system/identity/get name]") == "RDS\r\n"
    assert appliance.run(":put [:len [/user/find]]") == "1\r\n"


def test_the_groups_that_are_there_from_the_start(appliance: Appliance) -> None:
    assert appliance.run(":foreach i in=[/user/group/find] do={:put [/user/group/get $i name]}").split() == [
        "read", "write", "full",
    ]  # fmt: skip
    policy = appliance.run(":put [/user/group/get read policy]").strip().split(",")
    assert {"ssh", "read", "test"} <= set(policy)
    assert {"!write", "!ftp", "!policy"} <= set(policy)


@pytest.mark.parametrize(
    ("policies", "line", "allowed"),
    [
        ("ssh,read", "/disk/print count-only", True),
        ("ssh,read", "/disk/set pool1 comment=x", False),
        ("ssh,read,write", "/disk/set pool1 comment=x", True),
        ("ssh,read,write", "/user/add name=x group=full password=y", False),
        ("ssh,read,write,policy", "/user/add name=x group=full password=y", True),
        ("ssh,read,write", "/disk/monitor-traffic pool1 once", False),
        ("ssh,test", "/disk/monitor-traffic pool1 once", True),
        ("ssh,write", "/disk/print count-only", False),
        ("ssh,read,write", "/system/reboot", False),
        ("ssh", ":put hello", True),
    ],
)
def test_policies(make_appliance: MakeAppliance, policies: str, line: str, allowed: bool) -> None:
    appliance = make_appliance(ApplianceOptions(users=(User("admin"), User("u", group="some"))))
    appliance.run(f"/user/group/add name=some policy={policies}")
    assert ("not enough permissions (9)" in appliance.run(line, user="u")) is not allowed


def test_policies_can_be_switched_off_and_hold_at_once(make_appliance: MakeAppliance) -> None:
    appliance = make_appliance(ApplianceOptions(users=(User("admin"), User("u", group="read"))))
    line = "/disk/set pool1 comment=x"
    assert appliance.run(line, user="u") == "not enough permissions (9) (/disk/set; line 1)\r\n"
    appliance.run("/user/set u group=write")
    assert appliance.run(line, user="u") == ""
    appliance.run("/user/disable u")
    assert "not enough permissions" in appliance.run(line, user="u")
    lax = make_appliance(
        ApplianceOptions(users=(User("u", group="read"),), behaviour=Behaviour(enforce_policies=False)), name="lax"
    )
    assert lax.run(line, user="u") == ""


def test_what_the_device_mode_forbids_is_refused(make_appliance: MakeAppliance) -> None:
    appliance = make_appliance(ApplianceOptions(behaviour=Behaviour(device_mode_refuses=("/disk/add",))))
    assert appliance.run("/disk/add type=file slot=a") == "failure: not allowed by device-mode (/disk/add; line 1)\r\n"
    assert appliance.run(":put [/system/device-mode/get mode]") == "rose\r\n"


def test_users_are_unique_and_their_passwords_do_not_show(appliance: Appliance) -> None:
    appliance.run("/user/add name=u group=read password=s3cret")
    assert "already have such entry" in appliance.run("/user/add name=u group=read password=x")
    assert "s3cret" not in appliance.run("/user/print detail; :put [/user/get u]; /user/print as-value")


def test_unknown_policies_and_keys_are_refused(appliance: Appliance) -> None:
    assert "input does not match any value of policy" in appliance.run("/user/group/add name=g policy=fly")
    assert "unable to load key file" in appliance.run('/user/ssh-keys/add user=admin key="ecdsa-sha2-nistp256 AAAA"')


def test_the_log_is_written_read_and_lost_with_a_reboot(appliance: Appliance) -> None:
    appliance.run('/log/info "from a script"; :log warning message=second')
    assert appliance.run(":foreach i in=[/log/find] do={:put [/log/get $i message]}") == "from a script\r\nsecond\r\n"
    assert appliance.run(":put [/log/get [find where message=second] topics]") == "script,warning\r\n"
    appliance.reboot()
    assert appliance.run(":foreach i in=[/log/find] do={:put [/log/get $i message]}") == "router rebooted\r\n"


def test_packages_are_scheduled_until_the_next_boot(appliance: Appliance) -> None:
    appliance.run("/system/package/disable rose-storage")
    assert appliance.run(":put [/system/package/get rose-storage scheduled]") == "scheduled for disable\r\n"
    appliance.run("/system/package/unschedule rose-storage")
    assert appliance.run(":put [/system/package/get rose-storage scheduled]") == "\r\n"


def test_services_are_kept_rows(appliance: Appliance) -> None:
    assert appliance.run(":put [/ip/service/get ssh port]; :put [/ip/service/get ssh max-sessions]").split() == [
        "22", "20",
    ]  # fmt: skip
    assert "out of range" in appliance.run("/ip/service/set ssh port=99999")


def test_max_sessions_are_shown_as_they_are_switched_or_set(make_appliance: MakeAppliance) -> None:
    appliance = make_appliance(ApplianceOptions(behaviour=Behaviour(max_sessions=5)))
    get = ":put [/ip/service/get ssh max-sessions]"
    assert (appliance.run(get), appliance.max_sessions()) == ("5\r\n", 5)
    appliance.run("/ip/service/set ssh max-sessions=7")
    assert (appliance.run(get), appliance.max_sessions()) == ("7\r\n", 7)


def test_scripts_comments_and_order(appliance: Appliance) -> None:
    appliance.run('/system/script/add name=b comment="why"; /system/script/add name=a')
    assert appliance.run("/system/script/print order-by=name").splitlines()[2:] == [
        "0 a     admin  0        ",
        ";;; why",
        "1 b     admin  0        ",
    ]
    assert appliance.run("/system/script/print terse where name=b").startswith("0 name=b owner=admin run-count=0 ")


def test_forms_of_print(appliance: Appliance) -> None:
    assert appliance.run("/user/print show-ids").splitlines()[1:] == ["#  NAME   GROUP", "*1 admin  full "]
    assert appliance.run("/user/print as-value") == ".id=*1;address=;group=full;name=admin\r\n"
    assert appliance.run("/disk/print count-only where type=hardware") == "4\r\n"
    assert appliance.run("/disk/print proplist=slot where type=raid").splitlines()[1:] == [
        "Columns: SLOT", "#    SLOT ", "0 BM pool1",
    ]  # fmt: skip
    summary = appliance.run(":put [/disk/print as-value where slot=pool1]")
    assert summary.startswith(".id=*5;free=")
    assert "fs-uuid=" not in summary
    assert "fs-uuid=" in appliance.run(":put [/disk/print detail as-value where slot=pool1]")


def test_a_delayed_line_is_cut_by_a_reboot(appliance: Appliance) -> None:
    from rdscsi.simulator import LineCut

    with pytest.raises(LineCut):
        appliance.run(":put before; /system/reboot; :put after")
    assert [exchange.outcome for exchange in appliance.history] == ["cut"]


def test_rows_are_changed_unset_removed_and_gone(appliance: Appliance) -> None:
    appliance.run("/system/script/add name=s source=x; /system/script/set s source=y comment=c")
    assert appliance.run(":put [/system/script/get s source]; :put [/system/script/get s comment]").split() == [
        "y",
        "c",
    ]
    appliance.run("/system/script/add name=t; /system/script/unset s value-name=source")
    assert appliance.run(":put [/system/script/get s source]") == "\r\n"
    assert "already have such entry" in appliance.run("/system/script/set s name=t")
    appliance.run("/system/script/remove s,t")
    assert appliance.run("/system/script/print") == ""
    assert appliance.run("/system/script/remove s").startswith("no such item")


def test_addresses_know_their_network(appliance: Appliance) -> None:
    appliance.run("/ip/address/add address=192.0.2.77/24 interface=ether1")
    assert appliance.run(":put [/ip/address/get [find where interface=ether1] network]") == "192.0.2.0\r\n"
    assert "invalid value for argument address" in appliance.run("/ip/address/add address=nowhere interface=ether1")


def test_settings_that_are_booleans_take_yes_and_no_only(appliance: Appliance) -> None:
    assert appliance.run("/ip/ssh/set strong-crypto=yes; :put [/ip/ssh/get strong-crypto]") == "true\r\n"
    assert "must be either yes or no" in appliance.run('/ip/ssh/set strong-crypto="maybe"')


def test_the_log_is_ordered_and_its_entries_have_numbers(appliance: Appliance) -> None:
    appliance.run("/log/info one; /log/error two")
    first = appliance.run(":put [/log/find where message=one]").strip()
    assert appliance.run(f":put [/log/get {first} topics]") == "script,info\r\n"
    assert appliance.run("/log/info").startswith("missing value(s) of argument(s) message")


def test_btrfs_file_systems_show_their_identity(appliance: Appliance) -> None:
    shown = appliance.run(":put [:serialize to=json value=[/disk/btrfs/filesystem/get pool1]]")
    assert '"label":"pool1"' in shown
    assert appliance.run(":put [/disk/btrfs/filesystem/get pool1 uuid]") == appliance.run(
        ":put [/disk/get pool1 fs-uuid]"
    )
    assert "BALANCE-STATUS" in appliance.run("/disk/btrfs/filesystem/print")


def test_a_read_only_snapshot_can_be_made_writable(appliance: Appliance) -> None:
    menu = "/disk/btrfs/subvolume"
    appliance.run(f"{menu}/add fs=pool1 name=v; {menu}/add fs=pool1 parent=v name=s read-only=yes")
    appliance.run(f"{menu}/set [find where name=s] read-only=no")
    assert appliance.run("/file/add name=pool1/s/x") == ""
    assert "is not simulated" in appliance.run(f"{menu}/set [find where name=s] name=other")
