"""Console over a transport in memory: what is raised, what is logged, what the observer is told."""

from collections.abc import Callable, Iterator

import pytest
import trio

from rdscsi.errors import DeviceUnavailable, OutcomeUnknown
from rdscsi.routeros.console import Console, Outcome, ParseRefused, RunTimeRefused
from rdscsi.routeros.redaction import redact
from rdscsi.routeros.transport import AnswerLost, TransportStatistics
from rdscsi.testing.logbook import Logbook, open_logbook

N = "0123456789abcdef"


@pytest.fixture
def log() -> Iterator[Logbook]:
    with open_logbook() as book:
        yield book


class Scripted:
    """A transport that answers from a function, and keeps what it was asked."""

    def __init__(self, answer: Callable[[str], str]) -> None:
        self._answer = answer
        self.asked: list[tuple[str, float]] = []

    async def run(self, line: str, *, deadline: float) -> str:
        self.asked.append((line, deadline))
        await trio.lowlevel.checkpoint()
        return self._answer(line)

    def statistics(self) -> TransportStatistics:
        return TransportStatistics()


class World:
    """A console over a scripted transport, and what its observer was told."""

    def __init__(self, answer: Callable[[str], str]) -> None:
        self.told: list[tuple[str, Outcome]] = []
        self.transport = Scripted(answer)
        self.console = Console(self.transport, nonces=lambda: N, on_command=self._note)

    def _note(self, line: str, duration: float, outcome: Outcome) -> None:
        assert duration >= 0
        self.told.append((line, outcome))


def printing(*lines: str) -> World:
    return World(lambda _: "".join(f"{line}\n" for line in lines))


def losing(*lines: str) -> World:
    def lose(_: str) -> str:
        raise AnswerLost("gone", "\n".join(lines))

    return World(lose)


async def test_success_gives_the_payload() -> None:
    world = printing(f"{N}B", "I {}", "", f"{N}D")
    reply = await world.console.execute(":put 1", deadline=7)
    assert reply.lines == ("I {}", "")
    assert reply.sent_at <= reply.received_at
    assert world.transport.asked[0][1] == 7
    assert world.told == [(":put 1", Outcome.DONE)]


async def test_a_run_time_error_keeps_what_was_printed_before_it() -> None:
    world = printing(f"{N}B", "U 00:10:00", f"{N}Efailure: no (/disk/add; line 1)", f"{N}D")
    with pytest.raises(RunTimeRefused, match="failure: no") as caught:
        await world.console.execute(":put 1", deadline=1)
    assert caught.value.text == "failure: no (/disk/add; line 1)"
    assert caught.value.reply.lines == ("U 00:10:00",)
    assert world.told == [(":put 1", Outcome.RUN_TIME_ERROR)]


async def test_a_parse_error_is_told_apart() -> None:
    world = printing("bad parameter x (line 1 column 45)")
    with pytest.raises(ParseRefused, match="column 2 of the body") as caught:
        await world.console.execute(":put 1", deadline=1)
    assert caught.value.column == 2
    assert world.told == [(":put 1", Outcome.PARSE_ERROR)]


@pytest.mark.parametrize("printed", [[], ["hello"], [f"{N}B", "interrupted"]])
async def test_an_unclear_answer_leaves_the_outcome_unknown(printed: list[str]) -> None:
    world = printing(*printed)
    with pytest.raises(OutcomeUnknown):
        await world.console.execute(":put 1", deadline=1)
    assert world.told == [(":put 1", Outcome.UNKNOWN)]


async def test_a_line_that_never_left_stays_unavailable() -> None:
    def refuse(_: str) -> str:
        raise DeviceUnavailable("no route")

    world = World(refuse)
    with pytest.raises(DeviceUnavailable, match="no route"):
        await world.console.execute(":put 1", deadline=1)
    assert world.told == [(":put 1", Outcome.UNAVAILABLE)]


async def test_a_lost_answer_with_its_end_in_it_is_whole() -> None:
    reply = await losing(f"{N}B", "I {}", f"{N}D").console.execute(":put 1", deadline=1)
    assert reply.lines == ("I {}",)
    with pytest.raises(RunTimeRefused, match="no space"):
        await losing(f"{N}B", f"{N}Eno space", f"{N}D", "").console.execute(":put 1", deadline=1)


@pytest.mark.parametrize(
    "partial", [[], [f"{N}B", "I {}"], [f"{N}B", f"{N}Eno sp"], ["syntax error (line 1 column 9)"]]
)
async def test_a_lost_answer_without_its_end_is_unknown(partial: list[str]) -> None:
    with pytest.raises(AnswerLost, match="gone"):
        await losing(*partial).console.execute(":put 1", deadline=1)


async def test_what_must_not_be_sent_is_not_sent() -> None:
    world = printing()
    for body in ("", "a\nb", "x" * 4096, "é"):
        with pytest.raises(ValueError, match="line"):
            await world.console.execute(body, deadline=1)
    assert world.transport.asked == []


async def test_a_cancelled_line_is_told_as_cancelled(autojump_clock: trio.testing.MockClock) -> None:
    class Silent(Scripted):
        async def run(self, line: str, *, deadline: float) -> str:
            await trio.sleep_forever()
            raise AssertionError

    told: list[Outcome] = []
    console = Console(Silent(str), on_command=lambda line, duration, outcome: told.append(outcome))
    with trio.move_on_after(1):
        await console.execute(":put 1", deadline=60)
    assert told == [Outcome.CANCELLED]


async def test_every_line_gets_a_nonce_of_its_own() -> None:
    def obey(line: str) -> str:
        nonce = line.split('"')[1][:-1]
        return f"{nonce}B\npong\n{nonce}D\n"

    transport = Scripted(obey)
    console = Console(transport)
    await console.ping(deadline=1)
    await console.ping(deadline=1)
    assert len({line for line, _ in transport.asked}) == 2


async def test_one_log_line_tells_of_each_command_without_its_secrets(log: Logbook) -> None:
    world = printing(f"{N}B", f"{N}Einvalid value for argument password", f"{N}D")
    with pytest.raises(RunTimeRefused):
        await world.console.execute('/disk/set 0 nvme-tcp-server-password="hush \\" hush" slot="s"', deadline=1)
    (event,) = log.events()
    assert event["event"] == "console"
    assert event["line"] == '/disk/set 0 nvme-tcp-server-password=[removed] slot="s"'
    assert world.told[0][0] == '/disk/set 0 nvme-tcp-server-password=*** slot="s"'
    assert event["outcome"] == "run-time-error"
    assert "hush" not in log.text + str(world.told)


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ('/user/add name="a" password="b"', '/user/add name="a" password=***'),
        ("set secret=abc; :put 1", "set secret=***; :put 1"),
        ('set private-key = "x', "set private-key = ***"),
        ('set comment="my password is fine"', 'set comment="my password is fine"'),
        ('where slot="monkey" and monkey="x"', 'where slot="monkey" and monkey="x"'),
    ],
)
def test_secrets_are_taken_out_by_the_name_of_their_property(line: str, shown: str) -> None:
    assert redact(line) == shown
