"""A virtual machine in a pod of a node, over a published block device, as KubeVirt runs them."""

import time

from lab import job
from lab.nodes.world import NodeMachine

_QEMU = (
    "qemu-system-x86_64 -accel tcg,tb-size=32 -machine pc -m 16 -display none -nodefaults "
    "-serial file:{scratch}/serial -monitor pipe:{scratch}/monitor "
    "-blockdev driver=host_device,node-name=disk,filename={disk},cache.direct=on,locking=off "
    "-device virtio-blk-pci,drive=disk,bootindex=1,share-rw=on {more}"
)
_PATIENCE = 60.0


class VirtualMachine:
    """QEMU in a node's machine. `incoming`: it waits for another's state at this address."""

    def __init__(self, node: NodeMachine, disk: str, *, incoming: str = "") -> None:
        self._machine = node.machine
        self._scratch = node.machine.run("mktemp", "-d").out.strip()
        more = f"-incoming {incoming}" if incoming else ""
        line = _QEMU.format(scratch=self._scratch, disk=disk, more=more)
        pipes = f"cd {self._scratch} && mkfifo monitor.in monitor.out && (cat monitor.out >answers &) &&"
        self._job = node.machine.start(("sh", "-c", f"{pipes} exec {line}"), job.Orders())

    def printed(self) -> str:
        """What it has printed on its serial port: a dot for each sector, E for one that could not be written."""
        return self._machine.run("sh", "-c", f"cat {self._scratch}/serial 2>/dev/null; true").out

    def wait_printed(self, count: int) -> None:
        """Wait until it has printed that much."""
        deadline = time.monotonic() + _PATIENCE
        while len(self.printed()) < count:
            assert self._job.status() is None, self.words()
            assert time.monotonic() < deadline, f"printed {self.printed()!r}\n{self.words()}"
            time.sleep(0.3)

    def order(self, command: str) -> None:
        """Give a command to its monitor."""
        self._machine.run("sh", "-c", f"echo '{command}' >{self._scratch}/monitor.in")

    def wait_answer(self, text: str, question: str) -> str:
        """Ask the monitor until it answers with a text; all answers so far."""
        deadline = time.monotonic() + _PATIENCE
        while text not in (answers := self._answers()):
            assert self._job.status() is None, self.words()
            assert time.monotonic() < deadline, answers
            self.order(question)
            time.sleep(0.3)
        return answers

    def _answers(self) -> str:
        return self._machine.run("sh", "-c", f"cat {self._scratch}/answers 2>/dev/null; true").out

    def words(self) -> str:
        """What QEMU itself said."""
        return "".join((self._job.directory / name).read_text(errors="replace") for name in ("out", "err"))

    def end(self) -> None:
        """Switch it off, as by its plug. Safe to repeat."""
        if self._job.status() is None:
            self._machine.stop(self._job)
            self._machine.wait(self._job, job.Collected().sinks, _PATIENCE)
