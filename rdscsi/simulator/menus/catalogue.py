"""All menus of one appliance, built over its parts. What a version does not have is not built either."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rdscsi.simulator.clock import Clock
from rdscsi.simulator.menus.btrfs import FilesystemMenu, SubvolumeMenu
from rdscsi.simulator.menus.disk import DiskMenu
from rdscsi.simulator.menus.file import FileMenu
from rdscsi.simulator.menus.menu import ListMenu, Mutation, SingleMenu
from rdscsi.simulator.menus.records import RecordMenu, packages
from rdscsi.simulator.menus.system import ClockMenu, ResourceMenu, SettingsMenu
from rdscsi.simulator.menus.tree import Tree
from rdscsi.simulator.options import ApplianceOptions
from rdscsi.simulator.storage.model import Storage
from rdscsi.simulator.storage.store import Store

Menu = ListMenu[Any] | SingleMenu
_EMPTY_LISTS = ("/disk/btrfs/transfer", "/system/script", "/user/active", "/user/ssh-keys", "/ip/address",
                "/ip/hotspot/host", "/ip/smb/shares", "/log")  # fmt: skip
_SETTINGS: dict[str, dict[str, str | bool | int]] = {
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
    },
    "/ip/cloud": {"ddns-enabled": "auto", "ddns-update-interval": "none", "update-time": True},
    "/ip/dns": {"servers": "", "allow-remote-requests": False},
    "/system/license": {"software-id": "SIMU-LATE", "nlevel": 6},
    "/system/note": {"show-at-login": True, "note": ""},
}


def build(
    *,
    storage: Storage,
    store: Store,
    tree: Tree,
    options: ApplianceOptions,
    clock: Clock,
    uptime: Callable[[], float],
    before: Mutation,
) -> dict[str, Menu]:
    """Path to menu, for everything that the tree can name."""
    menus: dict[str, Menu] = {
        "/disk": DiskMenu("/disk", storage=storage, tree=tree, before=before),
        "/file": FileMenu("/file", storage=storage, behaviour=options.behaviour, before=before),
        "/disk/btrfs/subvolume": SubvolumeMenu("/disk/btrfs/subvolume", storage=storage, before=before),
        "/disk/btrfs/filesystem": FilesystemMenu("/disk/btrfs/filesystem", storage=storage, before=before),
        "/system/resource": ResourceMenu("/system/resource", version=options.version, uptime=uptime, before=before),
        "/system/clock": ClockMenu("/system/clock", clock=clock, before=before),
        "/system/identity": SettingsMenu(
            "/system/identity", store=store, defaults={"name": options.identity}, before=before
        ),
        "/system/package": RecordMenu(
            "/system/package",
            before=before,
            rows=lambda: packages(options.version, rose_storage=options.rose_storage, storage_disabled=False),
            columns=("name", "version", "scheduled", "build-time", "size"),
            flags=(("X", "disabled"), ("A", "available")),
        ),
    }
    for path, defaults in _SETTINGS.items():
        menus[path] = SettingsMenu(path, store=store, defaults=defaults, before=before)
    for path in _EMPTY_LISTS:
        menus[path] = RecordMenu(path, before=before)
    menus["/user"] = RecordMenu(
        "/user", before=before, rows=lambda: ({"name": "admin", "group": "full", "disabled": False},),
        columns=("name", "group"), flags=(("X", "disabled"),),
    )  # fmt: skip
    menus["/user/group"] = RecordMenu(
        "/user/group", before=before, rows=lambda: ({"name": "full", "policy": "ssh,read,write,test"},)
    )
    menus["/ip/service"] = RecordMenu(
        "/ip/service",
        before=before,
        rows=lambda: ({"name": "ssh", "port": 22, "max-sessions": options.behaviour.max_sessions, "disabled": False},),
        columns=("name", "port"),
        flags=(("X", "disabled"),),
    )
    return menus
