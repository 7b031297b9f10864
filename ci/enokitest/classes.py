"""The classes that a benchmark compares, and how a program is started in each; used in the guest."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SCX_STATE = Path("/sys/kernel/sched_ext/state")
SECONDS = 60


@dataclass(frozen=True)
class Class:
    """One of them."""

    name: str
    # What enoki_run takes.
    policy: str
    # What is loaded for it: a module, with its parameters, or a scheduler of sched_ext.
    module: tuple[str, ...] = ()
    scx: str = ""


EEVDF = Class("EEVDF", "other")
RR = Class("SCHED_RR", "rr")
FIFO = Class("enoki_fifo", "fifo", ("enoki_fifo",))
WFQ = Class("enoki_wfq", "wfq", ("enoki_wfq",))
SIMPLE = Class("scx_simple", "other", scx="scx_simple")
CENTRAL = Class("scx_central", "other", scx="scx_central")
CONTROLS = (EEVDF, RR, FIFO, WFQ, SIMPLE, CENTRAL)


def _await_scx(state: str) -> None:
    deadline = time.monotonic() + SECONDS
    while SCX_STATE.read_text().strip() != state:
        if time.monotonic() > deadline:
            raise TimeoutError(f"sched_ext is not {state} after {SECONDS} s")
        time.sleep(0.01)


@contextlib.contextmanager
def ready(cls: Class) -> Iterator[list[str]]:
    """Loads what the class needs; gives the words that go before a command, and unloads it again.

    ENOKI_PROGRAMS and ENOKI_SCX say where enoki_run and the schedulers of sched_ext are.
    """
    if cls.module:
        subprocess.run(["modprobe", *cls.module], check=True)
    scheduler = None
    if cls.scx:
        program = Path(os.environ["ENOKI_SCX"]) / cls.scx
        scheduler = subprocess.Popen([program], stdout=subprocess.DEVNULL)
        _await_scx("enabled")
    try:
        yield [f"{os.environ['ENOKI_PROGRAMS']}/enoki_run", cls.policy]
    finally:
        if scheduler:
            scheduler.send_signal(signal.SIGINT)
            scheduler.wait(SECONDS)
            _await_scx("disabled")
        if cls.module:
            subprocess.run(["rmmod", cls.module[0]], check=True)
