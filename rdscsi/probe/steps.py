"""The probe list: each console line that is sent, what it is to settle, and whether it changes anything. Pure.

All objects made are named after a random run name under one prefix; `leftovers` and `cleaning` find and remove what has
the prefix and the probe's comment, so that a later run clears up after one that died.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from rdscsi.routeros.quoting import number, quote
from rdscsi.routeros.surveys import look

PREFIX = "rdscsi-probe-"
COMMENT = "made by rdscsi probe"
END = "rdscsi-probe: end of the list"
_RUN = re.compile(r"[a-z0-9]{4,8}")
_JSON = "options=json.no-string-conversion"
Kind = Literal["reads", "writes", "channels"]


@dataclass(frozen=True, slots=True)
class Step:
    """One line. `channels`: it is sent many times at once, which may make sessions hang for a while."""

    name: str
    line: str
    settles: str
    kind: Kind = "reads"
    deadline: float = 60.0
    times: int = 1


@dataclass(frozen=True, slots=True)
class Place:
    """Where the probe may work: the pool's slot, its mount point, its kind, and the name of this run.

    Raises ValueError for a run name that could be taken for something else.
    """

    pool: str
    mount_point: str
    btrfs_label: str
    run: str
    size: int = 1 << 30

    def __post_init__(self) -> None:
        if not _RUN.fullmatch(self.run):
            raise ValueError(f"a run is named by 4 to 8 letters and digits, not {self.run!r}")

    @property
    def name(self) -> str:
        """The prefix with the run's name; what everything of this run begins with."""
        return PREFIX + self.run

    @property
    def directory(self) -> str:
        """Where the run's files are."""
        return f"{self.mount_point}/{self.name}"

    def slot(self, number_: int) -> str:
        return f"{self.name}-{number_}"


def reading(pool: str) -> Iterator[Step]:
    """Lines that change nothing."""
    find_pool = f"[/disk/find where slot={quote(pool)}]"
    yield Step("version", ":put [/system/resource/get version]", "which RouterOS answers")
    yield Step("board", ":put [/system/resource/get board-name]", "which machine answers")
    yield Step("uptime", ":put [/system/resource/get uptime]", "the form of a time")
    yield Step("resource", "/system/resource/print", "the print of a menu without items")
    yield Step("packages", ":put [:serialize to=json value=[/system/package/print detail as-value] " + _JSON + "]",
               "whether rose-storage is installed")  # fmt: skip
    yield Step("pool", f":put [:serialize to=json value=[/disk/get {find_pool}] {_JSON}]", "what a pool shows")
    yield Step("disks", f":put [:serialize to=json value=[/disk/print as-value] {_JSON}]", "columns of as-value")
    yield Step("disks-detail", f":put [:serialize to=json value=[/disk/print detail as-value] {_JSON}]",
               "properties of items")  # fmt: skip
    yield Step("no-disk", f':put [:serialize to=json value=[/disk/print as-value where slot="nope"] {_JSON}]',
               "what no match is in JSON")  # fmt: skip
    yield Step("no-disk-detail", '/disk/print detail where slot="nope"', "which flags the header of nothing names")
    yield Step("table", "/disk/print", "how a table fits into 80 columns")
    yield Step("detail", f"/disk/print detail where slot={quote(pool)}", "how detail wraps")
    yield Step("file-disks", ":foreach i in=[/disk/find where type=file] do={:put [:serialize to=json value=[/disk/get "
               f"$i] {_JSON}]}}", "what file disks show")  # fmt: skip
    yield Step("file-count", ":put [/file/print count-only]", "how long listing files takes", deadline=120)
    yield Step("btrfs", f":put [:serialize to=json value=[/disk/btrfs/filesystem/print detail as-value] {_JSON}]",
               "what a Btrfs file system shows")  # fmt: skip
    yield Step("subvolumes", ":put [:len [/disk/btrfs/subvolume/find]]", "whether the menu is there")
    yield Step("ssh", "/ip/ssh/print", "how the SSH server is set")
    yield Step("sessions", ":put [/ip/service/get [find where name=ssh] max-sessions]", "how many may log in")
    yield from _console()


def _console() -> Iterator[Step]:
    yield Step("put", ":put pong", "the frame of an answer")
    yield Step("unknown-command", "/disk/foo", "text, column and exit status of an unknown command")
    yield Step("unknown-menu", "/nonsense/command", "text and column of an unknown menu")
    yield Step("unknown-argument", "/disk/print bogus=1", "text and column of an unknown argument")
    yield Step("unknown-second-argument", "/disk/print detail bogus=1", "its column behind another argument")
    yield Step("name-after-output", ":put first; /disk/foo", "whether what stands before a bad name runs")
    yield Step("error", ':put first; :error "x"; :put never', "text and exit status of a run-time error")
    yield Step("no-item", "/disk/get nope slot", "text of a name that is not there")
    yield Step("caught", ':onerror e in={/disk/get nope slot} do={:put ("E" . $e)}', "what :onerror catches")
    yield Step("division", ":put (1 / 0)", "text of a division by zero")
    yield Step("condition", ":if (5) do={:put x}", "text of a condition that is none")
    yield Step("bad-regex", ':put ("a" ~ "(")', "text of a bad regular expression")
    yield Step("bad-json", ':put [:deserialize from=json value="{"]', "text of bad JSON")
    for length in (1_000, 4_000, 16_000, 60_000):
        yield Step(f"line-of-{length}", f':put [:len "{"x" * (length - 14)}"]', "how long a line may be")
    yield Step("utf-8", ':put "\u00e4"', "what bytes beyond ASCII do")
    yield Step("long-output", ':put "' + "y" * 2000 + '"', "whether :put wraps")


def looks(pool: str, user: str) -> Iterator[Step]:
    """What the driver looks at before it changes anything, and what the user's group grants."""
    yield Step("look", look(pool, ""), "what the driver would miss")
    find = f"[/user/group/find where name=[/user/get [/user/find where name={quote(user)}] group]]"
    yield Step("policies", f":put [:tostr [/user/group/get {find} policy]]", "what the user may do")


def writing(place: Place) -> Iterator[Step]:
    """Lines that make, change and remove objects of this run."""
    for step in _writing(place):
        yield Step(step.name, step.line, step.settles, "writes", step.deadline)


def _writing(place: Place) -> Iterator[Step]:
    nobody = quote(f"{place.name}-nobody")
    yield Step("empty-find", f"/disk/set [/disk/find where slot={nobody}] comment=x", "what a set of nothing says")
    yield Step("empty-find-by-id", '/disk/set [find .id="*FFFFFFF"] comment=x', "the same, found by number")
    yield Step("make-directory", _make_directory(place), "how directories are made")
    yield Step("make-directory-again", _make_directory(place), "text of a directory that is there")
    free = f":put [/disk/get [/disk/find where slot={quote(place.pool)}] free]"
    yield Step("free-before", free, "whether files are sparse")
    yield Step("add", f":put [{_add(place, 1)}]", "what add answers", deadline=180)
    yield Step("free-after", free, "whether files are sparse")
    yield Step("added", _get(place, 1), "what a new file disk shows")
    yield Step("added-detail", f"/disk/print detail where slot={quote(place.slot(1))}", "its print")
    yield Step("duplicate-slot", _add(place, 1, path="other.img"), "text of a slot that is taken")
    yield Step("duplicate-file", _add(place, 2, path="1.img"), "whether two items may share a file")
    yield Step("missing-directory", _add(place, 3, path="nodir/3.img"), "text of a missing directory")
    yield Step("no-space", _add(place, 4, size=900 << 40), "text of a full pool", deadline=180)
    yield Step("slot-of-33", f"/disk/add type=file slot={quote((place.name + 'x' * 33)[:33])} "
               f"file-path={quote(place.directory + '/33.img')} file-size=1048576 comment={quote(COMMENT)}",
               "how long a slot may be")  # fmt: skip
    yield Step("default-mount", f"/disk/add type=file slot={quote(place.slot(5))} file-path="
               f"{quote(place.directory + '/5.img')} file-size=1M comment={quote(COMMENT)}; {_get(place, 5)}",
               "defaults of a file disk, and units")  # fmt: skip
    yield from _changing(place)
    yield from _removing(place)


def _changing(place: Place) -> Iterator[Step]:
    first = f"[/disk/find where slot={quote(place.slot(1))}]"
    for length in (255, 1_000, 4_000):
        yield Step(f"comment-of-{length}", f"/disk/set {first} comment={_long(COMMENT, length)}; "
                   f":put [:len [/disk/get {first} comment]]", "how long a comment may be")  # fmt: skip
    yield Step("comment-back", f"/disk/set {first} comment={quote(COMMENT)}", "what set answers")
    yield Step("export", f"/disk/set {first} nvme-tcp-export=yes; {_get(place, 1)}", "the default NQN and port")
    yield Step("nqn-while-exported", f"/disk/set {first} nvme-tcp-server-nqn={quote('nqn.2026-11.' + place.name)}; "
               f"{_get(place, 1)}", "whether the NQN moves under an export")  # fmt: skip
    yield Step("nqn-twice", f"/disk/set [/disk/find where slot={quote(place.slot(5))}] nvme-tcp-server-nqn="
               f"{quote('nqn.2026-11.' + place.name)} nvme-tcp-export=yes", "text of an NQN that is taken")  # fmt: skip
    yield Step("allowed-host", f"/disk/set {first} nvme-tcp-server-allow-host-name="
               f"{quote('nqn.2014-08.org.nvmexpress:uuid:00000000-0000-0000-0000-000000000001')}; {_get(place, 1)}",
               "the form of an allowed host")  # fmt: skip
    yield Step("grow", f"/disk/set {first} file-size={number(place.size * 2)}; {_get(place, 1)}",
               "whether a disk grows while exported", deadline=180)  # fmt: skip
    yield Step("shrink", f"/disk/set {first} file-size={number(place.size)}; {_get(place, 1)}", "whether it shrinks")
    yield Step("disable", f"/disk/disable {first}; {_get(place, 1)}", "what a disabled disk shows")
    yield Step("enable", f"/disk/enable {first}", "that it comes back")


def _removing(place: Place) -> Iterator[Step]:
    first = f"[/disk/find where slot={quote(place.slot(1))}]"
    file = f"[/file/find where name={quote(place.directory + '/1.img')}]"
    yield Step("remove-directory-full", f"/file/remove [/file/find where name={quote(place.directory)}]",
               "whether a directory with content goes")  # fmt: skip
    yield Step("remove-file-attached", f"/file/remove {file}; :put [:len {file}]", "whether a used file goes")
    yield Step("after-file", _get(place, 1), "what a disk shows whose file is gone")
    yield Step("remove-exported", f"/disk/remove {first}; :put [:len {first}]", "whether a live export goes")
    yield Step("remove-unknown", "/disk/remove nope-" + place.run, "text of a name that is not there")
    kept = f"[/file/find where name={quote(place.directory + '/5.img')}]"
    yield Step("file-kept", f"/disk/remove [/disk/find where slot={quote(place.slot(5))}]; :put [:len {kept}]",
               "whether the file outlives the disk")  # fmt: skip
    yield Step("attach", f"{_add(place, 6, path='5.img')}; {_get(place, 6)}", "what adding onto a file does")


def channels() -> Iterator[Step]:
    """The same line on many channels of one connection at once."""
    yield Step("four-channels", ":delay 1s; :put done", "whether four channels at once work", "channels", 30, 4)
    yield Step("twenty-five-channels", ":delay 1s; :put done", "how many channels hang", "channels", 30, 25)


def _make_directory(place: Place) -> str:
    if place.btrfs_label:
        return f"/disk/btrfs/subvolume/add fs={quote(place.btrfs_label)} name={quote(place.name)}"
    return f"/file/add name={quote(place.directory)} type=directory"


def _add(place: Place, number_: int, *, path: str = "", size: int = 0) -> str:
    file = path or f"{number_}.img"
    return (
        f"/disk/add type=file slot={quote(place.slot(number_))} file-path={quote(f'{place.directory}/{file}')} "
        f"file-size={number(size or place.size)} mount-filesystem=no smb-sharing=no nfs-sharing=no media-sharing=no "
        f"iscsi-export=no nvme-tcp-export=no comment={quote(COMMENT)}"
    )


def _get(place: Place, number_: int) -> str:
    find = f"/disk/find where slot={quote(place.slot(number_))}"
    return f":foreach zi in=[{find}] do={{:put [:serialize to=json value=[/disk/get $zi] {_JSON}]}}"


def _long(text: str, length: int) -> str:
    """A comment that begins as the probe's does, so that it can be found again. Longer than `quote` takes."""
    return f'"{text}{"z" * (length - len(text))}"'


# -- clearing up -------------------------------------------------------------------------------------------------------


def leftovers(mount_point: str, *, btrfs: bool) -> str:
    """The line that lists what runs of the probe have left: `D <id> <slot>`, `S <id> <name>`, `F <id> <name>`."""
    disk, subvolume, file = "/disk/get $zi", "/disk/btrfs/subvolume/get $zi", "/file/get $zi"
    made = _begins(f"[:tostr [{disk} comment]]", COMMENT)
    listed = [
        _listed("D", "/disk/find where type=file", f"{disk} slot", f"{_begins(f'[{disk} slot]', PREFIX)} and {made}")
    ]
    if btrfs:
        listed.append(
            _listed("S", "/disk/btrfs/subvolume/find", f"{subvolume} name", _begins(f"[{subvolume} name]", PREFIX))
        )
    listed.append(_listed("F", "/file/find", f"{file} name", _begins(f"[{file} name]", f"{mount_point}/{PREFIX}")))
    return "; ".join([*listed, f':put "{END}"'])


def _begins(text: str, start: str) -> str:
    return f"([:pick {text} 0 {len(start)}]={quote(start)})"


def _listed(letter: str, find: str, get: str, condition: str) -> str:
    shown = f':put ("{letter} " . [:tostr $zi] . " " . [{get}])'
    return f":foreach zi in=[{find}] do={{:if ({condition}) do={{{shown}}}}}"


@dataclass(frozen=True, slots=True)
class Leftover:
    """One thing that a run made. `kind`: D a disk item, S a subvolume, F a file or directory."""

    kind: str
    name: str


def parse_leftovers(output: str) -> list[Leftover]:
    """What `leftovers` printed, in the order in which it can be removed: disks, deep files, shallow ones, subvolumes.

    Lines that do not name something under the prefix are left out, whatever they say. Raises ValueError when the line
    did not come to its end, so that nothing is known.
    """
    lines = [line.strip() for line in output.splitlines()]
    if END not in lines:
        raise ValueError(f"the list of leftovers is not whole: {output.strip()[-200:]!r}")
    found = []
    for line in lines:
        kind, _, rest = line.partition(" ")
        name = rest.partition(" ")[2]
        if _is_ours(kind, name):
            found.append(Leftover(kind, name))
    order = {"D": 0, "F": 1, "S": 2}
    return sorted(found, key=lambda item: (order[item.kind], -item.name.count("/"), item.name))


_OURS = {
    "D": re.compile(rf"{PREFIX}[a-z0-9]{{4,8}}(-\d+|x+)"),
    "S": re.compile(rf"{PREFIX}[a-z0-9]{{4,8}}"),
    "F": re.compile(rf"[^/]+/{PREFIX}[a-z0-9]{{4,8}}(/(\d+|other)\.img)?"),
}
"""Exactly the names that runs give; files have no comment that could tell whose they are."""


def _is_ours(kind: str, name: str) -> bool:
    return kind in _OURS and _OURS[kind].fullmatch(name) is not None


def cleaning(item: Leftover) -> str:
    """The line that removes one leftover, by its exact name."""
    name = quote(item.name)
    if item.kind == "D":
        find = f'/disk/find where slot={name} and type="file"'
        return f"/disk/set [{find}] nvme-tcp-export=no; /disk/remove [{find}]"
    if item.kind == "S":
        return f"/disk/btrfs/subvolume/remove [/disk/btrfs/subvolume/find where name={name}]"
    return f"/file/remove [/file/find where name={name}]"
