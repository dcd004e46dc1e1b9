"""Where settings come from: flags, then environment, then file, then defaults; and all mistakes told at once.

A table `[backends.NAME]` of the file holds what one appliance has of its own: there it counts before everything else.

A mistake names the setting, the value, where the value came from, and what would be right. Nothing here knows a
particular setting; those are in `rdscsi.config.settings`.
"""

import difflib
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from rdscsi.config.definition import Definition, definitions
from rdscsi.config.settings import SECTIONS, ControllerSettings, NodeSettings, ProcessSettings
from rdscsi.config.values import BACKEND
from rdscsi.errors import SettingsInvalid

S = TypeVar("S")

TABLES = "backends"
_NAME = "backend"

Backends = tuple[ControllerSettings, ...]
"""One for each appliance. The first is the one that is meant where a request names none."""


@dataclass(frozen=True, slots=True)
class Sources:
    """The texts that settings are read from, by flag name, variable name and file key."""

    flags: Mapping[str, str]
    environment: Mapping[str, str]
    file: Mapping[str, object]
    file_path: Path | None = None
    table: Mapping[str, object] = field(default_factory=dict)
    """Of the backend that is read, when there are several; `table_name` is what the file calls it."""
    table_name: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """The text of one setting and where it was found, in words for a person."""

    text: str
    origin: str


def read_file(path: Path) -> Mapping[str, object]:
    """Read a TOML settings file. Raises SettingsInvalid when it cannot be read or is not TOML."""
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise SettingsInvalid([f"--config {path}: cannot be read: {error.strerror or error}"]) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsInvalid([f"--config {path}: not a TOML file: {error}"]) from error


def read_controller(sources: Sources) -> tuple[ProcessSettings, Backends]:
    """The settings of `rdscsi controller`. Raises SettingsInvalid with every mistake."""
    reading = _Reading(sources)
    process, backends = reading.section(ProcessSettings), reading.backends()
    return reading.proven(process), reading.proven(backends)


def read_node(sources: Sources) -> tuple[ProcessSettings, NodeSettings]:
    """The settings of `rdscsi node`. Raises SettingsInvalid with every mistake."""
    reading = _Reading(sources)
    process, node = reading.section(ProcessSettings), reading.section(NodeSettings)
    return reading.proven(process), reading.proven(node)


def read_driver(sources: Sources) -> tuple[ProcessSettings, Backends, NodeSettings]:
    """The settings of `rdscsi driver`, both halves. Raises SettingsInvalid with every mistake."""
    reading = _Reading(sources)
    process, backends = reading.section(ProcessSettings), reading.backends()
    node = reading.section(NodeSettings)
    return reading.proven(process), reading.proven(backends), reading.proven(node)


class _Reading:
    """One pass over the sources that collects mistakes instead of stopping at the first."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._mistakes = list(_unknown_keys(sources))

    def backends(self) -> Backends | None:
        """Read the controller's settings, for each table of the file once; None when something is wrong."""
        tables = self._tables()
        if not tables:
            alone = self.section(ControllerSettings)
            return None if alone is None else (alone,)
        read = [self.section(ControllerSettings, of) for of in tables]
        default = find(_definition(_NAME), self._sources)
        if default is None or default.text not in [of.table_name for of in tables]:
            names = ", ".join(of.table_name for of in tables)
            self._mistakes.append(f"{_shown(_NAME, default)}: expected one of the backends that have a table: {names}")
        found = [one for one in read if one is not None]
        self._mistakes += _shared_appliances(found)
        if self._mistakes or default is None:
            return None
        return tuple(sorted(found, key=lambda one: (one.backend != default.text, one.backend)))

    def _tables(self) -> list[Sources]:
        """The sources of each backend that has a table. What is no table, or has no name of a backend, is a mistake."""
        given = self._sources.file.get(TABLES, {})
        if not isinstance(given, Mapping):
            self._mistakes.append(
                f"{TABLES} in {self._sources.file_path}: expected a table [{TABLES}.NAME] for each backend"
            )
            return []
        found = []
        for name, table in given.items():
            try:
                BACKEND.parse(name)
            except ValueError:
                self._mistakes.append(f"[{TABLES}.{name}] in {self._sources.file_path}: expected {BACKEND.expected}")
                continue
            if not isinstance(table, Mapping):
                self._mistakes.append(
                    f"{TABLES}.{name} in {self._sources.file_path}: expected a table [{TABLES}.{name}]"
                )
                continue
            of = replace(self._sources, table=table, table_name=name)
            self._mistakes += _unknown_in_table(of)
            found.append(of)
        return found

    def section(self, section: type[S], sources: Sources | None = None) -> S | None:
        """Read one settings class; None when something in it is wrong, which `proven` then reports."""
        before = len(self._mistakes)
        found = {one.name: find(one, sources or self._sources) for one in definitions(section)}
        values = {one.name: self._value(one, found[one.name]) for one in definitions(section)}
        readable = {name: value[0] for name, value in values.items() if value}
        self._check(section, readable, found)
        if len(self._mistakes) > before:
            return None
        return section(**{name.replace("-", "_"): value for name, value in readable.items()})

    def proven(self, section: S | None) -> S:
        """The settings, once all were read. Raises SettingsInvalid when anything at all was wrong."""
        if self._mistakes or section is None:
            raise SettingsInvalid(self._mistakes)
        return section

    def _value(self, definition: Definition, found: Found | None) -> tuple[object] | None:
        if found is None:
            self._mistakes.append(_required(definition))
            return None
        try:
            return (definition.kind.parse(found.text),)
        except ValueError:
            self._mistakes.append(f"{_shown(definition.name, found)}: expected {definition.kind.expected}")
            return None

    def _check(self, section: type, readable: Mapping[str, object], found: Mapping[str, Found | None]) -> None:
        for check in getattr(section, "checks", ()):
            if all(name in readable for name in check.names):
                wrong = check.wrong(*(readable[name] for name in check.names))
                if wrong:
                    self._mistakes.append(f"{_shown(check.names[0], found[check.names[0]])}: {wrong}")


def find(definition: Definition, sources: Sources) -> Found | None:
    """The text that counts for a setting, or None when it is required and given nowhere."""
    where = f"[{TABLES}.{sources.table_name}] in {sources.file_path}"
    if sources.table_name and definition.name == _NAME:
        return Found(sources.table_name, where)
    if definition.name in sources.table:
        return Found(_file_text(sources.table[definition.name]), where)
    if definition.name in sources.flags:
        return Found(sources.flags[definition.name], definition.flag)
    if definition.environment in sources.environment:
        return Found(sources.environment[definition.environment], definition.environment)
    if definition.name in sources.file:
        return Found(_file_text(sources.file[definition.name]), f"{definition.name} in {sources.file_path}")
    if definition.environment_default in sources.environment:
        return Found(sources.environment[definition.environment_default], definition.environment_default)
    text = definition.default_text
    return None if text is None else Found(text, "default")


def describe(definition: Definition, sources: Sources) -> str:
    """One setting as it counts, with its origin, for a person."""
    found = find(definition, sources)
    return definition.name if found is None else f"{definition.name} = {found.text!r} ({found.origin})"


def _file_text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ",".join(_file_text(one) for one in value)
    return str(value)


def _required(definition: Definition) -> str:
    return (
        f"{definition.name} is required: give {definition.flag}, {definition.environment} or a line in the settings"
        f" file; expected {definition.kind.expected}"
    )


def _shown(name: str, found: Found | None) -> str:
    return name if found is None else f"{name}={found.text!r} ({found.origin})"


def _unknown_keys(sources: Sources) -> Iterable[str]:
    """Keys of the file that no command knows.

    Unknown RDSCSI_* variables pass: Kubernetes itself makes RDSCSI_PORT out of a Service's name.
    """
    known = [one.name for section in SECTIONS.values() for one in definitions(section)]
    for key in sources.file:
        if key not in known and key != TABLES:
            yield f"{key} in {sources.file_path}: no such setting{_hint(key, known)}"


def _unknown_in_table(sources: Sources) -> Iterable[str]:
    """Keys of a backend's table that are not the controller's; its name is the table's."""
    known = [one.name for one in definitions(ControllerSettings) if one.name != _NAME]
    for key in sources.table:
        if key not in known:
            where = f"{key} in [{TABLES}.{sources.table_name}] of {sources.file_path}"
            yield f"{where}: no such setting of a backend{_hint(key, known)}"


def _hint(key: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    return f"; did you mean {close[0]}?" if close else "; docs/settings.md lists the keys"


def _shared_appliances(backends: Sequence[ControllerSettings]) -> Iterable[str]:
    """Two backends at one address: an inventory of either would meet the other's volumes as strangers."""
    seen: dict[tuple[str, int], str] = {}
    for one in backends:
        first = seen.setdefault((one.rds_address, one.rds_port), one.backend)
        if first != one.backend:
            yield (
                f"rds-address={one.rds_address!r} (port {one.rds_port}) is the appliance of both backends {first!r} "
                f"and {one.backend!r}: expected an appliance of its own for each"
            )


def _definition(name: str) -> Definition:
    return next(one for one in definitions(ControllerSettings) if one.name == name)
