"""The migrations go with the wheel: a journal can be made and upgraded where there is no checkout."""

import os
import sqlite3
import subprocess
import sys
import zipfile
from contextlib import closing
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = """
import sys
from pathlib import Path
import trio
import rdscsi
from rdscsi.journal import migrations, open_journal

async def main() -> None:
    async with open_journal(Path(sys.argv[1])) as journal:
        print(journal.fresh, journal.incarnation)

print(Path(rdscsi.__file__).is_relative_to(sys.argv[2]), migrations.directory().is_relative_to(sys.argv[2]))
trio.run(main)
"""


@pytest.mark.slow
def test_a_journal_is_made_by_what_is_in_the_wheel(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    installed = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    old = (ROOT / "tests" / "journal" / "old" / "0001.sql").read_text()
    with closing(sqlite3.connect(tmp_path / "old.db")) as made:
        made.executescript(old)
    environment = os.environ | {"PYTHONPATH": str(installed)}
    for name, expected in (("new.db", "True 1"), ("old.db", "False 43")):
        ended = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(tmp_path / name), str(installed)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert ended.stdout.splitlines() == ["True True", expected]
