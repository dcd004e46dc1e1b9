"""The appliance as the controller sees it: one method per line, under guard, window and the rule of unknown outcomes.

A method sends its line once. When the outcome is unknown the slot is *unsettled*: until the line's window and the
longest statement have surely passed, nothing more is sent for it (law 4). Which lines to send, and why, is decided in
`rdscsi.controller`; how they read is in `lines` and `surveys`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import trio

from rdscsi import names
from rdscsi.errors import DeviceUnavailable, Fenced, NotFinal, OutOfSpace, Refused, SettingsInvalid, UnexpectedAnswer
from rdscsi.names import Backing
from rdscsi.routeros import lines, program, surveys
from rdscsi.routeros.adopting import Adoption
from rdscsi.routeros.answers import Answer, DiskItem, parse_answer
from rdscsi.routeros.console import Reply, RunTimeRefused
from rdscsi.routeros.lines import Guard, NewCopy, NewVolume, Place
from rdscsi.routeros.preflight import Look, pool_troubles, read_look, refused_policy, version_mistakes
from rdscsi.routeros.program import Program
from rdscsi.routeros.uptime import Sighting, Window
from rdscsi.tags import Marker, parse_marker, render_marker

DEFAULT_DIRECTORY = "rdscsi"


@dataclass(frozen=True, slots=True)
class DeviceSettings:
    """One backend. An empty `base_path` means `<the pool's mount point>/rdscsi`. Times in seconds.

    `line_ttl` is how long a line may still act after it was rendered; `longest_statement` how long its last statement
    may take after its check; `flush_delay` how long a change may stay in the appliance's memory (law 8).
    """

    backend: str
    cluster_id: str
    pool_slot: str
    base_path: str = ""
    command_deadline: float = 30.0
    line_ttl: float = 30.0
    longest_statement: float = 10.0
    flush_delay: float = 10.0


class Executes(Protocol):
    """What sends a line and tells what it printed; `Console.execute` says how."""

    async def execute(self, body: str, *, deadline: float) -> Reply: ...


class OutOfWindow(NotFinal):
    """A check in the line refused the window: the appliance rebooted, or the line was late. Nothing after it ran."""


class Changed(NotFinal):
    """The object's tag is not the one that the line was made for. The next look tells what it is."""


class Device:
    """One appliance. Not safe for two calls about the same slot at once: the operations runner sees to that.

    `on_reboot` is called when an answer shows that the uptime fell, `on_fenced` when a line finds the token gone; both
    before the answer is used. `may_act` is asked directly before each line about a volume is rendered, after all
    waiting, and raises when nothing may be done or told now (law 13). Whoever keeps order sets them.
    """

    def __init__(self, *, console: Executes, settings: DeviceSettings, program: Program = program) -> None:
        self._console = console
        self._program = program
        self.settings = settings
        self.on_reboot: Callable[[], None] = lambda: None
        self.on_fenced: Callable[[], None] = lambda: None
        self.may_act: Callable[[], None] = lambda: None
        self._sighting: Sighting | None = None
        self._place: Place | None = None
        self._marker: Marker | None = None
        self._unsettled: dict[str, int] = {}
        self._all_unsettled_until = 0
        self.fenced = False

    @property
    def marker_slot(self) -> str:
        """The slot of this cluster's marker on this backend."""
        return names.marker_slot(self.settings.cluster_id, self.settings.backend)

    @property
    def slot_prefix(self) -> str:
        """What the slots of this cluster's volumes start with."""
        return f"{names.KIND_VOLUME}{names.cluster_key(self.settings.cluster_id)}-"

    @property
    def place(self) -> Place:
        """Where volumes live. Raises DeviceUnavailable before the first successful look."""
        if self._place is None:
            raise DeviceUnavailable("the appliance has not been reached yet")
        return self._place

    @property
    def marker(self) -> Marker | None:
        """The marker under which this controller acts, or None while it holds no token."""
        return self._marker

    def file_path(self, backing: Backing) -> str:
        """Return where a create keeps its file."""
        return backing.file_path(self.place.base_path, btrfs=self.place.btrfs)

    # --- looking

    async def look(self) -> Look:
        """Look at version, pool and marker.

        Raises SettingsInvalid when this appliance can never serve, DeviceUnavailable when it cannot serve now.
        """
        answer = await self._run(self._program.look(self.settings.pool_slot, self.marker_slot))
        seen = read_look(answer, self.marker_slot)
        if mistakes := version_mistakes(seen):
            raise SettingsInvalid(mistakes)
        base_path = self.settings.base_path or (f"{seen.pool.mount_point}/{DEFAULT_DIRECTORY}" if seen.pool else "")
        if troubles := pool_troubles(seen, self.settings.pool_slot, base_path):
            raise DeviceUnavailable("; ".join(troubles))
        assert seen.pool is not None
        self._place = Place(
            pool_slot=seen.pool.slot,
            fs_uuid=seen.pool.fs_uuid,
            fs_label=seen.pool.fs_label,
            btrfs=seen.pool.btrfs,
            base_path=base_path,
            directory=base_path.removeprefix(seen.pool.mount_point).strip("/"),
        )
        return seen

    async def inventory(self) -> Answer:
        """Print everything of this cluster, under guard."""
        guard = self._guard(self._window())
        return await self._run(self._program.inventory(guard, self.slot_prefix), guard)

    async def first_inventory(self) -> Answer:
        """The same without a token: what a first start looks at before it makes the marker."""
        return await self._run(self._program.unguarded_inventory(self.place, self.slot_prefix))

    async def observe(self, slot: str, backing: Backing | None = None) -> Answer:
        """Print one volume's item and backing object.

        What it shows may be believed at once, what it lacks only when settled.
        """
        self.may_act()
        guard = self._guard(self._window())
        path = self.file_path(backing) if backing is not None else ""
        return await self._run(self._program.observe(guard, slot, backing, path), guard)

    async def observe_copy(self, backing: Backing) -> Answer:
        """Print one snapshot's subvolume. What the answer lacks may be believed when settled."""
        self.may_act()
        guard = self._guard(self._window())
        return await self._run(self._program.observe_copy(guard, backing), guard)

    # --- the token

    async def make_marker(self, marker: Marker, *, first: bool) -> None:
        """Make the marker where there is none. Raises Changed when there is one already.

        `first`: nothing of this cluster is on the appliance, so that no line of an earlier controller can be out.
        """
        path = f"{self.place.base_path}/{self.marker_slot}.img"
        window = self._window()
        line = self._program.first_marker(self.place, window, self.marker_slot, path, render_marker(marker))
        await self._write_marker(line, marker)
        if not first:
            self._unsettle_statements()

    async def move_token(self, old: Marker, new: Marker) -> None:
        """Take the token. Raises Changed when the marker is not the one that was seen."""
        window = self._window()
        line = self._program.move_token(self.place, window, self.marker_slot, render_marker(old), render_marker(new))
        await self._write_marker(line, new)
        self._unsettle_statements()

    async def _write_marker(self, line: str, marker: Marker) -> None:
        self._marker = None
        answer = await self._run(line)
        item = answer.disk(self.marker_slot)
        if item is None or parse_marker(item.comment) != marker:
            raise UnexpectedAnswer(f"the marker reads {item.comment if item else None!r} after it was written")
        self._marker = marker
        self.fenced = False

    def _unsettle_statements(self) -> None:
        """Nothing is sent under a token before it is sure to hold.

        Lines of the former holder fail their next check, but a statement whose check has passed may still run. And a
        power loss would bring the former token back, while a controller may not know yet that it had lost it.
        """
        assert self._sighting is not None
        patience = max(self.settings.longest_statement, self.settings.flush_delay)
        settled = self._sighting.at_most(trio.current_time()) + math.ceil(patience) + 1
        self._all_unsettled_until = max(self._all_unsettled_until, settled)

    # --- volumes

    async def create(self, volume: NewVolume) -> Answer:
        """Send the create line; the answer shows the slot's item and the pool."""
        return await self._mutate(volume.slot, lambda guard: self._program.create(guard, volume))

    async def copy(self, new: NewCopy) -> Answer:
        """Send the copy line; the answer shows the copy if it is there, the item in its slot, if any, and the pool.

        Nothing may happen to the origin meanwhile: its slot is waited for, and becomes unsettled with the copy's.
        """
        origin = new.origin.backing.slot
        return await self._mutate(new.backing.slot, lambda guard: self._program.copy(guard, new), origin)

    async def publish(self, slot: str, *, old_tag: str, new_tag: str, subnqn: str, trsvcid: int) -> Answer:
        """Send the publish line; the answer shows the slot's item."""
        return await self._mutate(
            slot, lambda guard: self._program.publish(guard, slot, old_tag, new_tag, subnqn, trsvcid)
        )

    async def unpublish(self, slot: str, *, old_tag: str, new_tag: str) -> Answer:
        """Send the unpublish line; the answer shows the slot's item."""
        return await self._mutate(slot, lambda guard: self._program.unpublish(guard, slot, old_tag, new_tag))

    async def expand(self, slot: str, *, old_tag: str, new_tag: str, size_bytes: int, need_free_bytes: int) -> Answer:
        """Send the expand line; the answer shows the slot's item and the pool."""
        return await self._mutate(
            slot, lambda guard: self._program.expand(guard, slot, old_tag, new_tag, size_bytes, need_free_bytes)
        )

    async def remove(self, backing: Backing, *, old_tag: str, new_tag: str) -> Answer:
        """Send the removal line; the answer shows what is left of the slot and of this create's backing object.

        Without tags (empty) no item is ours, and only the backing object goes.
        """
        path = self.file_path(backing)
        return await self._mutate(
            backing.slot, lambda guard: self._program.remove(guard, backing.slot, backing, path, old_tag, new_tag)
        )

    async def add_again(self, backing: Backing, *, tag: str) -> Answer:
        """Send the line that adds a lost item to a file that is still there; the answer shows the slot's item."""
        path = self.file_path(backing)
        return await self._mutate(
            backing.slot, lambda guard: self._program.add_again(guard, backing.slot, backing, path, tag)
        )

    async def adopt(self, wanted: Adoption) -> Answer:
        """Send the line that makes a file disk ours; the answer shows both slots, the file and the pool."""
        return await self._mutate(
            wanted.backing.slot, lambda guard: self._program.adopt(guard, wanted), wanted.from_slot
        )

    async def disclaim(self, wanted: Adoption) -> Answer:
        """Send the line that gives up a file disk which did not get our slot; the answer shows what `adopt` does."""
        return await self._mutate(
            wanted.backing.slot, lambda guard: self._program.disclaim(guard, wanted), wanted.from_slot
        )

    async def peek(self, slot: str) -> DiskItem | None:
        """Look at whatever is in a slot, without a token: for a person's eyes, nothing is decided by it."""
        return (await self._run(self._program.look(self.settings.pool_slot, slot))).disk(slot)

    def settled_in(self, slot: str) -> float:
        """Seconds until no line of the past can still act on this slot; 0 when none can."""
        return max(self._settled_in(self._unsettled.get(slot, 0)), self._settled_in(self._all_unsettled_until))

    @property
    def former_lines_ended(self) -> bool:
        """Nothing that former holders of the token sent, or this controller in an earlier life, can still act."""
        return self._settled_in(self._all_unsettled_until) == 0

    async def wait_settled(self, slot: str) -> None:
        """Wait until no line of the past can still act on this slot. Bounded by the caller."""
        while (seconds := self.settled_in(slot)) > 0:  # noqa: ASYNC110 - time passes by itself, and a later line moves the bound
            await trio.sleep(seconds)

    def unsettle_all(self) -> None:
        """Assume that a line is out for every object: a start without its own journal (law 4)."""
        assert self._sighting is not None
        patience = self.settings.line_ttl + self.settings.longest_statement
        self._all_unsettled_until = self._sighting.at_most(trio.current_time()) + math.ceil(patience) + 1

    def _settled_in(self, bound: int) -> float:
        if self._sighting is None or not bound:
            return 0.0
        return float(max(0, bound - self._sighting.at_least(trio.current_time())))

    async def _mutate(self, slot: str, render: Callable[[Guard], str], *also: str) -> Answer:
        slots = (slot, *also)
        for one in slots:
            await self.wait_settled(one)
        self.may_act()
        guard = self._guard(self._window())
        line = render(guard)
        # Before it is sent, so that a cancellation leaves the slot unsettled too. Windows count whole seconds: a check
        # may pass until one second after their end.
        until = guard.window.not_after + math.ceil(self.settings.longest_statement) + 1
        self._unsettled.update(dict.fromkeys(slots, until))
        try:
            answer = await self._run(line, guard)
        except (Refused, DeviceUnavailable, Fenced, OutOfWindow, Changed):
            self._settled(slots)
            raise
        self._settled(slots)
        return answer

    def _settled(self, slots: tuple[str, ...]) -> None:
        """The line for these slots has ended. A reboot that its answer showed has settled everything already."""
        for slot in slots:
            self._unsettled.pop(slot, None)

    def _guard(self, window: Window) -> Guard:
        if self._marker is None:
            raise (
                Fenced("another controller holds the token")
                if self.fenced
                else DeviceUnavailable("this controller holds no token yet")
            )
        return Guard(self.marker_slot, render_marker(self._marker), self.place, window)

    def _window(self) -> Window:
        if self._sighting is None:
            raise DeviceUnavailable("the appliance has not been reached yet")
        return self._sighting.window(trio.current_time(), self.settings.line_ttl)

    async def _run(self, line: str, guard: Guard | None = None) -> Answer:
        try:
            reply = await self._console.execute(line, deadline=self.settings.command_deadline)
        except RunTimeRefused as error:
            self._saw(error.reply)
            raise self._refusal(error, guard) from error
        return self._saw(reply)

    def _saw(self, reply: Reply) -> Answer:
        answer = parse_answer(reply.lines)
        if answer.uptime is not None:
            self._sighted(Sighting(answer.uptime, reply.sent_at, reply.received_at))
        return answer

    def _sighted(self, seen: Sighting) -> None:
        before = self._sighting
        if before is not None and not seen.newer_than(before):
            return
        self._sighting = seen
        if before is not None and seen.rebooted_since(before):
            # No line survives a reboot.
            self._unsettled.clear()
            self._all_unsettled_until = 0
            self.on_reboot()

    def _refusal(self, error: RunTimeRefused, guard: Guard | None) -> Exception:
        reason = error.text
        if reason.startswith(lines.FENCED):
            self._lost_token(guard)
            return Fenced("another controller took the token, or the marker was changed by hand")
        if reason.startswith(lines.OUT_OF_WINDOW):
            return OutOfWindow("the line came outside its window of uptime; nothing after the check ran")
        if reason.startswith(lines.POOL_GONE):
            return DeviceUnavailable(f"the pool {self.settings.pool_slot!r} is not mounted, or is another one")
        if reason.startswith((lines.CHANGED, surveys.MARKER_CHANGED)):
            return Changed("the object changed under the line")
        if reason.startswith(lines.NO_SPACE):
            return OutOfSpace(f"the pool {self.settings.pool_slot!r} has not enough free space")
        return Refused(refused_policy(reason) or reason)

    def step_down(self) -> None:
        """Lay the token down: nothing more is sent under it. What was sent goes on, and fails once another has it."""
        self.fenced = True
        self._marker = None

    def _lost_token(self, guard: Guard | None) -> None:
        """The token that a line was made with does not hold; it may be a former one of ours, which says nothing."""
        if self._marker is None or guard is None or guard.marker != render_marker(self._marker):
            return
        self.step_down()
        self.on_fenced()
