"""All menus of one appliance, built over its parts. What a version does not have cannot be named, see `tree`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rdscsi.simulator.clock import Clock
from rdscsi.simulator.console.values import Value
from rdscsi.simulator.menus import kinds
from rdscsi.simulator.menus.btrfs import FilesystemMenu, SubvolumeMenu
from rdscsi.simulator.menus.disk import DiskMenu
from rdscsi.simulator.menus.file import FileMenu
from rdscsi.simulator.menus.log import Log, LogMenu
from rdscsi.simulator.menus.menu import ListMenu, Mutation, SingleMenu
from rdscsi.simulator.menus.packages import PackageMenu
from rdscsi.simulator.menus.records import KeptMenu, RowsMenu
from rdscsi.simulator.menus.shown import Layout
from rdscsi.simulator.menus.system import ClockMenu, ResourceMenu, SettingsMenu, SshMenu
from rdscsi.simulator.menus.tree import Tree
from rdscsi.simulator.options import ApplianceOptions
from rdscsi.simulator.storage.model import Storage
from rdscsi.simulator.storage.records import Records
from rdscsi.simulator.storage.store import Store
from rdscsi.simulator.version import minor

Menu = ListMenu[Any] | SingleMenu


@dataclass(frozen=True, slots=True)
class Parts:
    """What menus are built over."""

    storage: Storage
    store: Store
    records: Records
    tree: Tree
    options: ApplianceOptions
    clock: Clock
    log: Log
    uptime: Callable[[], float]
    before: Mutation
    new_host_key: Callable[[str], None]
    logins: Callable[[], Iterable[Mapping[str, Value]]]


def build(parts: Parts) -> dict[str, Menu]:
    """Path to menu, for everything that the tree can name."""
    return {**_storage_menus(parts), **_system_menus(parts), **_kept_menus(parts)}


def _storage_menus(parts: Parts) -> dict[str, Menu]:
    storage, before, behaviour = parts.storage, parts.before, parts.options.behaviour
    return {
        "/disk": DiskMenu(
            "/disk",
            storage=storage,
            tree=parts.tree,
            behaviour=behaviour,
            memory=parts.options.board.total_memory,
            before=before,
        ),
        "/file": FileMenu("/file", storage=storage, behaviour=behaviour, before=before),
        "/disk/btrfs/subvolume": SubvolumeMenu(
            "/disk/btrfs/subvolume", storage=storage, behaviour=behaviour, before=before
        ),
        "/disk/btrfs/filesystem": FilesystemMenu("/disk/btrfs/filesystem", storage=storage, before=before),
    }


def _system_menus(parts: Parts) -> dict[str, Menu]:
    options, before = parts.options, parts.before
    return {
        "/system/resource": ResourceMenu(
            "/system/resource", version=options.version, board=options.board, uptime=parts.uptime, before=before
        ),
        "/system/clock": ClockMenu("/system/clock", clock=parts.clock, before=before),
        "/system/package": PackageMenu("/system/package", store=parts.store, options=options, before=before),
        "/log": LogMenu("/log", log=parts.log, before=before),
        "/user/active": RowsMenu(
            "/user/active", before=before, rows=parts.logins, layout=Layout(columns=("when", "name", "address", "via"))
        ),
        "/ip/hotspot/host": RowsMenu("/ip/hotspot/host", before=before, layout=Layout(columns=("address",))),
    }


def _kept_menus(parts: Parts) -> dict[str, Menu]:
    menus: dict[str, Menu] = {}
    for path, kind in kinds.kinds(parts.options.behaviour.max_sessions).items():
        menus[path] = KeptMenu(path, before=parts.before, records=parts.records, kind=kind)
    for path, defaults in kinds.settings(minor(parts.options.version), parts.options.identity).items():
        if path == "/ip/ssh":
            menus[path] = SshMenu(
                path, records=parts.records, defaults=defaults, before=parts.before, new_host_key=parts.new_host_key
            )
        else:
            menus[path] = SettingsMenu(path, records=parts.records, defaults=defaults, before=parts.before)
    return menus
