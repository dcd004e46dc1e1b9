"""What a client sees when something goes wrong, and what is true of the appliance afterwards. No sockets, no real time.

Every kind of fault is here; the SSH server only carries what `Sessions.attempt` says.
"""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from rdscsi.simulator import Appliance, ApplianceOptions, Behaviour, LineCut, ManualClock
from rdscsi.simulator.faults import KINDS, Fault, Faults
from rdscsi.simulator.latency import PROFILES, Latency, LatencyProfile, parse_latency
from rdscsi.simulator.meddling import ACTS, Operator
from rdscsi.simulator.sessions import Attempt, Sessions
from rdscsi.simulator.switches import names, parse, with_switches

MakeAppliance = Callable[..., Appliance]
TWO = "/disk/set pool1 comment=one; :put middle; /disk/set pool1 comment=two; :put end"


@pytest.fixture
def sessions(appliance: Appliance) -> Sessions:
    return Sessions(appliance)


def comment(sessions: Sessions) -> str:
    return sessions.appliance.run(":put [/disk/get pool1 comment]").strip()


def advance(sessions: Sessions, seconds: float) -> None:
    clock = sessions.appliance.clock
    assert isinstance(clock, ManualClock)
    clock.advance(seconds)


def test_without_rules_the_answer_comes(sessions: Sessions) -> None:
    assert sessions.attempt(TWO) == Attempt("middle\r\nend\r\n")
    assert comment(sessions) == "two"


def test_drop_before_runs_nothing(sessions: Sessions) -> None:
    sessions.faults.add("drop-before")
    attempt = sessions.attempt(TWO)
    assert (attempt.reply, attempt.stalled) == (None, False)
    assert comment(sessions) == ""


def test_drop_after_runs_everything(sessions: Sessions) -> None:
    sessions.faults.add("drop-after")
    assert sessions.attempt(TWO).reply is None
    assert comment(sessions) == "two"


def test_a_late_line_runs_when_its_time_has_come(sessions: Sessions) -> None:
    sessions.faults.add(Fault("late", seconds=30), times=1)
    assert sessions.attempt(TWO).reply is None
    assert (comment(sessions), sessions.pending, sessions.next_due()) == ("", 1, 30.0)
    advance(sessions, 29.9)
    assert sessions.run_due() == 0
    advance(sessions, 0.1)
    assert sessions.run_due() == 1
    assert (comment(sessions), sessions.pending, sessions.next_due()) == ("two", 0, None)


def test_late_lines_run_in_the_order_of_their_times_before_the_next_command(sessions: Sessions) -> None:
    sessions.faults.add(Fault("late", seconds=20), nth=1)
    sessions.faults.add(Fault("late", seconds=10), nth=2)
    sessions.attempt("/disk/set pool1 comment=first-sent")
    sessions.attempt("/disk/set pool1 comment=second-sent")
    advance(sessions, 60)
    assert sessions.attempt(":put [/disk/get pool1 comment]").reply == "first-sent\r\n"


def test_a_late_middle_line_stops_before_a_change_and_goes_on_later(sessions: Sessions) -> None:
    sessions.faults.add(Fault("late-middle", seconds=10, mutation=2), times=1)
    assert sessions.attempt(TWO).reply is None
    assert comment(sessions) == "one"
    sessions.attempt("/disk/set pool1 comment=between")
    advance(sessions, 10)
    sessions.run_due()
    assert comment(sessions) == "two"


def test_a_line_that_stands_in_its_middle_does_not_survive_a_reboot(sessions: Sessions) -> None:
    sessions.faults.add(Fault("late-middle", seconds=10, mutation=2), times=1)
    sessions.attempt(TWO)
    sessions.appliance.reboot()
    advance(sessions, 60)
    assert (sessions.run_due(), sessions.pending) == (0, 0)
    assert comment(sessions) == "one"


def test_a_late_line_that_has_not_begun_does_not_survive_a_reboot(sessions: Sessions) -> None:
    sessions.faults.add(Fault("late", seconds=10), times=1)
    sessions.attempt(TWO)
    sessions.appliance.reboot()
    advance(sessions, 60)
    sessions.run_due()
    assert comment(sessions) == ""


@pytest.mark.parametrize(("mutation", "left"), [(1, ""), (2, "one"), (3, "two")])
def test_cut_ends_a_line_for_good_before_a_change(sessions: Sessions, mutation: int, left: str) -> None:
    sessions.faults.add(Fault("cut", mutation=mutation))
    assert sessions.attempt(TWO).reply is None
    assert comment(sessions) == left


def test_error_garbage_and_truncate(sessions: Sessions) -> None:
    sessions.faults.add(Fault("error", text="out of order\r\n"), nth=1)
    sessions.faults.add(Fault("garbage", text="\x07beep "), nth=2)
    sessions.faults.add("truncate", nth=3)
    assert sessions.attempt(TWO).reply == "out of order\r\n"
    assert comment(sessions) == ""
    assert sessions.attempt(TWO).reply == "\x07beep middle\r\nend\r\n"
    assert sessions.attempt(TWO).fragment == "middle"
    assert comment(sessions) == "two"


def test_stalls(sessions: Sessions) -> None:
    sessions.faults.add("stall", nth=1)
    sessions.faults.add("stall-after", nth=2)
    first = sessions.attempt(TWO)
    assert (first.reply, first.stalled, comment(sessions)) == (None, True, "")
    second = sessions.attempt(TWO)
    assert (second.reply, second.stalled, comment(sessions)) == (None, True, "two")


def test_reboot_after_the_line_and_in_its_middle(make_appliance: MakeAppliance) -> None:
    sessions = Sessions(make_appliance(ApplianceOptions(behaviour=Behaviour(config_flush_delay=60))))
    sessions.faults.add("reboot", nth=1)
    sessions.faults.add(Fault("reboot-middle", mutation=2), nth=2)
    for boots in (1, 2):
        attempt = sessions.attempt(TWO)
        assert (attempt.reply, attempt.rebooted, sessions.appliance.boots) == (None, True, boots)
        assert comment(sessions) == ""  # unflushed


def test_a_reboot_in_the_middle_of_a_line_with_fewer_changes_does_not_come(sessions: Sessions) -> None:
    sessions.faults.add(Fault("reboot-middle", mutation=5))
    assert sessions.attempt(TWO).reply == "middle\r\nend\r\n"
    assert sessions.appliance.boots == 0


def test_slow_takes_time_on_the_appliance_clock(sessions: Sessions) -> None:
    sessions.faults.add(Fault("slow", seconds=18), contains="/file")
    before = sessions.appliance.clock.now()
    sessions.attempt(":put x")
    sessions.attempt(":put [:len [/file/find]]")
    assert sessions.appliance.clock.now() - before == 18


def test_parse_error_disk_full_and_refusals(sessions: Sessions) -> None:
    sessions.faults.add("parse-error", nth=1)
    assert sessions.attempt(TWO).reply == "syntax error (line 1 column 1)\r\n"
    sessions.faults.add("disk-full")
    add = "/disk/add type=file slot=a file-path=pool1/a file-size=1M"
    assert "not enough space" in str(sessions.attempt(f":put begun; {add}; :put never").reply)
    assert "never" not in str(sessions.attempt(add).reply)
    assert sessions.attempt(TWO).reply == "middle\r\nend\r\n"
    sessions.faults.clear()
    sessions.attempt(add)
    sessions.faults.add(Fault("refuse", path="/file/remove", text="failure: busy"))
    reply = sessions.attempt("/disk/remove a; /file/remove pool1/a").reply
    assert reply == "failure: busy (/file/remove; line 1)\r\n"
    assert sessions.appliance.run(
        ':put [:len [/disk/find where slot=a]]; :put [:len [/file/find where name="pool1/a"]]'
    ) == ("0\r\n1\r\n")


def test_an_operator_meddles_in_the_middle_of_a_line(sessions: Sessions) -> None:
    sessions.faults.add(Fault("meddle", text="/disk/set pool1 slot=mine", mutation=2), times=1)
    assert "no such item" in str(sessions.attempt(TWO + "; :put [/disk/get pool1 comment]").reply)
    assert sessions.appliance.run(":put [/disk/get mine comment]") == "two\r\n"
    sessions.appliance.run("/disk/add type=file slot=v file-path=pool1/v file-size=1M")
    sessions.faults.add(Fault("meddle", text="/disk/remove v"), contains="slot=v")
    assert "no such item" in str(sessions.attempt("/disk/set [find where slot=v] comment=x").reply)


def test_every_kind_of_fault_is_tried_here(sessions: Sessions) -> None:
    for kind in KINDS:
        rule = sessions.faults.add(Fault(kind, seconds=0.01), times=1)  # type: ignore[arg-type]
        sessions.attempt(TWO)
        assert rule.struck == 1
        sessions.faults.clear()
        sessions.run_due()
    assert sessions.attempt(":put alive").reply == "alive\r\n"


# -- held lines ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("after", "seen"), [(0, ""), (1, "one"), (2, "two"), (None, "two")])
def test_a_held_line_stands_until_it_is_released_and_others_go_on(
    sessions: Sessions, after: int | None, seen: str
) -> None:
    rule = sessions.faults.add(Fault("hold", seconds=30, after=after), times=1)
    answers: list[Attempt] = []
    worker = threading.Thread(target=lambda: answers.append(sessions.attempt(TWO)))
    worker.start()
    while not rule.holds or not rule.holds[0].held.wait(0.01):
        pass
    assert comment(sessions) == seen
    assert sessions.attempt(":put meanwhile").reply == "meanwhile\r\n"
    assert rule.release() == 1
    worker.join(10)
    assert answers[0].reply == "middle\r\nend\r\n"


def test_a_held_line_is_cut_by_a_reboot(sessions: Sessions) -> None:
    rule = sessions.faults.add(Fault("hold", seconds=30, after=1), times=1)
    answers: list[Attempt] = []
    worker = threading.Thread(target=lambda: answers.append(sessions.attempt(TWO)))
    worker.start()
    while not rule.holds or not rule.holds[0].held.wait(0.01):
        pass
    sessions.appliance.reboot()
    worker.join(10)
    assert (answers[0].reply, answers[0].rebooted) == (None, True)
    assert comment(sessions) == "one"


class Interrupting(ManualClock):
    """Time in which something happens as soon as a line waits."""

    happening: Callable[[], object] = lambda: None

    def pause(self, seconds: float) -> None:
        super().pause(seconds)
        self.happening()


@pytest.mark.parametrize("how", ["reboot", "close"])
def test_a_line_that_waits_does_not_survive_a_reboot_or_the_end(tmp_path: Path, how: str) -> None:
    clock = Interrupting()
    appliance = Appliance(tmp_path, clock=clock)
    clock.happening = appliance.reboot if how == "reboot" else appliance.close
    with pytest.raises(LineCut):
        appliance.run("/disk/set pool1 comment=before; :delay 1s; /disk/set pool1 comment=after")
    appliance.close()
    with Appliance(tmp_path, clock=ManualClock()) as again:
        assert again.run(":put [/disk/get pool1 comment]") == "before\r\n"


def test_closing_lets_every_thread_go(sessions: Sessions) -> None:
    sessions.faults.add(Fault("late-middle", seconds=1000, mutation=1), times=1)
    before = threading.active_count()
    sessions.attempt(TWO)
    sessions.close()
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and thread.name.startswith("Thread-"):
            thread.join(10)
    assert threading.active_count() <= before


# -- rules ---------------------------------------------------------------------------------------------------------


def test_rules_count_only_what_they_match() -> None:
    faults = Faults()
    second = faults.add("drop-before", contains="/disk", nth=2)
    long = faults.add("drop-after", contains=lambda line: len(line) > 20, times=1)
    hits = [faults.decide(line) for line in ("/disk/print", "/file/print", "/disk/find", "/file/print" * 3, "x" * 30)]
    assert hits == [None, None, second, long, None]
    assert (second.seen, second.struck, long.seen, long.struck) == (2, 1, 2, 1)


def test_chances_repeat_with_their_seed() -> None:
    def strikes(seed: int) -> list[bool]:
        faults = Faults(seed=seed)
        faults.storm(chance=0.2, kinds=("drop-before", "drop-after", "late"))
        return [faults.decide(":put x") is not None for _ in range(200)]

    assert strikes(7) == strikes(7)
    assert strikes(7) != strikes(8)
    assert 50 < sum(strikes(7)) < 150


def test_clear_lifts_everything() -> None:
    faults = Faults()
    faults.add("stall")
    faults.refuse_connections, faults.mute_connections, faults.banner = True, True, b"x"
    faults.clear()
    assert (faults.decide("x"), faults.refuse_connections, faults.mute_connections, faults.banner) == (
        None, False, False, b"",
    )  # fmt: skip


# -- meddling ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("act", ACTS)
def test_each_act_of_an_operator_does_what_it_says(appliance: Appliance, act: str) -> None:
    appliance.run("/disk/add type=file slot=v file-path=pool1/v file-size=1M comment=tag nvme-tcp-export=yes")
    (before,) = [disk for disk in appliance.storage.disks if disk.type == "file"]
    assert Operator(appliance).act(act, "v") is not None  # type: ignore[arg-type]
    after = appliance.storage.disks.get(before.number)
    exists = appliance.storage.files.find("pool1/v") is not None
    seen = {
        "rename": after is not None and after.slot != "v",
        "comment": after is not None,
        "uncomment": after is not None and after.settings.get("comment") == "",
        "export": after is not None and not after.exported,
        "remove-disk": after is None and exists,
        "remove-file": after is not None and not exists,
        "disable": after is not None and not after.attached,
    }
    assert seen[act]


def test_an_operator_repeats_by_the_seed(make_appliance: MakeAppliance) -> None:
    def lines(name: str) -> list[str | None]:
        appliance = make_appliance(name=name)
        for slot in "abcdef":
            appliance.run(f"/disk/add type=file slot={slot} file-path=pool1/{slot} file-size=1M")
        operator = Operator(appliance, seed=3)
        return [operator.act_at_random() for _ in range(10)]

    assert lines("one") == lines("two")


def test_an_operator_finds_nothing_to_do_on_an_empty_appliance(appliance: Appliance) -> None:
    assert Operator(appliance).act_at_random() is None


# -- latency and switches ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [("none", 0, 0), ("realistic", 0.15, 0.25), ("200", 0.2, 0.2), ("200:50", 0.15, 0.25), ("5:9", 0, 0.014)],
)
def test_latencies_are_spelled(text: str, low: float, high: float) -> None:
    assert parse_latency(text) == LatencyProfile(low, high)


def test_a_latency_that_is_none_is_refused_with_what_would_be_right() -> None:
    with pytest.raises(ValueError, match="expected none, realistic, or milliseconds"):
        parse_latency("quick")


def test_realistic_latencies_stay_in_their_bounds_and_average_200_ms() -> None:
    latency = Latency(PROFILES["realistic"], seed=1)
    samples = [latency.sample() for _ in range(1000)]
    assert all(0.15 <= sample <= 0.25 for sample in samples)
    assert 0.195 < sum(samples) / 1000 < 0.205


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("allocation=sparse", "allocation", "sparse"),
        ("max-slot=40", "max_slot", 40),
        ("crlf=no", "crlf", False),
        ("error-suffix=auto", "error_suffix", None),
        ("pool-flush-delay=2.5", "pool_flush_delay", 2.5),
        ("device-mode-refuses=/disk/add,/file/add", "device_mode_refuses", ("/disk/add", "/file/add")),
    ],
)
def test_switches_are_spelled(text: str, field: str, value: object) -> None:
    assert parse(text) == (field, value)
    assert getattr(with_switches(Behaviour(), [parse(text)]), field) == value


@pytest.mark.parametrize("text", ["allocation=thin", "nonsense=1", "max-slot=many", "crlf", "crlf=true"])
def test_a_wrong_switch_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        parse(text)


def test_every_switch_has_a_name() -> None:
    assert "max-channels" in names()
