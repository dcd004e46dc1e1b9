"""What is quoted is read back as the same value by a console that shares no code with the quoting."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rdscsi.routeros.quoting import MAX_VALUE_BYTES, number, quote, yes_no
from rdscsi.simulator import Appliance, ManualClock

PRINTABLE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=MAX_VALUE_BYTES)


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Appliance:
    return Appliance(tmp_path_factory.mktemp("console"), clock=ManualClock())


@given(value=PRINTABLE)
@example(value='"; /system/reset-configuration; "')
@example(value="$[/system/reboot]")
@example(value="$(:put 1)")
@example(value="$zm")
@example(value="\\")
@example(value='\\"$?\\n\\41')
@example(value="a=b and c~d || e")
@example(value="}{;#'`")
@example(value="")
def test_a_quoted_value_is_read_as_itself(console: Appliance, value: str) -> None:
    assert console.run(f':local x {quote(value)}; :put [:typeof $x]; :put ("<" . $x . ">")') == f"str\r\n<{value}>\r\n"


@given(value=PRINTABLE)
def test_a_quoted_value_changes_nothing_on_the_appliance(console: Appliance, value: str) -> None:
    before = console.mutations
    console.run(f":put {quote(value)}")
    assert console.mutations == before


@given(value=st.from_regex(r"[A-Za-z0-9._:#+/=-]{1,64}", fullmatch=True))
def test_a_comment_is_kept_and_found_as_it_was_given(console: Appliance, value: str) -> None:
    slot = "quoted"
    console.run(f'/disk/add type=file slot="{slot}" file-path="pool1/{slot}.img" file-size=1048576')
    console.run(f'/disk/set [find slot="{slot}"] comment={quote(value)}')
    found = f'[:len [/disk/find where slot="{slot}" and comment={quote(value)}]]'
    assert console.run(f":put {found}") == "1\r\n"
    console.run(f'/disk/remove [find slot="{slot}"]')


@given(st.text(min_size=1, max_size=20))
def test_what_is_no_printable_ascii_is_never_sent(value: str) -> None:
    if all(" " <= character <= "~" for character in value):
        assert quote(value)
    else:
        with pytest.raises(ValueError, match="only printable ASCII"):
            quote(value)


def test_a_value_that_is_too_long_is_never_sent() -> None:
    assert quote("x" * MAX_VALUE_BYTES)
    with pytest.raises(ValueError, match="513 bytes is longer than 512"):
        quote("x" * (MAX_VALUE_BYTES + 1))


@given(value=st.integers(0, 2**63 - 1))
@example(value=0)
@example(value=2**63 - 1)
def test_a_number_is_read_as_itself(console: Appliance, value: int) -> None:
    assert console.run(f":local x {number(value)}; :put [:typeof $x]; :put $x") == f"num\r\n{value}\r\n"


@pytest.mark.parametrize("value", [-1, 2**63, 2**70])
def test_a_number_beyond_the_consoles_range_is_refused(value: int) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        number(value)


def test_booleans_are_yes_and_no() -> None:
    assert (yes_no(True), yes_no(False)) == ("yes", "no")
