"""Every line that the driver sends, by name: `lines`, `adopting` and `surveys` together, as `Device` is given them.

A simulation may give another program, whose lines are not text for a console but steps of a model; a contract test
holds the two to the same effects.
"""

from typing import Protocol

from rdscsi.names import Backing
from rdscsi.routeros.adopting import Adoption, adopt, disclaim
from rdscsi.routeros.lines import (
    Guard,
    NewCopy,
    NewVolume,
    Place,
    add_again,
    copy,
    create,
    expand,
    observe,
    observe_copy,
    publish,
    remove,
    unpublish,
)
from rdscsi.routeros.surveys import first_marker, inventory, look, move_token, unguarded_inventory
from rdscsi.routeros.uptime import Window

__all__ = [
    "Program",
    "add_again",
    "adopt",
    "copy",
    "create",
    "disclaim",
    "expand",
    "first_marker",
    "inventory",
    "look",
    "move_token",
    "observe",
    "observe_copy",
    "publish",
    "remove",
    "unguarded_inventory",
    "unpublish",
]


class Program(Protocol):
    """What can be sent; each method is documented at the function of its name in `lines`, `adopting` or `surveys`."""

    def look(self, pool_slot: str, marker_slot: str) -> str: ...

    def unguarded_inventory(self, place: Place, slot_prefix: str) -> str: ...

    def inventory(self, guard: Guard, slot_prefix: str) -> str: ...

    def first_marker(self, place: Place, window: Window, marker_slot: str, file_path: str, marker: str) -> str: ...

    def move_token(self, place: Place, window: Window, marker_slot: str, old: str, new: str) -> str: ...

    def observe(self, guard: Guard, slot_name: str, backing: Backing | None, file_path: str) -> str: ...

    def create(self, guard: Guard, volume: NewVolume) -> str: ...

    def observe_copy(self, guard: Guard, backing: Backing) -> str: ...

    def copy(self, guard: Guard, new: NewCopy) -> str: ...

    def publish(self, guard: Guard, slot_name: str, old_tag: str, new_tag: str, subnqn: str, trsvcid: int) -> str: ...

    def unpublish(self, guard: Guard, slot_name: str, old_tag: str, new_tag: str) -> str: ...

    def expand(
        self, guard: Guard, slot_name: str, old_tag: str, new_tag: str, size_bytes: int, need_free_bytes: int
    ) -> str: ...

    def remove(
        self, guard: Guard, slot_name: str, backing: Backing, file_path: str, old_tag: str, new_tag: str
    ) -> str: ...

    def add_again(self, guard: Guard, slot_name: str, backing: Backing, file_path: str, tag: str) -> str: ...

    def adopt(self, guard: Guard, wanted: Adoption) -> str: ...

    def disclaim(self, guard: Guard, wanted: Adoption) -> str: ...
