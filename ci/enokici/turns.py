"""Has the CPUs of a guest under icount take short turns.

QEMU runs them one after the other, and each until its share of the time to the next timer is
over: some 300 us, where nothing but ticks is due. For so long no CPU sees what another one has
done, and a latency of some us can't be measured. Here a timer of the HPET, which the guest's
kernel leaves alone, expires every few us. Instead of an interrupt it sends a message, as PCI
devices do, to an address where nothing is: the guest does not notice.
"""

import contextlib
import socket
import threading
from pathlib import Path

KERNEL_ARGUMENT = "hpet=disable"
HPET = 0xFED00000
TICKS_A_US = 100
# Registers, and what is set in them.
ENABLE, ENABLED = HPET + 0x10, 1
CONFIG, COMPARATOR, MESSAGE, ADDRESS = HPET + 0x100, HPET + 0x108, HPET + 0x110, HPET + 0x114
INTERRUPT, PERIODIC, SET_PERIOD, BY_MESSAGE = 1 << 2, 1 << 3, 1 << 6, 1 << 14
# A register that there is not.
NOWHERE = HPET + 0x3F0


def arguments(path: Path) -> list[str]:
    """QEMU's, so that it can be told."""
    return ["-qtest", f"unix:{path},server=on,wait=off", "-qtest-log", "/dev/null"]


def registers(period_us: int) -> list[tuple[int, int]]:
    """What to write where, in order."""
    return [
        (ADDRESS, NOWHERE),
        (MESSAGE, 0),
        (CONFIG, INTERRUPT | PERIODIC | SET_PERIOD | BY_MESSAGE),
        (COMPARATOR, period_us * TICKS_A_US),
        (ENABLE, ENABLED),
    ]


def shorten(path: Path, begun: Path, ended: threading.Event, period_us: int) -> None:
    """Once the guest has begun with its command, a timer of that period; not if it has ended."""
    while not begun.exists():
        if ended.wait(0.05):
            return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as qtest:
        qtest.connect(str(path))
        stream = qtest.makefile("rw", encoding="ascii")
        for address, value in registers(period_us):
            stream.write(f"writel {address:#x} {value:#x}\n")
            stream.flush()
            stream.readline()
