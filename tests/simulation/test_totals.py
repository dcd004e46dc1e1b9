"""The counts of a long run: none is lost or counted twice, whenever it is stopped."""

from pathlib import Path

from totals import Batch, Totals, told

from rdscsi.testing.simulation import Result


def batch(first: int | None, size: int = 10, wrong: str = "") -> Batch:
    made = Batch(first, size, cpu=1.0)
    for number in range(size):
        result = Result([wrong] if wrong and not number else [], calls=3, faults=2, seconds=360.0)
        made.add("short", (first or 0) + number, result)
    return made


def test_batches_count_in_the_order_of_their_seeds() -> None:
    totals = Totals(100)
    totals.add(batch(110))
    assert (totals.next, totals.schedules) == (100, 0)
    totals.add(batch(100, wrong="gone"))
    assert (totals.next, totals.schedules, totals.calls, totals.faults) == (120, 20, 60, 40)
    assert totals.failures == ["short 100: gone"]


def test_the_corpus_counts_by_itself() -> None:
    totals = Totals(100)
    totals.add(batch(None, size=3))
    assert (totals.next, totals.schedules) == (100, 3)


def test_a_stopped_run_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    first = Totals.load(path, 100)
    first.add(batch(100))
    first.add(batch(120))  # not in a row yet: it is run again
    first.save(path, 30.0)
    second = Totals.load(path, 100)
    assert (second.next, second.schedules, second.seconds) == (110, 10, 30.0)
    second.add(batch(110))
    assert (second.next, second.schedules) == (120, 20)
    assert told(second, 30.0).startswith("20 schedules, 60 calls, 0 console lines, 40 faults")
    assert "20 schedules a minute, 2 simulated hours, 3600 of them per processor hour" in told(second, 30.0)


def test_without_a_file_nothing_is_kept(tmp_path: Path) -> None:
    totals = Totals.load(None, 7)
    totals.save(None, 1.0)
    assert totals.next == 7
    assert list(tmp_path.iterdir()) == []
