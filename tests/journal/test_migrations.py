"""Migrations on files of every form there ever was, with data in them; and migrations that go wrong."""

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from journal_sample import SMALL, SNAPSHOT, STAGE, TARGET, TOMBSTONE, VOLUME, names_in, opened

from rdscsi.errors import JournalFailed, SettingsInvalid
from rdscsi.journal import migrations, open_journal, schema
from rdscsi.journal.engine import make_engine
from rdscsi.journal.reading import read_journal

ROOT = Path(__file__).parents[2]
OLD = Path(__file__).parent / "old"
FORMS = sorted(path.stem for path in OLD.glob("*.sql"))
TUNED = '{"ctrlLossTmo": "60"}'

_FAKE = """\
from alembic import op
import sqlalchemy as sa
KEPT = {{"sqlite_strict": True, "sqlite_autoincrement": True}}
revision, down_revision, branch_labels, depends_on = "0004", "0003", None, None

def upgrade():
    with op.batch_alter_table("incarnations", table_kwargs=KEPT) as table:
        table.add_column(sa.Column("mood", sa.Text, nullable=False, server_default="good"))
    {then}

def downgrade():
    with op.batch_alter_table("incarnations", table_kwargs=KEPT) as table:
        table.drop_column("mood")
"""


def make_old(path: Path, form: str) -> None:
    """Make a journal as an earlier version left it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript((OLD / f"{form}.sql").read_text())


def rows(path: Path) -> dict[str, list[tuple[object, ...]]]:
    with opened(path) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: connection.execute(f"SELECT * FROM {name} ORDER BY 1").fetchall() for name in tables}


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    path = tmp_path / "journal.db"
    make_old(path, "0003")
    return path


@pytest.fixture
def next_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This version becomes one that knows a form 0004; returns the migration's file."""
    place = tmp_path / "migrations"
    shutil.copytree(migrations.directory(), place, ignore=shutil.ignore_patterns("__pycache__"))
    fake = place / "versions" / "0004_fake.py"
    fake.write_text(_FAKE.format(then="pass"))
    monkeypatch.setattr(migrations, "directory", lambda: place)
    monkeypatch.setattr(schema, "HEAD", "0004")
    return fake


def test_there_is_an_old_file_for_each_form() -> None:
    known = sorted(path.stem[:4] for path in (migrations.directory() / "versions").glob("*.py"))
    assert known == FORMS
    assert known[-1] == schema.HEAD


@pytest.mark.parametrize("form", FORMS)
async def test_an_old_journal_opens_with_all_that_was_in_it(tmp_path: Path, form: str) -> None:
    path = tmp_path / "journal.db"
    make_old(path, form)
    async with open_journal(path, precautions=SMALL, now=lambda: 10.0) as journal:
        assert (journal.id, journal.incarnation, journal.fresh) == ("oldoldoldoldo", 43, False)
        assert await journal.volumes() == [VOLUME]
        assert await journal.snapshots() == ([SNAPSHOT] if form >= "0002" else [])
        assert await journal.stages() == [replace(STAGE, volume_context=TUNED) if form >= "0003" else STAGE]
        assert await journal.targets() == [TARGET]
        assert await journal.tombstones() == [TOMBSTONE]
        assert await journal.get_meta("token.counter") == "7"
        (left,) = await journal.open_operations()
        assert (left.kind, left.attempts, left.error) == ("delete", 3, "DeviceUnavailable: away")
        assert len(await journal.operations()) == 4


@pytest.mark.parametrize("form", FORMS)
def test_each_form_goes_down_to_nothing_and_up_again(tmp_path: Path, form: str) -> None:
    path = tmp_path / "journal.db"
    make_old(path, form)
    with make_engine(path, foreign_keys=False).begin() as connection:
        migrations.migrate(connection, "base")
        assert set(sa.inspect(connection).get_table_names()) == {"alembic_version"}
        assert migrations.stored_revision(migrations.raw(connection)) == ""
        migrations.migrate(connection)
        assert migrations.stored_revision(migrations.raw(connection)) == schema.HEAD


async def test_an_upgrade_keeps_the_data_and_a_copy_of_the_former_state(journal: Path, next_version: Path) -> None:
    before = rows(journal)
    async with open_journal(journal, precautions=SMALL, now=lambda: 10.0) as now:
        assert now.id == "oldoldoldoldo"
    (backup,) = (path for path in journal.parent.iterdir() if ".backup-" in path.name)
    assert rows(backup) == before
    after = rows(journal)
    assert [row[-1] for row in after["incarnations"]] == ["good"] * 3
    for table in ("operations", "steps", "volumes", "snapshots", "stages", "targets", "tombstones", "meta"):
        assert after[table] == before[table]


async def test_an_upgrade_can_be_taken_back(journal: Path, next_version: Path) -> None:
    before = rows(journal)
    with make_engine(journal, foreign_keys=False).begin() as connection:
        migrations.migrate(connection)
        migrations.migrate(connection, "0003")
    assert rows(journal) == before


@pytest.mark.parametrize(
    ("then", "error", "told"),
    [
        ("raise KeyError('bug')", KeyError, "bug"),
        ("op.execute('DELETE FROM incarnations')", RuntimeError, "rows without their parents"),
        ("op.execute('nonsense')", JournalFailed, "syntax error"),
    ],
)
async def test_an_upgrade_that_fails_leaves_the_file_as_it_was(
    journal: Path, next_version: Path, then: str, error: type[Exception], told: str
) -> None:
    next_version.write_text(_FAKE.format(then=then))
    before = rows(journal)
    for _ in range(3):
        with pytest.raises(error, match=told):
            async with open_journal(journal, precautions=SMALL):
                raise AssertionError
    assert rows(journal) == before
    assert len([name for name in names_in(journal.parent) if ".backup-" in name]) == 1  # none for what is the same


async def test_migrations_that_are_missing_are_told(
    journal: Path, next_version: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "HEAD", "0005")
    with pytest.raises(RuntimeError, match=r"migrations in .* are broken"):
        async with open_journal(journal, precautions=SMALL):
            raise AssertionError


@pytest.mark.parametrize("revision", ["0004", "9999", "zzz"])
async def test_a_newer_journal_is_refused_and_not_touched(journal: Path, revision: str) -> None:
    with opened(journal) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    content = journal.read_bytes()
    with pytest.raises(SettingsInvalid, match=f"has schema {revision}, and this version of rdscsi knows schemas up to"):
        async with open_journal(journal, precautions=SMALL):
            raise AssertionError
    with pytest.raises(SettingsInvalid, match=f"has schema {revision}"), read_journal(journal):
        raise AssertionError
    assert journal.read_bytes() == content
    assert names_in(journal.parent) == {"journal.db", "journal.db.lock"}


async def test_a_revision_that_nobody_knows_is_taken_for_a_newer_one(journal: Path) -> None:
    with opened(journal) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0000x'")
    with pytest.raises(SettingsInvalid, match="run a version at least as new"):
        async with open_journal(journal, precautions=SMALL):
            raise AssertionError


def test_reading_an_older_form_says_what_to_do(journal: Path, next_version: Path) -> None:
    told = "has schema 0003, and this version of rdscsi reads 0004"
    with pytest.raises(SettingsInvalid, match=told), read_journal(journal):
        raise AssertionError


def test_migrations_are_found_in_a_checkout_and_in_a_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (migrations.directory() / "env.py").is_file()
    package = tmp_path / "site-packages" / "rdscsi" / "journal"
    (package / "migrations").mkdir(parents=True)
    (package / "migrations" / "env.py").touch()
    monkeypatch.setattr(migrations, "__file__", str(package / "migrations.py"))
    assert migrations.directory() == package / "migrations"


def test_the_command_of_alembic_serves_a_developer(journal: Path) -> None:
    def alembic(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "alembic", *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert alembic("-x", f"journal={journal}", "current").stdout.startswith("0003")
    assert alembic("-x", f"journal={journal}", "check").stdout.strip().endswith("No new upgrade operations detected.")
    unnamed = alembic("current")
    assert unnamed.returncode == 1
    assert "name the journal: alembic -x journal=FILE" in unnamed.stderr
