"""The tables. `migrations/` brings a file here step by step; a test proves that both ends are the same.

Tables are STRICT, states and booleans are checked by the schema, and so is the rule that a subject has at most one open
operation. To change anything: a new migration, `HEAD` below, and a dump of the old form in `tests/journal/old/`. A
table that is altered is copied, and the copy is neither STRICT nor AUTOINCREMENT unless told again (`table_kwargs`).
"""

import sqlalchemy as sa

HEAD = "0003"
APPLICATION_ID = 0x52445343  # "RDSC": in the header of each journal, so that a stranger's database is never touched

metadata = sa.MetaData(
    naming_convention={
        "ix": "%(table_name)s_by_%(column_0_N_name)s",
        "uq": "%(table_name)s_unique_%(column_0_N_name)s",
        "ck": "%(table_name)s_%(constraint_name)s",
        "fk": "%(table_name)s_to_%(referred_table_name)s",
        "pk": "%(table_name)s_key",
    }
)


def _text(name: str, default: str | None = None) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False, server_default=default)


def _one_of(column: str, *values: str) -> sa.CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return sa.CheckConstraint(f"{column} IN ({listed})", name=f"{column}_known")


def _boolean(column: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(f"{column} IN (0, 1)", name=f"{column}_boolean")


OPEN = sa.literal_column("'open'", sa.Text)
"""The state of what is unfinished, spelled out in each statement: so SQLite sees that an index of those fits."""

meta = sa.Table(
    "meta",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    _text("value"),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

incarnations = sa.Table(
    "incarnations",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("pid", sa.Integer, nullable=False),
    _text("host"),
    _text("version"),
    sa.Column("started_at", sa.REAL, nullable=False),
    sqlite_strict=True,
    sqlite_autoincrement=True,
)

operations = sa.Table(
    "operations",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True),  # the order of intents, whatever the clock did
    sa.Column("id", sa.Text, nullable=False, unique=True),
    _text("kind"),
    _text("subject"),
    _text("request"),
    _text("state"),
    sa.Column("opened_at", sa.REAL, nullable=False),
    sa.Column("closed_at", sa.REAL),
    sa.Column("incarnation", sa.Integer, sa.ForeignKey("incarnations.id"), nullable=False),
    _text("outcome", ""),
    _text("error", ""),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.CheckConstraint("length(id) = 13", name="id_length"),
    sa.CheckConstraint("subject <> ''", name="subject_given"),
    _one_of("state", "open", "done", "refused", "superseded"),
    sa.CheckConstraint("(state = 'open') = (closed_at IS NULL)", name="closed_with_time"),
    sa.CheckConstraint("attempts >= 1", name="attempted"),
    sqlite_strict=True,
    sqlite_autoincrement=True,
)
sa.Index(
    "operations_one_open_per_subject",
    operations.c.subject,
    unique=True,
    sqlite_where=sa.text("state = 'open'"),
)
sa.Index("operations_closed", operations.c.closed_at, sqlite_where=sa.text("state <> 'open'"))
sa.Index(None, operations.c.subject)

steps = sa.Table(
    "steps",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("operation_id", sa.Text, sa.ForeignKey("operations.id", ondelete="CASCADE"), nullable=False),
    sa.Column("at", sa.REAL, nullable=False),
    _text("name"),
    _text("detail", ""),
    sa.Index(None, "operation_id", "id"),
    sqlite_strict=True,
    sqlite_autoincrement=True,
)

volumes = sa.Table(
    "volumes",
    metadata,
    sa.Column("volume_id", sa.Text, primary_key=True),
    _text("backend"),
    _text("slot"),
    _text("csi_name"),
    _text("backing"),
    sa.Column("capacity_bytes", sa.Integer, nullable=False),
    _text("state"),
    _text("tag", ""),
    sa.Column("ever_published", sa.Integer, nullable=False),
    _text("quarantine", ""),
    sa.Column("updated_at", sa.REAL, nullable=False),
    sa.CheckConstraint("capacity_bytes >= 0", name="capacity_bytes_positive"),
    _one_of("state", "creating", "ready", "deleting"),
    _boolean("ever_published"),
    sqlite_strict=True,
)

snapshots = sa.Table(
    "snapshots",
    metadata,
    sa.Column("snapshot_id", sa.Text, primary_key=True),
    _text("backend"),
    _text("slot"),
    _text("csi_name"),
    _text("source_volume_id"),
    _text("leaf"),
    sa.Column("size_bytes", sa.Integer, nullable=False),
    sa.Column("created_at", sa.REAL, nullable=False),
    _text("uuid", ""),
    _text("state"),
    _text("quarantine", ""),
    sa.Column("updated_at", sa.REAL, nullable=False),
    sa.CheckConstraint("size_bytes > 0", name="size_bytes_positive"),
    _one_of("state", "creating", "ready", "deleting"),
    sqlite_strict=True,
)

tombstones = sa.Table(
    "tombstones",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True),
    _text("volume_id"),
    _text("slot"),
    _text("backing"),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("deleted_at", sa.REAL, nullable=False),
    sa.UniqueConstraint("volume_id", "backing"),
    sqlite_strict=True,
    sqlite_autoincrement=True,
)

stages = sa.Table(
    "stages",
    metadata,
    sa.Column("volume_id", sa.Text, primary_key=True),
    _text("staging_target_path"),
    _text("subnqn"),
    _text("portals"),
    _text("access_type"),
    _text("access_mode"),
    _text("fs_type", ""),
    _text("mount_flags", "[]"),
    _text("state"),
    sa.Column("size_bytes", sa.Integer, nullable=False),
    _text("identity", ""),
    _text("format_permit", ""),
    sa.Column("formatted", sa.Integer, nullable=False),
    sa.Column("updated_at", sa.REAL, nullable=False),
    _text("volume_context", "{}"),
    sa.CheckConstraint("size_bytes >= 0", name="size_bytes_positive"),
    _one_of("access_type", "mount", "block"),
    _one_of("state", "staging", "staged", "unstaging"),
    _boolean("formatted"),
    sqlite_strict=True,
)

targets = sa.Table(
    "targets",
    metadata,
    sa.Column("target_path", sa.Text, primary_key=True),
    _text("volume_id"),
    _text("access_type"),
    _text("access_mode"),
    sa.Column("readonly", sa.Integer, nullable=False),
    sa.Column("updated_at", sa.REAL, nullable=False),
    sa.Index(None, "volume_id"),
    _one_of("access_type", "mount", "block"),
    _boolean("readonly"),
    sqlite_strict=True,
)
