"""The deliberate bugs themselves: each replaces a few functions of the driver. `bugs` says what catches them."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from rdscsi import names
from rdscsi.controller import (
    backend,
    catalogue,
    creation,
    deletion,
    erasing,
    expansion,
    fencing,
    inventory,
    judgement,
    leadership,
    repairs,
    settling,
)
from rdscsi.journal import changes, intents, operation
from rdscsi.model import Volume
from rdscsi.operations import Operations
from rdscsi.routeros import device
from rdscsi.testing.fast import program


class Patches:
    """Attributes that are replaced, and put back in the end. `Any`: a bug respects no type."""

    def __init__(self) -> None:
        self._before: list[tuple[Any, str, Any]] = []

    def put(self, place: Any, name: str, new: Any) -> Any:
        """Replace an attribute that is there; return what it was."""
        before = place.__dict__[name]
        self._before.append((place, name, before))
        setattr(place, name, new)
        return before

    def undo(self) -> None:
        """Put everything back."""
        for place, name, before in reversed(self._before):
            setattr(place, name, before)
        self._before.clear()


def effect_before_intent(patches: Patches) -> None:
    async def delete(backend_: Any, volume_id: str) -> None:
        record = await backend_.journal.volume(volume_id)
        if record is not None and record.state == "ready":
            await erasing.erase(backend_, record)
        await before(backend_, volume_id)

    before = patches.put(deletion, "delete", delete)


def no_rollback(patches: Patches) -> None:
    async def undo(backend_: Any, open_: Any, error: Any) -> None:
        await open_.fail(error, changes.drop_volume(open_.subject, None))

    patches.put(creation, "undo", undo)


def commit_in_two(patches: Patches) -> None:
    async def finish(self: Any, *last: Any, outcome: str = "done") -> None:
        await self._writer.submit(intents.closing(self.id, (), state="done", at=self._now(), outcome=outcome))
        self.open = False

        def apply(connection: Any) -> None:
            for change in last:
                change.apply(connection)

        await self._writer.submit(apply)

    patches.put(operation.Operation, "finish", finish)


def ownership_ignored(patches: Patches) -> None:
    async def remove(backend_: Any, record: Any, tag: Any) -> Any:
        item = backend_.catalogue.entry(record.slot).item
        comment = item.comment if item is not None else ""
        backing = backend_.backing(record)

        async def line() -> Any:
            return await backend_.device.remove(backing, old_tag=comment, new_tag=comment)

        return await backend_.act(record.slot, line, backing)

    patches.put(erasing, "_remove", remove)


def late_effects_ignored(patches: Patches) -> None:
    async def wait_settled(self: Any, slot: str) -> None:
        return None

    patches.put(device.Device, "wait_settled", wait_settled)
    patches.put(device.Device, "settled_in", lambda self, slot: 0.0)


def epoch_not_moved(patches: Patches) -> None:
    def admit(tag: Any, request: Any, epoch: str, **more: Any) -> Any:
        old = tag.publication.epoch if tag.publication is not None else epoch
        return before(tag, request, old, **more)

    before = patches.put(fencing, "admit", admit)


def epoch_moved_for_who_is_in(patches: Patches) -> None:
    def admit(tag: Any, request: Any, epoch: str, **more: Any) -> Any:
        found = before(tag, request, epoch, **more)
        moved = replace(found.publication, epoch=epoch)
        return fencing.Admission(tag.evolve(publication=moved), fresh=found.fresh)

    before = patches.put(fencing, "admit", admit)


def permit_issued_twice(patches: Patches) -> None:
    def admit(tag: Any, request: Any, epoch: str, **more: Any) -> Any:
        return before(replace(tag, blank=True), request, epoch, **{**more, "filesystem_seen": False})

    before = patches.put(fencing, "admit", admit)


def window_check_dropped(patches: Patches) -> None:
    patches.put(program, "_check_window", lambda at, window: None)


def token_check_dropped(patches: Patches) -> None:
    patches.put(program, "_again", lambda at, guard: program._check_window(at, guard.window))


def flush_delay_not_waited(patches: Patches) -> None:
    patches.put(backend.Backend, "cuts_hold_at", lambda self, slot: 0.0)


def tombstone_not_kept(patches: Patches) -> None:
    def drop_volume(volume_id: str, stone: Any) -> Any:
        return before(volume_id, None)

    before = patches.put(changes, "drop_volume", drop_volume)


def final_while_open(patches: Patches) -> None:
    patches.put(operation, "finality", lambda error, subject: error)


def file_left_by_a_delete(patches: Patches) -> None:
    patches.put(program, "_drop_leftover", lambda at, guard, name, path: iter(()))

    def buried(backend_: Any, record: Any, last: Any, entry: Any) -> Any:
        return before(backend_, record, last, replace(entry, backings=frozenset()))

    before = patches.put(erasing, "buried", buried)


def confirmed_from_the_record(patches: Patches) -> None:
    async def confirm(backend_: Any, record: Any, request: Any) -> Any:
        return Volume(record.volume_id, record.capacity_bytes)

    patches.put(creation, "_confirm", confirm)


def second_node_let_in(patches: Patches) -> None:
    patches.put(fencing, "_refuse_beside", lambda *given, **more: None)


def deleted_while_published(patches: Patches) -> None:
    async def refuse(backend_: Any, record: Any) -> None:
        return None

    patches.put(deletion, "_refuse_published", refuse)


def export_not_cut(patches: Patches) -> None:
    def unpublish(self: Any, guard: Any, slot: str, old: str, new: str) -> str:
        def steps(at: Any, out: list[str]) -> Iterator[None]:
            program._open(at, out, guard)
            yield from program._retag(at, guard, slot, old, new, lambda item: True)
            program._print(at, out, slot)

        return program.FastLine.of(f"unpublish /disk/set {slot}", steps)

    patches.put(program.FastProgram, "unpublish", unpublish)
    patches.put(backend.Backend, "expect", lambda self, condition, what, entry: None)


def abandoned_create_kept(patches: Patches) -> None:
    def way(self: Any, found: Any) -> Any:
        return self._ways.get(found.kind)

    patches.put(settling.Settling, "_way", way)


def nothing_settled(patches: Patches) -> None:
    async def settle_all(self: Any) -> int:
        return 0

    patches.put(settling.Settling, "settle_all", settle_all)


def tag_not_learned(patches: Patches) -> None:
    def judge(facts: Any) -> Any:
        found = before(facts)
        return replace(found, verdict=judgement.Verdict.NOBODYS) if found.verdict.name == "LEARN" else found

    before = patches.put(judgement, "judge", judge)
    patches.put(inventory, "judge", judge)


def nothing_restored(patches: Patches) -> None:
    def judge(facts: Any) -> Any:
        found = before(facts)
        return replace(found, verdict=judgement.Verdict.FINE) if found.verdict.name == "RESTORE" else found

    before = patches.put(judgement, "judge", judge)
    patches.put(inventory, "judge", judge)


def made_again_by_another_id(patches: Patches) -> None:
    """The create line's own id is drawn anew by each attempt, so that an earlier one's leftovers are not known."""

    def backing(self: Any, record: Any) -> Any:
        return names.Backing(
            record.slot, names.operation_id(self.entropy(8)) if record.state == "creating" else record.backing
        )

    patches.put(backend.Backend, "backing", backing)


def expansion_believed(patches: Patches) -> None:
    async def retell(backend_: Any, record: Any, seen: Any, tag: Any) -> Any:
        entry = backend_.catalogue.entry(record.slot)
        entry.item = replace(seen.item, size=tag.size_bytes)
        entry.tag = tag
        return entry

    patches.put(expansion, "_retell", retell)


def deleting_forgotten(patches: Patches) -> None:
    """The intent of a delete is committed without marking the record, and an open delete is not taken up."""

    def way(self: Any, found: Any) -> Any:
        return None if found.kind == "delete" else before(self, found)

    before = patches.put(settling.Settling, "_way", way)


def half_made_taken_for_made(patches: Patches) -> None:
    patches.put(
        creation,
        "made",
        lambda record, entry, size: entry.tag is not None and entry.tag.operation == record.backing,
    )
    patches.put(backend.Backend, "expect", lambda self, condition, what, entry: None)


def inventory_skipped_after_a_reboot(patches: Patches) -> None:
    """That the uptime fell is seen, and nothing comes of it before the next inventory that is due anyway."""
    patches.put(backend.Backend, "_rebooted", lambda self: None)


def read_back_ignored(patches: Patches) -> None:
    patches.put(backend.Backend, "expect", lambda self, condition, what, entry: None)


def not_doubted_after_a_lost_reply(patches: Patches) -> None:
    def doubt(self: Any, slot: str) -> None:
        before(self, slot)
        self.entry(slot).suspect = False

    before = patches.put(catalogue.Catalogue, "doubt", doubt)


def refused_expansion_not_undone(patches: Patches) -> None:
    async def undo(backend_: Any, open_: Any, record: Any, size: Any, error: Any) -> None:
        await open_.fail(error)

    patches.put(expansion, "_undo", undo)


def nothing_waited_for_after_a_take_over(patches: Patches) -> None:
    patches.put(device.Device, "_unsettle_statements", lambda self: None)


def led_without_the_lease(patches: Patches) -> None:
    """The Lease is asked for once, at the first start; that it is lost is overlooked."""
    patches.put(backend.Backend, "require_lease", lambda self: None)
    patches.put(backend.Backend, "_lease_changed", lambda self: None)

    async def term(backend_: Any) -> int | None:
        return None

    patches.put(leadership, "_term", term)


def token_taken_back(patches: Patches) -> None:
    """Whoever finds another journal's token takes it, whatever his own journal knows."""

    async def yield_(backend_: Any, old: Any, counter: int, term: Any) -> None:
        return None

    patches.put(leadership, "_yield", yield_)


def cut_forgotten_by_a_repair(patches: Patches) -> None:
    async def nobody(backend_: Any, volume_id: str) -> dict[str, Any]:
        return {}

    patches.put(repairs, "_cut_meanwhile", nobody)


def size_not_told_by_a_repair(patches: Patches) -> None:
    async def as_it_is(backend_: Any, record: Any, entry: Any) -> Any:
        return entry

    patches.put(expansion, "tell_size", as_it_is)


def closed_though_nobody_waits(patches: Patches) -> None:
    patches.put(Operations, "waited_for", lambda self, subject: True)
