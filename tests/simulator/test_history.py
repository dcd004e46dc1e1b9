"""What was typed and answered: in memory, and in a file of one JSON object a line."""

import json
from pathlib import Path

from rdscsi.simulator import Appliance, History, ManualClock


def test_the_history_keeps_the_last_lines_and_writes_all(tmp_path: Path) -> None:
    history = History(keep=3, path=tmp_path / "console.jsonl")
    with Appliance(tmp_path / "rds", clock=ManualClock(), history=history) as appliance:
        for number in range(5):
            appliance.run(f":put {number}", user="me")
        appliance.run('/disk/set pool1 comment="\\FF"; :put [/disk/get pool1 comment]')
    assert len(history) == 6
    assert [exchange.output for exchange in history][:2] == ["3\r\n", "4\r\n"]
    assert [exchange.number for exchange in history.after(4)] == [5, 6]
    rows = [json.loads(line) for line in (tmp_path / "console.jsonl").read_text().splitlines()]
    assert [row["line"] for row in rows[:2]] == [":put 0", ":put 1"]
    assert (rows[0]["user"], rows[0]["outcome"], rows[0]["output"]) == ("me", "answered", "0\r\n")
