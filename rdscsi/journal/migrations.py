"""Brings a journal file to the schema that this version knows. Alembic is imported only when there is work: it costs
more start-up time than everything else here. The steps themselves are in `migrations/versions` of the source tree.
"""

import sqlite3
from pathlib import Path
from typing import cast

import sqlalchemy as sa

from rdscsi.errors import SettingsInvalid
from rdscsi.journal import schema

_STAMP = """CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
)"""


class UnknownRevision(Exception):
    """The schema of the file is none that these migrations lead to or from."""


def directory() -> Path:
    """Find the migrations: inside the package when installed from a wheel, at the top of the tree in a checkout."""
    package = Path(__file__).resolve().parent
    places = (package / "migrations", package.parents[1] / "migrations")
    return next((place for place in places if (place / "env.py").is_file()), places[0])


def stored_revision(connection: sqlite3.Connection) -> str:
    """Return the revision of the file's schema, empty for a file without one."""
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone():
        return ""
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return str(row[0]) if row else ""


def raw(connection: sa.Connection) -> sqlite3.Connection:
    """Return SQLite's own connection under SQLAlchemy's."""
    return cast("sqlite3.Connection", connection.connection.dbapi_connection)


def too_new(path: Path, revision: str) -> SettingsInvalid:
    """Say that the journal was written by a newer version of this program."""
    return SettingsInvalid(
        [
            f"journal {path} has schema {revision}, and this version of rdscsi knows schemas up to {schema.HEAD}: "
            "run a version at least as new as the one that wrote it, or restore a backup of the journal"
        ]
    )


def make_newest(connection: sa.Connection) -> None:
    """Make the newest form in an empty file at once, as the steps would; a test proves that it is the same.

    Without Alembic, whose import takes longer than everything else that a first start does.
    """
    schema.metadata.create_all(connection, checkfirst=False)
    connection.exec_driver_sql(_STAMP)
    connection.exec_driver_sql("INSERT INTO alembic_version VALUES (?)", (schema.HEAD,))


def migrate(connection: sa.Connection, revision: str | None = None) -> None:
    """Upgrade or downgrade to a revision, in the transaction that the connection is in.

    None means the newest, `base` no tables at all.

    Foreign keys must be off on this connection: SQLite alters a table by copying it, and dropping the old one would
    cascade. They are checked here instead. Raises UnknownRevision when this version does not know the file's.
    """
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(directory()).replace("%", "%%"))
    config.attributes["connection"] = connection
    wanted = revision or schema.HEAD
    script = ScriptDirectory.from_config(config)
    try:
        known = {one.revision for one in script.walk_revisions()}
        now = stored_revision(raw(connection))
        if now and now not in known:
            raise UnknownRevision(now)
        if wanted == "base" or (now and wanted < now):
            command.downgrade(config, wanted)
        else:
            command.upgrade(config, wanted)
    except CommandError as error:
        raise RuntimeError(f"the migrations in {directory()} are broken: {error}") from error
    _check_foreign_keys(connection)


def _check_foreign_keys(connection: sa.Connection) -> None:
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
    if broken:
        raise RuntimeError(f"a migration left rows without their parents: {broken[:5]}")
