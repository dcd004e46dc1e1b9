"""Alembic's environment. The driver passes its connection; by hand, name a file: `alembic -x journal=FILE …`."""

import sqlalchemy as sa
from alembic import context

from rdscsi.journal import schema
from rdscsi.journal.engine import make_engine


def run(connection: sa.Connection) -> None:
    """Run the migrations in the transaction of this connection; SQLite alters tables by copying them (batch)."""
    context.configure(
        connection=connection,
        target_metadata=schema.metadata,
        render_as_batch=True,
        compare_type=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def run_by_hand() -> None:
    """Serve a developer's `alembic` command on a journal file that no driver uses."""
    file = context.get_x_argument(as_dictionary=True).get("journal")
    if not file:
        raise SystemExit("name the journal: alembic -x journal=FILE …")
    with make_engine(file, foreign_keys=False).begin() as connection:
        run(connection)


held = context.config.attributes.get("connection")
if held is not None:
    run(held)
else:
    run_by_hand()
