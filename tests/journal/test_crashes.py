"""SIGKILL, hundreds of times: the journal always opens, and what was acknowledged is there."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
KILLS = int(os.environ.get("RDSCSI_TEST_KILLS", "200"))


@pytest.mark.slow
@pytest.mark.timeout(60 + KILLS)
def test_nothing_that_was_acknowledged_is_lost_by_kills(
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    seed = random.randrange(1 << 32)
    ended = subprocess.run(
        [sys.executable, str(HERE / "crash_writer.py"), str(tmp_path), str(KILLS), str(seed)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, f"seed {seed}:\n{ended.stderr[-4000:]}"
    counts = json.loads(ended.stdout)
    print(f"seed {seed}: {counts}")
    record_property("counts", counts)
    assert counts["kills"] == KILLS
    assert counts["with_open_operations"] > KILLS / 4
    assert counts["acknowledged_ends"] > KILLS
