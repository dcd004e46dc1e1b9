"""`/system/...` and other menus of single values: resource, identity, clock, `/disk/settings`, `/ip/ssh`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from rdscsi.simulator.clock import Clock
from rdscsi.simulator.console.text import text_of
from rdscsi.simulator.console.times import of_seconds
from rdscsi.simulator.console.values import Value
from rdscsi.simulator.menus.menu import Mutation, SingleMenu
from rdscsi.simulator.storage.store import Plain, Store
from rdscsi.simulator.version import minor


class ResourceMenu(SingleMenu):
    """`/system/resource`: uptime in whole seconds since the last boot, and the version."""

    def __init__(self, path: str, *, version: str, uptime: Callable[[], float], before: Mutation) -> None:
        super().__init__(path, before=before)
        self._version = version
        self._uptime = uptime

    def values(self) -> dict[str, Value]:
        oldest = "minimum-version" if minor(self._version) >= (7, 24) else "factory-software"
        return {
            "uptime": of_seconds(int(self._uptime())),
            "version": f"{self._version} (stable)",
            "build-time": "2026-09-16 10:00:00",
            oldest: "7.19",
            "free-memory": 30_000_000_000,
            "total-memory": 34_359_738_368,
            "cpu": "ARM64",
            "cpu-count": 16,
            "cpu-load": 1,
            "free-hdd-space": 100_000_000,
            "total-hdd-space": 134_217_728,
            "architecture-name": "arm64",
            "board-name": "RDS2216-2XG-4S+4XS-2XQ (simulated)",
            "platform": "MikroTik",
        }


class ClockMenu(SingleMenu):
    """`/system/clock` in UTC."""

    def __init__(self, path: str, *, clock: Clock, before: Mutation) -> None:
        super().__init__(path, before=before)
        self._clock = clock

    def values(self) -> dict[str, Value]:
        now = datetime.fromtimestamp(self._clock.now(), UTC)
        return {
            "time": of_seconds(now.hour * 3600 + now.minute * 60 + now.second),
            "date": now.strftime("%Y-%m-%d"),
            "time-zone-autodetect": False,
            "time-zone-name": "UTC",
            "gmt-offset": "+00:00",
            "dst-active": False,
        }


class SettingsMenu(SingleMenu):
    """Settings that are merely kept: `/system/identity`, `/disk/settings`, `/ip/ssh`."""

    def __init__(self, path: str, *, store: Store, defaults: Mapping[str, str | bool | int], before: Mutation) -> None:
        super().__init__(path, before=before)
        self._store = store
        self._defaults = dict(defaults)

    def values(self) -> dict[str, Value]:
        kept = self._store.single(self.path)
        found: dict[str, Value] = {**self._defaults}
        if isinstance(kept, dict):
            found.update({name: value for name, value in kept.items() if isinstance(value, str | bool | int)})
        return found

    def change(self, arguments: Mapping[str, Value]) -> None:
        plain: dict[str, Plain] = {
            name: value if isinstance(value, bool | int | str) else text_of(value)
            for name, value in {**self.values(), **arguments}.items()
        }
        self._store.set_single(self.path, plain)
