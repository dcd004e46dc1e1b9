"""First form: meta, incarnations, operations with their steps, volumes and tombstones, stages and targets."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _text(name: str, default: "str | None" = None) -> "sa.Column[str]":
    return sa.Column(name, sa.Text, nullable=False, server_default=default)


def upgrade() -> None:
    op.create_table(
        "meta",
        sa.Column("key", sa.Text, primary_key=True),
        _text("value"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    op.create_table(
        "incarnations",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("pid", sa.Integer, nullable=False),
        _text("host"),
        _text("version"),
        sa.Column("started_at", sa.REAL, nullable=False),
        sqlite_strict=True,
        sqlite_autoincrement=True,
    )
    _operations()
    _volumes()
    op.create_table(
        "stages",
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
        sa.CheckConstraint("size_bytes >= 0", name="size_bytes_positive"),
        sa.CheckConstraint("access_type IN ('mount', 'block')", name="access_type_known"),
        sa.CheckConstraint("state IN ('staging', 'staged', 'unstaging')", name="state_known"),
        sa.CheckConstraint("formatted IN (0, 1)", name="formatted_boolean"),
        sqlite_strict=True,
    )
    op.create_table(
        "targets",
        sa.Column("target_path", sa.Text, primary_key=True),
        _text("volume_id"),
        _text("access_type"),
        _text("access_mode"),
        sa.Column("readonly", sa.Integer, nullable=False),
        sa.Column("updated_at", sa.REAL, nullable=False),
        sa.CheckConstraint("access_type IN ('mount', 'block')", name="access_type_known"),
        sa.CheckConstraint("readonly IN (0, 1)", name="readonly_boolean"),
        sqlite_strict=True,
    )
    op.create_index("targets_by_volume_id", "targets", ["volume_id"])


def _operations() -> None:
    op.create_table(
        "operations",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("id", sa.Text, nullable=False),
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
        sa.CheckConstraint("state IN ('open', 'done', 'refused', 'superseded')", name="state_known"),
        sa.CheckConstraint("(state = 'open') = (closed_at IS NULL)", name="closed_with_time"),
        sa.CheckConstraint("attempts >= 1", name="attempted"),
        sa.UniqueConstraint("id"),
        sqlite_strict=True,
        sqlite_autoincrement=True,
    )
    is_open, is_closed = sa.text("state = 'open'"), sa.text("state <> 'open'")
    op.create_index("operations_one_open_per_subject", "operations", ["subject"], unique=True, sqlite_where=is_open)
    op.create_index("operations_closed", "operations", ["closed_at"], sqlite_where=is_closed)
    op.create_index("operations_by_subject", "operations", ["subject"])
    op.create_table(
        "steps",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("operation_id", sa.Text, sa.ForeignKey("operations.id", ondelete="CASCADE"), nullable=False),
        sa.Column("at", sa.REAL, nullable=False),
        _text("name"),
        _text("detail", ""),
        sqlite_strict=True,
        sqlite_autoincrement=True,
    )
    op.create_index("steps_by_operation_id_id", "steps", ["operation_id", "id"])


def _volumes() -> None:
    op.create_table(
        "volumes",
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
        sa.CheckConstraint("state IN ('creating', 'ready', 'deleting')", name="state_known"),
        sa.CheckConstraint("ever_published IN (0, 1)", name="ever_published_boolean"),
        sqlite_strict=True,
    )
    op.create_table(
        "tombstones",
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


def downgrade() -> None:
    for table in ("tombstones", "volumes", "steps", "operations", "targets", "stages", "incarnations", "meta"):
        op.drop_table(table)
