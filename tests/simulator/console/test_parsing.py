"""What parses, what does not, and where the error is said to be: 1-based bytes, and nothing of such a line runs."""

from pathlib import Path

import pytest

from rdscsi.simulator import Appliance, ApplianceOptions
from rdscsi.simulator.console.failures import ParseError
from rdscsi.simulator.console.parser import parse_line, parse_source
from rdscsi.simulator.console.syntax import MenuCall
from rdscsi.simulator.menus.tree import Tree

TREE = Tree("7.24.4")
TREE_OF_7_21 = Tree("7.21.5")


def refusal(line: str, tree: Tree = TREE) -> str:
    with pytest.raises(ParseError) as refused:
        parse_line(line, tree)
    return str(refused.value)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (":put (1 +", "syntax error (line 1 column 10)"),
        (':put "open', "expected closing quote (line 1 column 11)"),
        (":put [:put 1", "expected closing bracket (line 1 column 13)"),
        ("{ :put 1", "expected closing brace (line 1 column 9)"),
        (":put (1 . 2", "expected closing parenthesis (line 1 column 12)"),
        (":put 1 2", "expected end of command (line 1 column 8)"),
        (":put 1}", "expected end of command (line 1 column 7)"),
        (":", "expected command name (line 1 column 2)"),
        ("/disk/add type=file slot=a bogus=1", "bad parameter bogus (line 1 column 28)"),
        ("/disk/print bogus", "bad parameter bogus (line 1 column 18)"),
        ("/disk/set pool1 mount-filesystem=true", "syntax error (line 1 column 34)"),
        ("/disk/set pool1 mount-filesystem=1", "syntax error (line 1 column 34)"),
        ('/disk/set pool1 comment="\\q"', "syntax error (line 1 column 27)"),
        (':put "\\0a"', "syntax error (line 1 column 8)"),
        (':put "\\;"', "syntax error (line 1 column 8)"),
        (':put "\\}"', "syntax error (line 1 column 8)"),
        (":set nobody 1", "syntax error (line 1 column 6)"),
        (":put {}", "syntax error (line 1 column 8)"),
        (":put (1;2)", "syntax error (line 1 column 8)"),
        (":put 'x'", "syntax error (line 1 column 6)"),
        ("/disk/nope", "bad command name nope (line 1 column 7)"),
    ],
)
def test_refusals_name_their_column(line: str, reason: str) -> None:
    assert refusal(line) == reason


def test_bytes_beyond_ascii_break_a_line() -> None:
    line = '{ :put "\xc3\xa4" }'
    assert refusal(line) == "expected closing brace (line 1 column 9)"


def test_columns_count_bytes_and_lines_count() -> None:
    assert refusal(":put 1\n:put (2") == "expected closing parenthesis (line 2 column 8)"


def test_an_argument_of_a_newer_version_is_unknown_to_an_older_one() -> None:
    line = '/disk/set pool1 nvme-tcp-server-nqn="nqn.x"'
    parse_line(line, TREE_OF_7_21)
    assert refusal(line, Tree("7.20.8")) == "expected end of command (line 1 column 17)"


def test_names_may_be_abbreviated_while_they_are_unambiguous() -> None:
    (statement,) = parse_source("/sys res pr", TREE).statements
    assert isinstance(statement, MenuCall)
    assert statement.path == "/system/resource/print"
    assert refusal("/disk/re pool1").startswith("bad command name re")  # remove, repair, reset, reset-counters


def test_a_path_alone_changes_the_menu_of_what_follows_in_its_block() -> None:
    script = parse_line("/disk; { /file; print }; print", TREE)
    assert str(script).count("menu='/disk'") == 1
    assert "menu='/file'" in str(script)


def test_a_relative_path_goes_up_with_two_dots() -> None:
    script = parse_line("/disk/btrfs/subvolume; .. filesystem print", TREE)
    assert "menu='/disk/btrfs/filesystem'" in str(script)


def test_inside_brackets_commands_start_at_the_menu_around_them() -> None:
    script = parse_line("/disk/set [find where slot=pool1] comment=x", TREE)
    assert str(script).count("menu='/disk'") == 2


def test_comments_and_empty_statements_are_nothing() -> None:
    assert parse_line("; ;# all of this ; is comment", TREE).statements == ()


def test_nothing_of_a_line_with_a_parse_error_runs(appliance: Appliance) -> None:
    assert appliance.run(":put begun; /disk/set pool1 comment=x; :put (") == "syntax error (line 1 column 46)\r\n"
    assert appliance.run(":put [/disk/get pool1 comment]") == "\r\n"


def test_an_unknown_name_left_of_another_error_is_told_first(appliance: Appliance) -> None:
    assert appliance.run("/disk/frob; :put (").strip() == "bad command name frob (line 1 column 7)"


def test_a_line_longer_than_the_console_takes_is_refused(appliance: Appliance) -> None:
    assert appliance.run(":put " + "x" * 65531) == "max line length 65535 exceeded!\r\n"
    assert appliance.run(f':put "{"x" * 65000}"') == "x" * 65000 + "\r\n"


def test_deep_nesting_is_refused_instead_of_exhausting_the_stack(appliance: Appliance) -> None:
    for opener in "([{":
        assert "syntax error" in appliance.run(":put " + opener * 5000)
    assert "syntax error" in appliance.run(":put (1" + "<<1" * 5000 + ")")
    assert appliance.run(":put [:len (1" + " . 1" * 5000 + ")]") == "5001\r\n"
    assert appliance.run(":put (1" + " + 1" * 5000 + ")") == "5001\r\n"
    assert appliance.run(":put [:len [/disk/find where " + "slot=pool1 " * 3000 + "]]") == "1\r\n"
    assert appliance.run(':put [:len [:parse "(1' + " + 1" * 3000 + ')"]]').strip().isdigit()
    assert appliance.run(":put " + "(" * 40 + "1" + ")" * 40) == "1\r\n"


def test_an_empty_value_in_the_middle_of_a_line_breaks_it(appliance: Appliance) -> None:
    assert appliance.run("/system/note/set note= show-at-login=no").startswith("expected end of command")
    assert appliance.run('/system/note/set note="" show-at-login=no') == ""


def test_files_as_disks_are_unknown_to_7_16(tmp_path: Path) -> None:
    with Appliance(tmp_path, ApplianceOptions(version="7.16.2")) as appliance:
        answer = appliance.run("/disk/add type=file file-path=pool1/a file-size=1M slot=a")
        assert answer == "expected end of command (line 1 column 21)\r\n"
        assert appliance.run("/disk/btrfs/subvolume/print").startswith("syntax error")
