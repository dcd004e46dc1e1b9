"""A small operating system for a virtual machine's disk: a boot sector that numbers the sectors behind it.

Once it runs it writes "VM n" to sector n of the disk, for n = 1, 2, …, 62, some each second, and prints a dot for each
on the serial port. So the disk tells how far it came, and whether any write was lost on the way.
"""

SECTOR = 512
LAST = 62
_LOAD = 0x7C00
_BUFFER = 0x7E00
_TICKS = 4  # of the timer, 18.2 a second


def boot_sector() -> bytes:
    """Assemble the boot sector (8086, real mode; the BIOS gives the drive's number in dl)."""
    code = bytearray()
    code += b"\xfa\x31\xc0\x8e\xd8\x8e\xc0\x8e\xd0\xbc\x00\x7c\xfb"  # cli; segments 0; stack below us; sti
    code += b"\xbe\x01\x00"  # mov si, 1: the sector to write
    again = len(code)
    code += b"\xb9" + _word(_TICKS) + b"\xf4\xe2\xfd"  # mov cx, ticks; hlt; loop to the hlt
    code += b"\xc7\x06" + _word(_BUFFER) + b"VM"  # mov word [buffer], "VM"
    code += b"\x89\x36" + _word(_BUFFER + 2)  # mov [buffer + 2], si
    code += b"\x89\xf1\x41\xb5\x00"  # mov cx, si; inc cx; mov ch, 0: cylinder 0, sector si + 1
    code += b"\xb6\x00\xbb" + _word(_BUFFER) + b"\xb8\x01\x03"  # head 0; bx = buffer; ah = 3 (write), al = 1 sector
    code += b"\x52\xcd\x13\x5a"  # push dx; int 13h; pop dx
    code += b"\x52\xba\xf8\x03\xb0\x2e\x73\x02\xb0\x45\xee\x5a"  # '.' to COM1, 'E' where the write failed
    code += b"\x46\x83\xfe" + bytes([LAST + 1])  # inc si; cmp si, last + 1
    back = again - (len(code) + 2)
    code += b"\x72" + back.to_bytes(1, "little", signed=True)  # jb again
    code += b"\xfa\xf4\xeb\xfc"  # cli; hlt; for ever
    return bytes(code).ljust(SECTOR - 2, b"\x00") + b"\x55\xaa"


def _word(value: int) -> bytes:
    return value.to_bytes(2, "little")


def sector(number: int) -> bytes:
    """What the machine writes to a sector."""
    return (b"VM" + _word(number)).ljust(SECTOR, b"\x00")


def disk(count: int) -> bytes:
    """The beginning of the disk after that many sectors were written."""
    return boot_sector() + b"".join(sector(number) for number in range(1, count + 1))
