"""The simulated ROSE Data Server without its network: give it a console line, it answers with text.

`Appliance.run` is synchronous and deterministic; the SSH server in `server` calls it from threads. Faults, latency and
sessions are not known here, except for the hook before each statement that changes something.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rdscsi.simulator import texts
from rdscsi.simulator.accounts import Accounts, needed_policy
from rdscsi.simulator.clock import Clock, SystemClock
from rdscsi.simulator.console.evaluator import Interpreter, Manners, Request
from rdscsi.simulator.console.failures import (
    BreakSignal,
    ConsoleError,
    ContinueSignal,
    ParseError,
    QuitSignal,
    ReturnSignal,
)
from rdscsi.simulator.console.parser import statements_before
from rdscsi.simulator.console.scope import Scope
from rdscsi.simulator.console.syntax import Script
from rdscsi.simulator.console.templates import Line, Lines
from rdscsi.simulator.console.values import NOTHING, Value
from rdscsi.simulator.history import History
from rdscsi.simulator.menus import kinds
from rdscsi.simulator.menus.catalogue import Menu, Parts, build
from rdscsi.simulator.menus.log import Log
from rdscsi.simulator.menus.printing import single
from rdscsi.simulator.menus.tree import tree_of
from rdscsi.simulator.options import ApplianceOptions
from rdscsi.simulator.storage.exports import Exporter
from rdscsi.simulator.storage.model import Storage
from rdscsi.simulator.storage.records import Records
from rdscsi.simulator.storage.store import Store

_MAX_LINE = 65535
_LONGEST_PAUSE = 86400.0
Hook = Callable[[str, Mapping[str, Value]], None]
"""Called with the path and the arguments of a statement that changes something."""


class LineCut(Exception):
    """Raised by a hook: the line ends here, at once and without a word, as when power or session is lost."""


@dataclass(slots=True)
class _Running:
    """The line that a thread runs: its hooks, the boot that it belongs to, its changes so far."""

    user: str
    before: Hook | None
    after: Hook | None
    boot: int
    changes: int = 0


class Appliance:
    """One appliance over a state directory. Thread-safe: one line at a time, except while a line pauses."""

    def __init__(
        self,
        state_dir: Path,
        options: ApplianceOptions | None = None,
        *,
        clock: Clock | None = None,
        history: History | None = None,
        exporter: Exporter | None = None,
    ) -> None:
        self.options = options or ApplianceOptions()
        self.state_dir = Path(state_dir)
        self.clock: Clock = clock or SystemClock()
        self.history = History() if history is None else history
        self.before_mutation: Hook | None = None
        self.mutations = 0
        self.tree = tree_of(
            self.options.version,
            rose_storage=self.options.rose_storage,
            says_bad_parameter=self.options.says_bad_parameter(),
        )
        self._lines = Lines(self.tree)
        self._manners = manners(self.options)
        self._lock = threading.RLock()
        self._threads = threading.local()
        self._closed = False
        self.boots = 0
        self.on_reboot: Callable[[], None] = _nothing
        self._store = Store(self.state_dir)
        with self._store.transaction():
            self.storage = Storage(self.state_dir, self._store, self.options, self.clock, exporter)
            self.records = Records(self._store, self.storage.undo)
            self.accounts = Accounts(self.records, self.options.users)
            self.records.seed("/ip/service", kinds.SERVICES)
            self._start_clock()
        self.random = random.Random(0)  # noqa: S311 - repeatable on purpose
        self._environments: dict[str, dict[str, Value]] = {}
        self.log = Log(self.clock)
        self.on_new_host_key: Callable[[str], None] = _no_server
        self.logins: dict[int, Mapping[str, Value]] = {}
        self._menus: dict[str, Menu] = build(
            Parts(
                storage=self.storage,
                store=self._store,
                records=self.records,
                tree=self.tree,
                options=self.options,
                clock=self.clock,
                log=self.log,
                uptime=self.uptime,
                before=self._before,
                new_host_key=lambda kind: self.on_new_host_key(kind),
                logins=lambda: list(self.logins.values()),
            )
        )

    def __enter__(self) -> Appliance:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the state directory. Nothing is lost; the next start goes on with the same uptime."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self.storage.undo.flush()
            self._store.close()

    # -- time ------------------------------------------------------------------------------------------------------

    def _start_clock(self) -> None:
        """A restart of the simulator is no reboot of the appliance, unless the host itself rebooted meanwhile."""
        boot, host = self._store.single("booted-at"), self._store.single("host-boot")
        if isinstance(boot, int | float) and host == self.clock.host_boot() and boot <= self.clock.now():
            self._booted_at = float(boot)
            return
        if boot is not None:
            self.storage.boot(lose_unflushed=False)
        self._set_boot(self.clock.now() - (self.options.initial_uptime if boot is None else 0))

    def _set_boot(self, at: float) -> None:
        self._booted_at = at
        with self._store.transaction():
            self._store.set_single("booted-at", at)
            self._store.set_single("host-boot", self.clock.host_boot())

    def uptime(self) -> float:
        """Seconds since the last boot."""
        return max(self.clock.now() - self._booted_at, 0.0)

    def reboot(self, *, lose_unflushed: bool = True) -> int:
        """Power cycle: uptime starts anew, and no line survives it, not even one that is paused.

        Returns how many changes were lost (those younger than the flush delays of the behaviour).
        """
        with self._lock:
            lost = self.storage.boot(lose_unflushed=lose_unflushed)
            self._environments.clear()
            self.log.entries.clear()
            self.log.note("system,info", "router rebooted")
            self._set_boot(self.clock.now())
            self.boots += 1
            self.on_reboot()
            return lost

    def is_booting(self) -> bool:
        """Whether the machine is still coming up: it does not take connections yet."""
        return self.boots > 0 and self.uptime() < self.options.behaviour.boot_seconds

    # -- what the SSH server asks ----------------------------------------------------------------------------------

    def max_sessions(self) -> int:
        """How many connections there may be: what was set in `/ip/service`, otherwise what the behaviour says."""
        rows = self.records.rows("/ip/service").values()
        found = next((row.get("max-sessions") for row in rows if row["name"] == "ssh"), None)
        return found if isinstance(found, int) else self.options.behaviour.max_sessions

    def passwords_allowed(self) -> bool:
        return self.records.settings("/ip/ssh").get("password-authentication", "") != "no"

    def passwords_beside_keys(self) -> bool:
        """Whether a user with a key may come in by password (§5)."""
        found = self.records.settings("/ip/ssh")
        return found.get("password-authentication") == "yes" or found.get("always-allow-password-login") is True

    def change_pool(
        self, *, mounted: bool | None = None, read_only: bool | None = None, state: str | None = None
    ) -> None:
        """What may befall the pool while the appliance runs; between lines, not inside one."""
        with self._lock:
            self.storage.change_pool(mounted=mounted, read_only=read_only, state=state)

    # -- lines -----------------------------------------------------------------------------------------------------

    def run(self, line: str, *, user: str = "admin", before: Hook | None = None, after: Hook | None = None) -> str:
        """Run one console line; the text that the console prints, with CRLF line ends. Bytes that are no UTF-8 are
        in it as `surrogateescape` has them.

        `before` and `after` are called around each statement of this line that changes something; they may run other
        lines, wait (`step_aside`), or raise LineCut: then what the line did stays and its output is lost. Raises
        LineCut also when the appliance reboots or closes under the line.
        """
        started = time.perf_counter()
        output: list[str] = []
        outcome = "cut"
        text = ""
        with self._lock:
            at = self.clock.now()
            self.storage.undo.expire()
            outer, self._threads.line = self._line, _Running(user, before, after, self.boots)
            try:
                self._check_alive()
                self._run(_typed(line), user, output.append)
                outcome = "answered"
            finally:
                self._threads.line = outer
                text = _on_the_wire(output, crlf=self.options.behaviour.crlf)
                self.history.add(
                    at=at, user=user, line=line, output=text, seconds=time.perf_counter() - started, outcome=outcome
                )
        return text

    @property
    def _line(self) -> _Running | None:
        found: _Running | None = getattr(self._threads, "line", None)
        return found

    def _check_alive(self) -> None:
        if self._closed or (self._line is not None and self._line.boot != self.boots):
            raise LineCut

    def _run(self, line: str, user: str, write: Callable[[str], None]) -> None:
        if len(line) > _MAX_LINE:
            write(texts.LINE_TOO_LONG() + "\n")
            return
        environment = self._environments.setdefault(user, {})
        try:
            parsed = self._lines.parse(line, environment.keys())
        except ParseError as error:
            if not self.options.behaviour.parse_whole_line:
                self._interpret(
                    Line(Script(statements_before(line, self.tree, environment.keys()))), environment, write
                )
            write(f"{error}\n")
            return
        self._interpret(parsed, environment, write)

    def _interpret(self, line: Line, environment: dict[str, Value], write: Callable[[str], None]) -> None:
        interpreter = Interpreter(
            device=self,
            grammar=self.tree,
            write=write,
            environment=environment,
            manners=self._manners,
            literals=line.literals,
        )
        try:
            interpreter.run(line.script, Scope(environment))
        except ConsoleError as error:
            write(f"{error.message}\n")
        except (ReturnSignal, QuitSignal, BreakSignal, ContinueSignal):
            return

    # -- console.evaluator.Device ----------------------------------------------------------------------------------

    def call(self, request: Request) -> Value:
        """Run one command of a menu."""
        line = self._line
        self._check_allowed(request, line.user if line else "")
        changes = line.changes if line else 0
        menu = self._menus.get(request.menu)
        try:
            value = self._system_command(request) if menu is None else menu.call(request)
        except OSError as error:  # the host's file system said no: a file that is gone, a disk that is full
            raise ConsoleError(texts.HOST_REFUSED(reason=error.strerror)) from error
        if line and line.changes > changes and line.after is not None:
            line.after(request.path, request.arguments)
        return value

    def _check_allowed(self, request: Request, user: str) -> None:
        behaviour = self.options.behaviour
        if behaviour.enforce_policies and needed_policy(request.menu, request.command) not in self.accounts.policies(
            user
        ):
            raise ConsoleError(texts.NOT_PERMITTED())
        if request.path in behaviour.device_mode_refuses:
            raise ConsoleError(texts.NOT_BY_DEVICE_MODE())

    def _system_command(self, request: Request) -> Value:
        if request.path == "/system/reboot":
            return self._reboot_by_command(request)
        if request.path == "/system/check-installation":
            request.interpreter.write(single({"status": "installation is ok"}))
            return NOTHING
        raise ConsoleError(texts.NOT_SIMULATED(path=request.path))

    def _reboot_by_command(self, request: Request) -> Value:
        self._before(request.path, request.arguments)
        self.reboot(lose_unflushed=False)
        raise LineCut

    def now(self) -> float:
        return self.clock.now()

    def pause(self, seconds: float) -> None:
        """`:delay`, a day at most: others run meanwhile. Raises LineCut after a reboot or a close in between."""
        self._lock.release()
        try:
            self.clock.pause(min(max(seconds, 0.0), _LONGEST_PAUSE))
        finally:
            self._lock.acquire()
        self._check_alive()

    def step_aside(self, until: threading.Event, patience: float | None = None) -> None:
        """For hooks: let other lines run until the event is set, or `patience` seconds are over. Raises as `pause`."""
        self._lock.release()
        try:
            until.wait(patience)
        finally:
            self._lock.acquire()
        self._check_alive()

    def _before(self, path: str, arguments: Mapping[str, Value]) -> None:
        self.mutations += 1
        line = self._line
        if self.before_mutation is not None:
            self.before_mutation(path, arguments)
        if line is not None:
            if line.before is not None:
                line.before(path, arguments)
            line.changes += 1


def manners(options: ApplianceOptions) -> Manners:
    """How the console of an appliance with these options behaves."""
    behaviour = options.behaviour
    return Manners(
        max_steps=behaviour.max_steps,
        suffixes=options.suffixes(),
        width=behaviour.width,
        empty_find_is_silent=behaviour.empty_find_is_silent,
        short_circuit=behaviour.short_circuit,
        raw_as_value=behaviour.raw_as_value,
    )


def _no_server(_kind: str) -> None:
    """Nobody serves SSH, so nobody has a host key."""


def _nothing() -> None:
    """Nobody wants to hear of reboots."""


def _typed(line: str) -> str:
    """The line as bytes, one character each; what is no text at all becomes question marks."""
    try:
        return line.encode(errors="surrogateescape").decode("latin-1")
    except UnicodeEncodeError:
        return line.encode(errors="replace").decode("latin-1")


def _on_the_wire(output: list[str], *, crlf: bool) -> str:
    text = "".join(output).replace("\r\n", "\n")
    text = text.replace("\n", "\r\n") if crlf else text
    return text.encode("latin-1").decode("utf-8", errors="surrogateescape")
