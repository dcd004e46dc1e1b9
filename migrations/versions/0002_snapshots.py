"""Second form: snapshots."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def _text(name: str, default: "str | None" = None) -> "sa.Column[str]":
    return sa.Column(name, sa.Text, nullable=False, server_default=default)


def upgrade() -> None:
    op.create_table(
        "snapshots",
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
        sa.CheckConstraint("state IN ('creating', 'ready', 'deleting')", name="state_known"),
        sqlite_strict=True,
    )


def downgrade() -> None:
    op.drop_table("snapshots")
