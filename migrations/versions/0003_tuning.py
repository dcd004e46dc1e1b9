"""Third form: what a staged volume's volume_context says about connecting and formatting it."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("stages", sa.Column("volume_context", sa.Text, nullable=False, server_default="{}"))


def downgrade() -> None:
    op.drop_column("stages", "volume_context")
