"""Requests as they may be logged: without secrets, without megabytes. Pure.

What is a secret says the contract (`csi_secret`), not this code; so a new field cannot be forgotten. Mount flags, and
tokens that a kubelet hands over in a volume_context, are sensitive by the specification's words alone.
"""

import dataclasses
import enum
from collections.abc import Mapping
from typing import Any

from rdscsi.csi import checks
from rdscsi.csi.schema import Schema, name_of
from rdscsi.observe.secrets import REMOVED

_SENSITIVE = frozenset({"mount_flags", "volume_mount_group"})
_TOKEN = "token"  # noqa: S105 - the word, as in csi.storage.k8s.io/serviceAccount.tokens
_MOST_ENTRIES = 32


def shown(message: Any, schema: Schema) -> dict[str, object]:
    """Return the fields of a generated message that are set, as plain values for the log."""
    hidden = schema.secret_fields(name_of(type(message))) | _SENSITIVE
    fields: dict[str, object] = {}
    for field in dataclasses.fields(message):
        value = getattr(message, field.name)
        if isinstance(value, enum.Enum | bool | int | str | bytes | list | dict) and not value:
            continue
        if value is not None and not field.name.startswith("_"):
            fields[field.name] = REMOVED if field.name in hidden else _plain(value, schema)
    return fields


def _plain(value: object, schema: Schema) -> object:
    if isinstance(value, enum.Enum):
        return str(value)
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return checks.shortened(value)
    if isinstance(value, Mapping):
        return _map(value)
    if isinstance(value, list):
        return [_plain(one, schema) for one in value[:_MOST_ENTRIES]]
    if dataclasses.is_dataclass(value):
        return shown(value, schema)
    return checks.shortened(str(value))


def _map(value: Mapping[str, str]) -> dict[str, str]:
    some = sorted(value.items())[:_MOST_ENTRIES]
    return {checks.shortened(key): REMOVED if _TOKEN in key.lower() else checks.shortened(one) for key, one in some}
