"""The formats of booting: an archive that is read back, a kernel found in its image."""

import lzma
import stat

from hypothesis import given
from hypothesis import strategies as st

from lab.archive import Entry, find_vmlinux, render_cpio

NAMES = st.from_regex(r"[a-z0-9_./-]{1,40}", fullmatch=True)
ENTRIES = st.lists(
    st.builds(Entry, NAMES, st.none() | st.binary(max_size=100), st.booleans()),
    max_size=6,
    unique_by=lambda it: it.name,
)


def parse(archive: bytes) -> list[tuple[str, int, bytes]]:
    """Read an archive as the kernel does: name, mode and content of each entry."""
    position = 0
    found: list[tuple[str, int, bytes]] = []
    while True:
        assert archive[position : position + 6] == b"070701"
        fields = [int(archive[position + 6 + 8 * n : position + 14 + 8 * n], 16) for n in range(13)]
        mode, size, name_size = fields[1], fields[6], fields[11]
        name = archive[position + 110 : position + 110 + name_size - 1].decode()
        start = -(-(position + 110 + name_size) // 4) * 4
        if name == "TRAILER!!!":
            return found
        found.append((name, mode, archive[start : start + size]))
        position = -(-(start + size) // 4) * 4


@given(ENTRIES)
def test_an_archive_holds_what_was_put_in(entries: list[Entry]) -> None:
    archive = render_cpio(entries)
    assert len(archive) % 4 == 0
    assert parse(archive) == [(entry.name, entry.mode, entry.content or b"") for entry in entries]


def test_directories_and_programs_have_their_modes() -> None:
    assert Entry("bin").mode == stat.S_IFDIR | 0o755
    assert Entry("init", b"", executable=True).mode == stat.S_IFREG | 0o755
    assert Entry("order", b"").mode == stat.S_IFREG | 0o644


def image(payload: bytes, sectors: int = 3) -> bytes:
    """A bzImage as far as it is looked at: setup sectors, then the payload at an offset."""
    head = bytearray((sectors + 1) * 512)
    head[0x1F1] = sectors
    head[0x248:0x24C] = (16).to_bytes(4, "little")
    head[0x24C:0x250] = len(payload).to_bytes(4, "little")
    return bytes(head) + bytes(16) + payload + b"rest"


def test_the_kernel_is_found_inside_its_image() -> None:
    kernel = b"\x7fELF" + bytes(range(256)) * 40
    assert find_vmlinux(image(lzma.compress(kernel, format=lzma.FORMAT_XZ))) == kernel


def test_what_is_not_understood_is_left_as_it_is() -> None:
    assert find_vmlinux(image(b"\x02!L\x18 another compression")) is None
    assert find_vmlinux(image(lzma.compress(b"no kernel", format=lzma.FORMAT_XZ))) is None
