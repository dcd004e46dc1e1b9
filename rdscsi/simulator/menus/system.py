"""`/system/...` and other menus of single values: resource, identity, clock, `/disk/settings`, `/ip/ssh`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from rdscsi.simulator.clock import Clock
from rdscsi.simulator.console.evaluator import Request
from rdscsi.simulator.console.text import text_of
from rdscsi.simulator.console.times import of_seconds
from rdscsi.simulator.console.values import NOTHING, Value
from rdscsi.simulator.menus import arguments
from rdscsi.simulator.menus.menu import Mutation, SingleMenu
from rdscsi.simulator.menus.shown import Layout
from rdscsi.simulator.options import Board
from rdscsi.simulator.storage.records import Records
from rdscsi.simulator.storage.store import Plain
from rdscsi.simulator.version import minor


class ResourceMenu(SingleMenu):
    """`/system/resource`: uptime in whole seconds since the last boot, the version, and what the board is."""

    layout = Layout(
        columns=(),
        forms={
            "free-memory": "binary",
            "total-memory": "binary",
            "free-hdd-space": "binary",
            "total-hdd-space": "binary",
            "cpu-load": "percent",
            "bad-blocks": "percent",
            "cpu-frequency": "megahertz",
        },
    )

    def __init__(self, path: str, *, version: str, board: Board, uptime: Callable[[], float], before: Mutation) -> None:
        super().__init__(path, before=before)
        self._version = version
        self._board = board
        self._uptime = uptime

    def one(self, name: str) -> Value | None:
        """`uptime` is asked for in each line of some drivers; the rest is not needed for it."""
        return of_seconds(int(self._uptime())) if name == "uptime" else None

    def values(self) -> dict[str, Value]:
        board = self._board
        oldest = "minimum-version" if minor(self._version) >= (7, 24) else "factory-software"
        return {
            "uptime": of_seconds(int(self._uptime())),
            "version": shown_version(self._version),
            "build-time": board.build_time,
            oldest: board.oldest_version,
            "free-memory": board.free_memory,
            "total-memory": board.total_memory,
            "cpu": board.cpu,
            "cpu-count": board.cpu_count,
            "cpu-frequency": board.cpu_frequency,
            "cpu-load": board.cpu_load,
            "free-hdd-space": board.free_hdd,
            "total-hdd-space": board.total_hdd,
            "write-sect-since-reboot": board.write_sect_since_reboot,
            "write-sect-total": board.write_sect_total,
            "bad-blocks": board.bad_blocks,
            "architecture-name": board.architecture,
            "board-name": board.name,
            "platform": "MikroTik",
        }


def shown_version(version: str) -> str:
    """`7.24.4 (stable)`; release candidates stand alone in the manual's print (7.24rc2)."""
    return version if "rc" in version or "beta" in version else f"{version} (stable)"


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

    def __init__(
        self, path: str, *, records: Records, defaults: Mapping[str, str | bool | int], before: Mutation
    ) -> None:
        super().__init__(path, before=before)
        self._records = records
        self._defaults = dict(defaults)

    def values(self) -> dict[str, Value]:
        kept = self._records.settings(self.path)
        return {
            **self._defaults,
            **{name: value for name, value in kept.items() if isinstance(value, str | bool | int)},
        }

    def change(self, arguments_: Mapping[str, Value]) -> None:
        plain: dict[str, Plain] = {}
        for name, value in {**self.values(), **arguments_}.items():
            if isinstance(self._defaults.get(name), bool):
                plain[name] = arguments.boolean(name, value)
            else:
                plain[name] = value if isinstance(value, bool | int | str) else text_of(value)
        self._records.set(self.path, plain)


class SshMenu(SettingsMenu):
    """`/ip/ssh`, with the host key that can be made anew."""

    def __init__(
        self,
        path: str,
        *,
        records: Records,
        defaults: Mapping[str, str | bool | int],
        before: Mutation,
        new_host_key: Callable[[str], None],
    ) -> None:
        super().__init__(path, records=records, defaults=defaults, before=before)
        self._new_host_key = new_host_key

    def do_regenerate_host_key(self, request: Request) -> Value:
        self.before(request.path, request.arguments)
        self._new_host_key(str(self.values()["host-key-type"]))
        return NOTHING
