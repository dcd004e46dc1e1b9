"""RouterOS version numbers, as far as the simulator tells versions apart: by major and minor."""

import re

_VERSION = re.compile(r"(\d+)\.(\d+)(?:\.\d+)?(?:(?:rc|beta)\d+)?")
Minor = tuple[int, int]
OLDEST: Minor = (7, 16)
NEWEST: Minor = (7, 26)
"""Known by a dump of their commands up to 7.24; later ones are taken as 7.24, no difference of theirs is known."""


def minor(version: str) -> Minor:
    """`7.24.4` is (7, 24). Raises ValueError on what is no version."""
    found = _VERSION.fullmatch(version)
    if found is None:
        raise ValueError(f"RouterOS version {version!r}: expected something like 7.24.4")
    return int(found[1]), int(found[2])
