"""The rules of the CSI specification that hold for single fields: presence, size, characters, form. Pure.

Each check takes the field's name and value and returns what was checked. All raise InvalidRequest, whose message
shows at most the beginning of a value. Sizes are those of "Size Limits" in the specification (v1.13.0), in bytes.
"""

import re
from collections.abc import Mapping

from rdscsi.errors import CapacityOutOfRange, InvalidRequest
from rdscsi.model import CapacityRange

LONGEST_TEXT = 128
LONGEST_NODE_ID = 256
LONGEST_PATH = 4095  # Linux' PATH_MAX without its closing zero
LARGEST_MAP = 4096

_SHOWN = 160
_BANNED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")  # control characters other than common white space
_CONTROL = re.compile("[\x00-\x1f\x7f]")


def shortened(value: str) -> str:
    """Return the value, or its beginning: an error message has no room for a megabyte."""
    return value if len(value) <= _SHOWN else f"{value[:_SHOWN]}… ({len(value)} characters)"


def required_text(field: str, value: str, *, limit: int = LONGEST_TEXT) -> str:
    """Check a text that must be there, such as a name or an id."""
    if not value:
        raise InvalidRequest(field, value, "required")
    return optional_text(field, value, limit=limit)


def optional_text(field: str, value: str, *, limit: int = LONGEST_TEXT) -> str:
    """Check a text that may be empty."""
    size = len(value.encode())
    if size > limit:
        raise InvalidRequest(field, shortened(value), f"at most {limit} bytes, these are {size}")
    if _BANNED.search(value):
        raise InvalidRequest(field, shortened(value), "no control characters")
    return value


def required_path(field: str, value: str) -> str:
    """Check a path that must be there."""
    if not value:
        raise InvalidRequest(field, value, "required")
    return optional_path(field, value)


def optional_path(field: str, value: str) -> str:
    """Check a path: absolute, without `..`, so that it stays where its text says. Exempt from the limit of texts."""
    if not value:
        return value
    if len(value.encode()) > LONGEST_PATH:
        raise InvalidRequest(field, shortened(value), f"at most {LONGEST_PATH} bytes")
    if not is_plain_path(value):
        raise InvalidRequest(field, shortened(value), "an absolute path without .. and control characters")
    return value


def is_plain_path(value: str) -> bool:
    """Tell whether a path is absolute and free of `..` and of control characters."""
    return value.startswith("/") and ".." not in value.split("/") and not _CONTROL.search(value)


def small_map(field: str, value: Mapping[str, str]) -> Mapping[str, str]:
    """Check the size of a map: keys and values together."""
    size = sum(len(key.encode()) + len(one.encode()) for key, one in value.items())
    if size > LARGEST_MAP:
        raise InvalidRequest(field, f"{len(value)} entries", f"at most {LARGEST_MAP} bytes in all, these are {size}")
    return value


def count(field: str, value: int) -> int:
    """Check a number of entries: 0 means "no limit"."""
    if value < 0:
        raise InvalidRequest(field, value, "0 or more")
    return value


def capacity_range(required: int, limit: int) -> CapacityRange:
    """Check a capacity range that was given; whether a volume can have such a size is the controller's to say.

    Raises CapacityOutOfRange when no size can satisfy both bounds.
    """
    for name, size in (("required_bytes", required), ("limit_bytes", limit)):
        if size < 0:
            raise InvalidRequest(f"capacity_range.{name}", size, "0 or more")
    if not required and not limit:
        raise InvalidRequest("capacity_range", "0", "required_bytes or limit_bytes above 0, or no range at all")
    if limit and required > limit:
        raise CapacityOutOfRange("capacity_range.required_bytes", required, f"at most limit_bytes, {limit}")
    return CapacityRange(required, limit)
