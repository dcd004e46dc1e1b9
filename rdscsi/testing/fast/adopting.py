"""The twins of `rdscsi.routeros.adopting`, and with them the whole program of the model."""

from collections.abc import Iterator

from rdscsi.routeros.adopting import Adoption
from rdscsi.routeros.lines import Guard
from rdscsi.testing.fast.appliance import FastAppliance, Item
from rdscsi.testing.fast.program import FastLine, FastProgram, _again, _open, _pool, _print, _print_leaf


class WholeProgram(FastProgram):
    """Every line of the driver."""

    def adopt(self, guard: Guard, wanted: Adoption) -> str:
        def steps(at: FastAppliance, out: list[str]) -> Iterator[None]:
            _open(at, out, guard)
            _again(at, guard)
            found = at.items.get(wanted.from_slot)
            if found is not None and _as_seen(found, wanted) and found.comment == wanted.comment:
                yield
                at.set_item(found, comment=wanted.creating, mount_filesystem=False)
            if wanted.backing.slot not in at.items:
                _again(at, guard)
                found = at.items.get(wanted.from_slot)
                if found is not None and found.comment == wanted.creating and not found.export:
                    yield
                    at.move_item(found, wanted.backing.slot)
            _again(at, guard)
            found = at.items.get(wanted.backing.slot)
            if found is not None and found.comment == wanted.creating and _as_seen(found, wanted):
                yield
                at.set_item(found, comment=wanted.ready)
            _print_both(at, out, wanted)

        return FastLine.of(f"adopt /disk/set {wanted.backing.slot}", steps)

    def disclaim(self, guard: Guard, wanted: Adoption) -> str:
        def steps(at: FastAppliance, out: list[str]) -> Iterator[None]:
            _open(at, out, guard)
            _again(at, guard)
            found = at.items.get(wanted.from_slot)
            if wanted.from_slot != wanted.backing.slot and found is not None and found.comment == wanted.creating:
                yield
                at.set_item(found, comment=wanted.comment)
            _print_both(at, out, wanted)

        return FastLine.of(f"disclaim /disk/set {wanted.from_slot}", steps)


def _as_seen(item: Item, wanted: Adoption) -> bool:
    return item.file_path == wanted.backing.path and item.size == wanted.size_bytes and not item.export


def _print_both(at: FastAppliance, out: list[str], wanted: Adoption) -> None:
    for slot in dict.fromkeys((wanted.backing.slot, wanted.from_slot)):
        _print(at, out, slot)
    _print_leaf(at, out, wanted.backing)
    out.append(_pool(at))
