"""Renders docs/settings.md from the definitions; a test keeps the file fresh.

Run `python -m rdscsi.config.reference > docs/settings.md` after a change of `rdscsi.config.settings`.
"""

import sys
from collections.abc import Iterator

from rdscsi.config.definition import Definition, definitions
from rdscsi.config.settings import SECTIONS

_OPENING = """\
# Settings

<!-- Rendered from rdscsi/config/settings.py by `python -m rdscsi.config.reference`; do not edit. -->

A setting is looked for in this order: flag, environment variable, the TOML file named by `--config` (or
`RDSCSI_CONFIG`), default. All mistakes are listed at once and end the process with status 2. A key in the file that
is no setting is a mistake; an unknown environment variable is not. Controller and node may share one file.

```toml
# /etc/rdscsi/settings.toml
cluster-id = "8c7d6a0e-33a4-4b7e-a1a5-4a0c7b3f9d52"
rds-address = "192.0.2.10"
rds-key-file = "/etc/rdscsi/id_ed25519"
rds-host-key-file = "/etc/rdscsi/host_key.pub"
pool-slot = "pool1"
portals = ["192.0.2.10", "198.51.100.10:4420"]
```

## Several appliances

A table `[backends.NAME]` for each appliance holds the controller's settings that are its own, and counts there before
flags and environment; what it does not name is taken from elsewhere, as without tables. A StorageClass chooses by its
parameter `backend`; one that names none means the backend that the setting `backend` names, which must have a table.
A name is part of each volume's id: never change it, never give it to another appliance. Each backend needs an
appliance of its own, and has a journal, connections and limits of its own: of the default one it is `journal`, of the
others `<stem>.<NAME>` beside it.

```toml
backend = "flash"

[backends.flash]
rds-address = "192.0.2.10"
portals = ["198.51.100.10"]
pool-slot = "nvme1"

[backends.archive]
rds-address = "192.0.2.20"
rds-host-key-file = "/etc/rdscsi/archive_host_key.pub"
portals = ["198.51.100.20"]
pool-slot = "raid1"
```

When one appliance is away, calls for its volumes wait and all others go on. ListVolumes and ListSnapshots are the
exception: a list without the volumes of one appliance would say that they are gone, so it is refused. A backend whose
settings contradict its appliance is not served until they are mended and the controller is started anew; with one
backend alone that ends the process. An id of a backend that has no table is refused, never taken for a volume that is
gone.
"""


def render() -> str:
    """The whole page."""
    return _OPENING + "".join(f"\n## {title}\n{''.join(_section(section))}" for title, section in SECTIONS.items())


def _section(section: type) -> Iterator[str]:
    for definition in definitions(section):
        yield f"\n### {definition.name}\n\n{definition.help}\n\n{_details(definition)}\n"


def _details(definition: Definition) -> str:
    variables = [definition.environment, definition.environment_default]
    rows = [
        f"- Flag `{definition.flag} {definition.kind.metavar}`, environment "
        + ", then ".join(f"`{one}`" for one in variables if one),
        f"- Expected: {definition.kind.expected}",
        f"- Default: {_default(definition)}",
    ]
    return "\n".join(rows)


def _default(definition: Definition) -> str:
    if definition.default is None:
        return "none, required"
    if isinstance(definition.default, str):
        return f"`{definition.default}`" if definition.default else "empty"
    return definition.default.shown


if __name__ == "__main__":
    sys.stdout.write(render())
