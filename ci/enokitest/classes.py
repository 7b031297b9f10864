"""The classes that a benchmark compares, and how a program is started in each; used in the guest."""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from enokici.common import CHECKOUT

CGROUPS = Path("/sys/fs/cgroup")
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
    # What the program is told besides.
    arguments: tuple[str, ...] = ()
    # By a control group, these CPUs only.
    cpus: str = ""


def from_json(words: dict[str, Any]) -> Class:
    """One that has been through JSON."""
    return Class(**{name: tuple(word) if isinstance(word, list) else word for name, word in words.items()})


def environment(programs: Path, scx: Path) -> dict[str, str]:
    """What the guest needs to know: where enoki_run and the schedulers of sched_ext are."""
    return {
        "PYTHONPATH": str(CHECKOUT / "ci"), "PYTHONDONTWRITEBYTECODE": "1",
        "ENOKI_PROGRAMS": str(programs), "ENOKI_SCX": str(scx),
    }  # fmt: skip


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


def in_group(group: Path) -> list[str]:
    """The words that start a command in a control group."""
    return ["sh", "-c", f'echo $$ >{group}/cgroup.procs && exec "$@"', "sh"]


def confined_to(cpus: str) -> list[str]:
    """The words that start a command in a control group that has these CPUs."""
    group = CGROUPS / f"cpus{cpus}"
    (CGROUPS / "cgroup.subtree_control").write_text("+cpuset")
    group.mkdir(exist_ok=True)
    (group / "cpuset.cpus").write_text(cpus)
    return in_group(group)


@contextlib.contextmanager
def ready(cls: Class) -> Iterator[list[str]]:
    """Loads what the class needs; gives the words that go before a command, and unloads it again."""
    if cls.module:
        subprocess.run(["modprobe", *cls.module], check=True)
    scheduler = None
    if cls.scx:
        program = Path(os.environ["ENOKI_SCX"]) / cls.scx
        scheduler = subprocess.Popen([program], stdout=subprocess.DEVNULL)
        _await_scx("enabled")
    words = [f"{os.environ['ENOKI_PROGRAMS']}/enoki_run", cls.policy]
    try:
        yield [*confined_to(cls.cpus), *words] if cls.cpus else words
    finally:
        if scheduler:
            scheduler.send_signal(signal.SIGINT)
            scheduler.wait(SECONDS)
            _await_scx("disabled")
        if cls.module:
            subprocess.run(["rmmod", cls.module[0]], check=True)


def each(given: str, measure: Callable[[Class], None]) -> int:
    """Measures the classes of a list in JSON; says of which this failed, and gives the exit status."""
    status = 0
    for cls in map(from_json, json.loads(given)):
        try:
            measure(cls)
        except (OSError, subprocess.SubprocessError, TimeoutError) as error:
            print(f"{cls.name}: {error}", flush=True)
            status = 1
    return status


def show(cls: Class, lines: str) -> None:
    """Prints {"class": NAME, …} for each line of JSON."""
    for line in lines.splitlines():
        print(json.dumps({"class": cls.name, **json.loads(line)}), flush=True)
