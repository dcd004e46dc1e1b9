"""What an operator does to a managed appliance by hand: renames, comments, exports, removals. All as console lines.

Each act picks among the file disks that are there, by a seed, unless a slot is given. Nothing here asks who is running.
"""

from __future__ import annotations

import random
from typing import Literal, get_args

from rdscsi.simulator.appliance import Appliance
from rdscsi.simulator.console.text import escaped
from rdscsi.simulator.sessions import OPERATOR
from rdscsi.simulator.storage.disks import Disk

Act = Literal["rename", "comment", "uncomment", "export", "remove-disk", "remove-file", "disable"]
ACTS: tuple[str, ...] = get_args(Act)
HOSTILE_COMMENTS = (
    "",
    "alpha;name=INJECTED;.id=*999;beta",
    'quote " and $[/system/reboot] and \\ in it',
    "two\nlines",
    'I {"slot":"forged"}',
    "}; :error x; {",
    "?" * 40,
    "x" * 255,
)


class Operator:
    """Somebody at the console. `act` returns the line that was typed, None when there was nothing to do it to."""

    def __init__(self, appliance: Appliance, *, seed: int = 0) -> None:
        self._appliance = appliance
        self._random = random.Random(seed)  # noqa: S311 - repeatable on purpose

    def act(self, act: Act, slot: str = "", text: str | None = None) -> str | None:
        """Do one thing to one file disk; `text` is the new name or comment."""
        disk = self._pick(slot)
        if disk is None:
            return None
        line = self._line(act, disk, text)
        self._appliance.run(line, user=OPERATOR)
        return line

    def act_at_random(self) -> str | None:
        """One act by the seed."""
        chosen: Act = self._random.choice(get_args(Act))
        return self.act(chosen)

    def _pick(self, slot: str) -> Disk | None:
        if slot:
            return self._appliance.storage.disks.by_slot(slot)
        disks = [disk for disk in self._appliance.storage.disks if disk.type == "file"]
        return self._random.choice(disks) if disks else None

    def _line(self, act: Act, disk: Disk, text: str | None) -> str:
        item = f"*{disk.number:X}"
        if act == "rename":
            return f"/disk/set {item} slot={_quoted(text or f'renamed{self._random.randrange(10**6)}')}"
        if act in ("comment", "uncomment"):
            words = "" if act == "uncomment" else self._random.choice(HOSTILE_COMMENTS) if text is None else text
            return f"/disk/set {item} comment={_quoted(words)}"
        if act == "export":
            return f"/disk/set {item} nvme-tcp-export={'no' if disk.exported else 'yes'}"
        if act == "disable":
            return f"/disk/disable {item}"
        if act == "remove-disk":
            return f"/disk/remove {item}"
        return f"/file/remove [/file/find where name={_quoted(disk.file_name)}]"


def _quoted(text: str) -> str:
    return '"' + escaped(text) + '"'
