"""Wishes are put into a journal by another process than the one that keeps it: neither may hurt the other."""

from functools import partial
from pathlib import Path

import pytest
import trio
from journal_sample import BARE, opened

from rdscsi.errors import Busy, SettingsInvalid
from rdscsi.journal import asking, changes, open_journal
from rdscsi.journal.reading import read_journal


async def make(path: Path) -> None:
    async with open_journal(path, precautions=BARE):
        pass


async def test_a_wish_is_an_open_operation_about_the_volume(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    async with open_journal(path, precautions=BARE) as journal:
        asked = asking.ask(path, asking.REVOKE, "rds/v1", {"node": "n"}, now=12.0)
        (found,) = await journal.open_operations()
        assert (found.id, found.kind, found.subject) == (asked, "revoke", "request/rds/v1")
        assert (found.opened_at, found.attempts, found.incarnation) == (12.0, 1, journal.incarnation)
        assert found.request["node"] == "n"
        assert asking.volume_of(found.subject) == "rds/v1"
        async with journal.operation(found.kind, found.subject, found.request) as operation:
            assert operation.resumed
            assert operation.id == asked
            await operation.finish(outcome="cut off")
        asking.ask(path, asking.RETRY, "rds/v1", {}, now=13.0)  # the one before has ended


async def test_one_wish_at_a_time_for_a_volume(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    await make(path)
    asking.ask(path, asking.REVOKE, "rds/v1", {}, now=1.0)
    with pytest.raises(Busy, match=r"revoke .* was asked for before"):
        asking.ask(path, asking.REVOKE, "rds/v1", {}, now=2.0)
    asking.ask(path, asking.REVOKE, "rds/v2", {}, now=3.0)
    with read_journal(path) as reading:
        assert len(reading.open_operations()) == 2


async def test_many_ask_at_once_while_the_driver_writes(tmp_path: Path) -> None:
    """With real threads: SQLite orders the writers, and a driver that meets one waits for it."""
    path = tmp_path / "journal.db"
    async with open_journal(path, precautions=BARE) as journal, trio.open_nursery() as nursery:

        async def write(number: int) -> None:
            for round_ in range(5):
                await journal.commit(changes.put_meta(f"{number}", f"{round_}"))

        for number in range(8):
            nursery.start_soon(write, number)
            ask = partial(asking.ask, path, asking.RETRY, f"rds/v{number}", {}, now=1.0)
            nursery.start_soon(trio.to_thread.run_sync, ask)
    async with open_journal(path, precautions=BARE) as journal:
        assert sorted(one.subject for one in await journal.open_operations()) == [f"request/rds/v{n}" for n in range(8)]
        assert [await journal.get_meta(f"{number}") for number in range(8)] == ["4"] * 8


async def test_nothing_is_put_into_what_this_version_does_not_write(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with pytest.raises(SettingsInvalid, match="No such file"):
        asking.ask(path, asking.RETRY, "rds/v1", {}, now=1.0)
    with pytest.raises(SettingsInvalid, match="No such file"):
        asking.ask_rebuild(path, "why")
    await make(path)
    with opened(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
    with pytest.raises(SettingsInvalid, match="has schema 0001"):
        asking.ask(path, asking.RETRY, "rds/v1", {}, now=1.0)
    with opened(path) as connection:
        assert connection.execute("SELECT count(*) FROM operations").fetchone() == (0,)


async def test_a_rebuild_names_who_asked_and_never_overwrites_what_was_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    kept = set()
    for _ in range(2):
        await make(path)
        wish = asking.ask_rebuild(path, "a\nreason")
        assert wish.read_text().startswith("asked for by uid ")
        assert wish.read_text().endswith(": a reason")
        assert wish.stat().st_mode & 0o777 == 0o600
        async with open_journal(path, precautions=BARE, now=lambda: 1_800_000_000.0) as journal:
            assert journal.set_aside is not None
            kept.add(journal.set_aside)
    assert len(kept) == 2
    assert all(one.exists() for one in kept)
