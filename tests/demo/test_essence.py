"""What is shown of a console line: its changing statements, whole, and nothing out of strings or look-ups."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdscsi.demo.essence import essence, readable


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (':put [/disk/get [/disk/find where slot="a"]]', []),
        ('/disk/add type=file slot="a"; :put "x"', ['/disk/add type=file slot="a"']),
        (
            ':if ([:len [/disk/find where slot="a"]]=0) do={/disk/btrfs/subvolume/add name="n"; /disk/add slot="a"}',
            ['/disk/btrfs/subvolume/add name="n"', '/disk/add slot="a"'],
        ),
        (
            '/disk/set [/disk/find where slot="a"] comment=("x;}\\"]" . $zu); /file/remove $zi',
            ['/disk/set [/disk/find where slot="a"] comment=("x;}\\"]" . $zu)', "/file/remove $zi"],
        ),
        (':put "/disk/remove $zi"', []),
        ("/disk/settings/print", []),
    ],
)
def test_the_changing_statements_are_shown_whole(line: str, shown: list[str]) -> None:
    assert essence(line) == shown


@given(st.text(alphabet='/diskadetr "\\;{}[]()', max_size=80))
def test_any_text_has_an_essence_that_is_part_of_it(line: str) -> None:
    assert all(statement in line for statement in essence(line))


def test_locals_are_written_out_for_people() -> None:
    line = ':local zs "v-1"; :local zn "tag \\"x\\""; :set zq [/disk/find where slot=$zs]; /disk/set $zq comment=$zn'
    assert readable(line) == ['/disk/set [it] comment="tag \\"x\\""']
