"""Reading for people: from one moment, of a live journal or a dead one, and nothing is left behind."""

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import trio
from journal_sample import BARE, SMALL, STAGE, TARGET, TOMBSTONE, VOLUME, names_in, opened

from rdscsi.errors import DeviceUnavailable, JournalFailed, SettingsInvalid
from rdscsi.journal import Journal, changes, files, open_journal
from rdscsi.journal.reading import read_journal


async def fill(journal: Journal) -> None:
    await journal.commit(
        changes.put_volume(VOLUME),
        changes.put_stage(STAGE),
        changes.put_target(TARGET),
        changes.drop_volume(TOMBSTONE.volume_id, TOMBSTONE),
    )
    async with journal.operation("create", VOLUME.volume_id, {"size": 1}) as operation:
        await operation.step("add")
        await operation.finish()
    with pytest.raises(DeviceUnavailable):
        async with journal.operation("delete", VOLUME.volume_id, {}):
            raise DeviceUnavailable("away")
    await journal.commit()


def make(path: Path) -> None:
    async def run() -> None:
        async with open_journal(path, precautions=BARE) as journal:
            await fill(journal)

    trio.run(run)


def crash(path: Path, to: Path) -> None:
    """Copy a journal as a crash leaves it: the file and the log that nobody folded back."""
    for end in ("", "-wal"):
        shutil.copyfile(files.beside(path, end), files.beside(to, end))


def test_it_tells_everything(tmp_path: Path) -> None:
    make(tmp_path / "journal.db")
    with read_journal(tmp_path / "journal.db") as reading:
        assert reading.volumes() == [VOLUME]
        assert reading.volume(VOLUME.volume_id) == VOLUME
        assert reading.stages() == [STAGE]
        assert reading.stage(STAGE.volume_id) == STAGE
        assert reading.targets() == reading.targets(TARGET.volume_id) == [TARGET]
        assert reading.tombstones() == [TOMBSTONE]
        (left,) = reading.open_operations()
        assert [step.name for step in left.steps] == ["error"]
        assert [one.kind for one in reading.operations(limit=10)] == ["delete", "create"]
        assert [one.kind for one in reading.operations(limit=1)] == ["delete"]
        assert [one.kind for one in reading.operations_about(VOLUME.volume_id, limit=10)] == ["delete", "create"]
        assert [one.kind for one in reading.operations_about(left.id, limit=10)] == ["delete"]
        assert reading.operations_about("nobody", limit=10) == []
        assert reading.situation.set_aside == ""


async def test_the_open_operation_comes_first_then_the_newest(tmp_path: Path) -> None:
    async with open_journal(tmp_path / "journal.db", precautions=BARE) as journal:
        await fill(journal)
        async with journal.operation("expand", "v/2", {}) as operation:
            await operation.finish()
        with read_journal(tmp_path / "journal.db") as reading:
            kinds = [one.kind for one in reading.operations_about(VOLUME.volume_id, limit=10)]
    assert kinds == ["delete", "create"]


async def test_one_reading_is_of_one_moment_while_the_driver_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    async with open_journal(path, precautions=SMALL) as journal:
        await fill(journal)
        with read_journal(path) as reading:
            assert reading.situation.held is True
            assert reading.situation.ballast
            assert len(reading.volumes()) == 1
            await journal.commit(changes.drop_volume(VOLUME.volume_id, None))
            async with journal.operation("create", "v/2", {}) as operation:
                await operation.finish()
            assert len(reading.volumes()) == 1
            assert len(reading.operations(limit=10)) == 2
        with read_journal(path) as reading:
            assert reading.volumes() == []


class TestNothingIsLeftBehind:
    def test_after_a_look_at_a_journal_that_was_closed(self, tmp_path: Path) -> None:
        make(tmp_path / "journal.db")
        before = names_in(tmp_path)
        with read_journal(tmp_path / "journal.db") as reading:
            assert reading.situation.held is False
            assert names_in(tmp_path) == before
        assert names_in(tmp_path) == before

    @pytest.mark.parametrize("index", [False, True])
    async def test_after_a_look_at_a_journal_whose_driver_crashed(self, tmp_path: Path, index: bool) -> None:
        live, dead = tmp_path / "live", tmp_path / "dead"
        live.mkdir()
        dead.mkdir()
        async with open_journal(live / "journal.db", precautions=BARE) as journal:
            await fill(journal)
            crash(live / "journal.db", dead / "journal.db")
            if index:
                shutil.copyfile(live / "journal.db-shm", dead / "journal.db-shm")
        before = {path.name: path.read_bytes() for path in dead.iterdir() if not path.name.endswith("-shm")}
        names = names_in(dead)
        with read_journal(dead / "journal.db") as reading:
            assert reading.volumes() == [VOLUME]
            assert len(reading.open_operations()) == 1
        assert names_in(dead) == names
        after = {path.name: path.read_bytes() for path in dead.iterdir() if not path.name.endswith("-shm")}
        assert after == before

    async def test_a_driver_can_start_while_somebody_looks(self, tmp_path: Path) -> None:
        """The look began when nobody used the journal, so it takes the file as it lies; the driver must not suffer."""
        path = tmp_path / "journal.db"
        async with open_journal(path, precautions=BARE) as journal:
            await fill(journal)
        with read_journal(path) as reading:
            async with open_journal(path, precautions=BARE) as journal:
                await journal.commit(changes.drop_volume(VOLUME.volume_id, None))
                assert reading.volumes() == [VOLUME]
        assert names_in(tmp_path) == {"journal.db", "journal.db.lock"}

    @pytest.mark.root
    def test_root_can_look_at_the_journal_of_another_user(self, tmp_path: Path) -> None:
        if os.geteuid():
            pytest.skip("only root can")
        make(tmp_path / "journal.db")
        os.chown(tmp_path / "journal.db", 12345, 12345)
        with read_journal(tmp_path / "journal.db") as reading:
            assert reading.volumes() == [VOLUME]
        assert {path.name: path.stat().st_uid for path in tmp_path.iterdir()} == {
            "journal.db": 12345,
            "journal.db.lock": 0,
        }


class TestWhatHappensNext:
    async def test_is_told_for_each_situation(self, tmp_path: Path) -> None:
        path = tmp_path / "journal.db"
        async with open_journal(path, precautions=BARE) as journal, journal.operation("create", "v/1", {}) as live:
            await fill(journal)
            with read_journal(path) as reading:
                told = {one.kind: reading.situation.next(one) for one in reading.operations(limit=10)}
                assert (
                    told["delete"]
                    == "the driver tries again in its next round, within 5 s; the orchestrator's next call does too"
                )
                (running,) = reading.operations_about("v/1", limit=1)
                assert reading.situation.next(running) == "runs now, attempt 1"
                (done,) = [one for one in reading.operations(limit=10) if one.state == "done"]
                assert reading.situation.next(done) == "nothing: it has ended"
            await live.finish()
        with read_journal(path) as reading:
            (left,) = reading.open_operations()
            assert reading.situation.next(left) == "no driver runs on this journal; the next start takes it up"
        async with open_journal(path, precautions=BARE):
            with read_journal(path) as reading:
                (left,) = reading.open_operations()
                assert reading.situation.next(left).startswith("left by an earlier start; the driver tries again")

    async def test_a_node_and_a_create_take_their_own_time(self, tmp_path: Path) -> None:
        path = tmp_path / "journal.db"
        async with open_journal(path, precautions=BARE) as journal:
            for kind, subject in (("create", "v/1"), ("stage", "v/2")):
                with pytest.raises(DeviceUnavailable):
                    async with journal.operation(kind, subject, {}):
                        raise DeviceUnavailable("away")
            await journal.commit()
            with read_journal(path) as reading:
                created, staged = (reading.situation.next(one) for one in reading.open_operations())
        assert created.startswith("waits for the orchestrator to ask again; when nobody does within abandon-after, ")
        assert "in its next round, within a minute; " in staged


class TestRefusals:
    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(SettingsInvalid, match="No such file"), read_journal(tmp_path / "journal.db"):
            raise AssertionError
        assert names_in(tmp_path) == set()

    def test_a_file_that_is_damaged(self, tmp_path: Path) -> None:
        path = tmp_path / "journal.db"
        make(path)
        with path.open("r+b") as file:
            file.seek(100)
            file.write(b"\xff" * 3000)
        content = path.read_bytes()
        with pytest.raises(JournalFailed, match="malformed"), read_journal(path):
            raise AssertionError
        assert path.read_bytes() == content

    def test_a_file_that_lost_its_revision(self, tmp_path: Path) -> None:
        path = tmp_path / "journal.db"
        make(path)
        with opened(path) as connection:
            connection.execute("DROP TABLE alembic_version")
        with pytest.raises(SettingsInvalid, match=r"has schema \(none\)"), read_journal(path):
            raise AssertionError

    def test_a_file_that_this_user_may_not_read(self, tmp_path: Path) -> None:
        make(tmp_path / "journal.db")
        (tmp_path / "journal.db").chmod(0)
        script = (
            "import os, sys\nfrom pathlib import Path\nfrom rdscsi.journal.reading import read_journal\n"
            "if not os.geteuid(): os.setuid(65534)\n"
            "with read_journal(Path(sys.argv[1])): pass\n"
        )
        tmp_path.chmod(0o755)
        ended = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path / "journal.db")],
            capture_output=True,
            text=True,
            check=False,
        )
        assert "SettingsInvalid" in ended.stderr
        assert "Permission denied" in ended.stderr


class TestACopy:
    def test_is_a_journal_like_the_one_that_was_read(self, tmp_path: Path) -> None:
        make(tmp_path / "journal.db")
        with read_journal(tmp_path / "journal.db") as reading:
            reading.copy_to(tmp_path / "copy.db")
            with pytest.raises(SettingsInvalid, match="File exists"):
                reading.copy_to(tmp_path / "copy.db")
            kept = reading.operations(limit=9)
        with read_journal(tmp_path / "copy.db") as copy:
            assert copy.operations(limit=9) == kept
            assert copy.troubles() == []

    def test_is_whole_or_not_there(self, tmp_path: Path) -> None:
        """The disk is full before the copy is complete: here a limit on what this process may write to a file."""
        make(tmp_path / "journal.db")
        former = resource.getrlimit(resource.RLIMIT_FSIZE)
        with read_journal(tmp_path / "journal.db") as reading:
            resource.setrlimit(resource.RLIMIT_FSIZE, (8192, former[1]))
            try:
                with pytest.raises(JournalFailed, match=r"copy\.db"):
                    reading.copy_to(tmp_path / "copy.db")
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, former)
        assert not (tmp_path / "copy.db").exists()
        assert {path.name for path in tmp_path.iterdir()} == {"journal.db", "journal.db.lock"}
