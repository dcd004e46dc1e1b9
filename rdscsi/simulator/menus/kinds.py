"""The lists that are merely kept, and the settings of single-value menus: what their rows are like by default."""

from __future__ import annotations

from dataclasses import replace

from rdscsi.simulator import accounts
from rdscsi.simulator.menus.records import Kind, network_of
from rdscsi.simulator.storage.records import Row
from rdscsi.simulator.version import Minor

_DISABLED = (("X", "disabled"),)

KINDS: dict[str, Kind] = {
    "/user": Kind(
        columns=("name", "group", "address"),
        flags=_DISABLED,
        mandatory=("name", "group", "password"),
        defaults={"address": "", "disabled": False},
        secret=frozenset({"password"}),
    ),
    "/user/group": Kind(
        columns=("name", "policy", "skin"),
        mandatory=("name",),
        defaults={"policy": "", "skin": "default"},
        derived=accounts.group_row,
    ),
    "/user/ssh-keys": Kind(
        columns=("user", "key-type", "info"),
        mandatory=("user", "key"),
        key="",
        secret=frozenset({"key"}),
        derived=accounts.key_row,
    ),
    "/ip/address": Kind(
        columns=("address", "network", "interface"),
        flags=(*_DISABLED, ("D", "dynamic")),
        mandatory=("address", "interface"),
        key="address",
        defaults={"disabled": False, "dynamic": False},
        derived=network_of,
    ),
    "/ip/smb/shares": Kind(columns=("name", "directory"), flags=_DISABLED, mandatory=("name",)),
    "/system/script": Kind(
        columns=("name", "owner", "run-count"),
        mandatory=("name",),
        defaults={"owner": "admin", "policy": "", "dont-require-permissions": False, "run-count": "0", "source": ""},
    ),
    "/disk/btrfs/transfer": Kind(
        columns=("type", "fs", "bytes", "status"),
        mandatory=("type",),
        key="",
        # A transfer is recorded and does not run: the simulator says so instead of pretending.
        defaults={"bytes": "0", "status": "not simulated"},
    ),
    "/ip/service": Kind(
        columns=("name", "port", "max-sessions"),
        flags=_DISABLED,
        defaults={"disabled": False, "max-sessions": 20},
        numbers=frozenset({"port", "max-sessions"}),
    ),
}


def kinds(max_sessions: int) -> dict[str, Kind]:
    """All of them; how many may log in at once is a switch."""
    service = KINDS["/ip/service"]
    return {**KINDS, "/ip/service": replace(service, defaults={**service.defaults, "max-sessions": max_sessions})}


SERVICES: tuple[Row, ...] = (
    {"name": "ftp", "port": 21, "disabled": True},
    {"name": "ssh", "port": 22},
    {"name": "telnet", "port": 23, "disabled": True},
    {"name": "www", "port": 80, "disabled": True},
    {"name": "www-ssl", "port": 443, "disabled": True},
    {"name": "winbox", "port": 8291},
    {"name": "api", "port": 8728, "disabled": True},
    {"name": "api-ssl", "port": 8729, "disabled": True},
)


def settings(version: Minor, identity: str) -> dict[str, dict[str, str | bool | int]]:
    """Single-value menus whose values are merely kept, with their defaults."""
    password: dict[str, str | bool | int] = (
        {"password-authentication": "yes-if-no-key"} if version >= (7, 21) else {"always-allow-password-login": False}
    )
    return {
        "/system/identity": {"name": identity},
        "/disk/settings": {
            "auto-smb-sharing": False,
            "auto-smb-user": "",
            "auto-media-sharing": False,
            "auto-media-interface": "none",
            "default-mount-point-template": "[slot]",
        },
        "/ip/ssh": {
            "ciphers": "auto",
            "forwarding-enabled": "no",
            "host-key-size": 2048,
            "host-key-type": "rsa",
            "strong-crypto": False,
            **password,
        },
        "/ip/cloud": {"ddns-enabled": "auto", "ddns-update-interval": "none", "update-time": True},
        "/ip/dns": {"servers": "", "allow-remote-requests": False},
        "/system/license": {"software-id": "SIMU-LATE", "nlevel": 6},
        "/system/note": {"show-at-login": True, "note": ""},
        "/system/device-mode": {"mode": "rose", "scheduler": True, "fetch": True, "container": True},
    }
