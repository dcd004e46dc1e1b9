"""A pod that writes: numbered blocks, one after the other, each durable before the next. It leaves time for others."""

from lab import job
from lab.nodes.world import NodeMachine

_BLOCK = 4096
_SCRIPT = """
number=0
while [ ! -e "$STOP" ]; do
    printf 'block %d\\n' $number | dd of="$FILE" bs=4096 seek=$number conv=sync,notrunc,fsync 2>"$STOP.words" || {
        echo "failed $number: $(head -n 1 "$STOP.words")"
        exit 1
    }
    number=$((number + 1))
    echo $number >"$STOP.count"
    sleep 0.1
done
"""


class Writer:
    """Writes to a file or a block device in a machine from its creation on, until it is stopped or a write fails."""

    def __init__(self, node: NodeMachine, path: str) -> None:
        self._machine = node.machine
        self._path = path
        self._mark = node.machine.run("mktemp", "-u").out.strip()
        orders = job.Orders(env={"FILE": path, "STOP": self._mark})
        self._job = self._machine.start(("sh", "-c", _SCRIPT), orders)

    def count(self) -> int:
        """How many blocks are written."""
        text = self._machine.run("sh", "-c", f"cat {self._mark}.count 2>/dev/null || echo 0").out
        return int(text or 0)

    def wait_more(self, blocks: int = 3) -> None:
        """Wait until that many more blocks are written."""
        script = f"""
        want=$(( $(cat {self._mark}.count 2>/dev/null || echo 0) + {blocks} ))
        while [ "$(cat {self._mark}.count 2>/dev/null || echo 0)" -lt $want ]; do
            [ -e /proc/{self._job.pid()} ] || exit 1
            sleep 0.1
        done"""
        self._machine.run("sh", "-c", script)

    def stop(self) -> int:
        """Stop after the present block; how many are written. Raises AssertionError when a write had failed."""
        self._machine.run("touch", self._mark)
        assert self.wait_end() == "", "a write failed"
        return self.count()

    def wait_end(self, seconds: float = 60.0) -> str:
        """Wait for the end; what was said about a write that failed."""
        said = job.Collected()
        self._machine.wait(self._job, said.sinks, seconds)
        return said.text(1)

    def read_back(self) -> list[str]:
        """The blocks as they are on the disk now."""
        count = self.count()
        script = f"echo 3 >/proc/sys/vm/drop_caches; head -c {count * _BLOCK} {self._path} | tr -d '\\0'"
        return self._machine.run("sh", "-c", script).out.splitlines()


def blocks(count: int) -> list[str]:
    """What a writer has written after that many blocks."""
    return [f"block {number}" for number in range(count)]
