"""In the guest: what the kernel says of policies and of the tasks of a command."""

import contextlib
import os
import re
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

SYSFS = Path("/sys/kernel/sched_enoki")
ENOKI = 8  # SCHED_ENOKI
PROGRAMS = Path(os.environ.get("ENOKI_CHECKOUT", ".")) / "out/selftests"


@dataclass(frozen=True)
class Policy:
    """A registered policy."""

    name: str
    id: int

    @property
    def directory(self) -> Path:
        """Where the kernel shows it."""
        return SYSFS / self.name

    def counters(self, file: str = "events") -> dict[str, int]:
        """The counters of one of its files by name."""
        lines = (self.directory / file).read_text().split("\n")
        return {words[0]: int(words[1]) for line in lines if len(words := line.split()) == 2}

    @property
    def state(self) -> str:
        """In office, or what it was ejected for."""
        return (self.directory / "state").read_text().strip()

    @property
    def nr_tasks(self) -> int:
        """How many tasks are attached."""
        return int((self.directory / "nr_tasks").read_text())


def last_error() -> str:
    """Why the latest load or attach was refused."""
    with contextlib.suppress(OSError):
        return (SYSFS / "last_error").read_text().strip()
    return ""


def load(words: str) -> Policy:
    """Loads a policy's module, with parameters if they follow its name, and finds what it registered."""
    module, *params = words.split()
    done = subprocess.run(["modprobe", module, *params], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"modprobe {module}: {done.stderr.strip() or done.returncode}; {last_error()}")
    for directory in sorted(SYSFS.iterdir()):
        if directory.is_dir() and (directory / "module").read_text().strip() == module:
            return Policy(directory.name, int((directory / "id").read_text()))
    raise RuntimeError(f"{module} is loaded, but no policy in {SYSFS} is of it")


def descendants(pid: int) -> list[int]:
    """The process and all below it."""
    found = [pid]
    for at in found:
        for task in Path(f"/proc/{at}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += [int(word) for word in task.read_text().split()]
    return found


def run_time(pid: int) -> int:
    """The CPU time that a process has had, ns."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])


def all_attached(pids: Sequence[int], seconds: float) -> bool:
    """Are all attached to a policy, and has each gone on within so many seconds?"""
    before = {pid: run_time(pid) for pid in pids}
    deadline = time.monotonic() + seconds
    while any(run_time(pid) <= was for pid, was in before.items()):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return all(class_of(pid) == ENOKI for pid in pids)


def class_of(pid: int) -> int | None:
    """The policy number in /proc/PID/sched; None also for the launcher before it is the command."""
    with contextlib.suppress(OSError):
        if Path(f"/proc/{pid}/comm").read_text().strip() == "enoki_run":
            return None
        if found := re.search(r"^policy\s*:\s*(\d+)", Path(f"/proc/{pid}/sched").read_text(), re.M):
            return int(found[1])
    return None


@dataclass
class Ran:
    """A command that ran, and what was seen of it."""

    status: int
    output: str
    classes: set[int] = field(default_factory=set)
    picks: int = 0
    wakeups: int = 0


def launcher(policy: str) -> list[str]:
    """The words that start a command under a policy or class."""
    return [str(PROGRAMS / "enoki_run"), policy]


def run(command: list[str], policy: Policy | None, *, show: bool = False) -> Ran:
    """Runs a command to its end under a policy, or under the default class, and watches it."""
    before = policy.counters() if policy else {}
    argv = [*launcher(policy.name if policy else "other"), *command]
    pipe = None if show else subprocess.PIPE
    with subprocess.Popen(argv, stdout=pipe, stderr=subprocess.STDOUT if pipe else None, text=True) as child:
        ran = Ran(0, "")
        while True:
            # The command itself: enoki_run has become it once it has its class.
            ran.classes |= {seen for pid in descendants(child.pid) if (seen := class_of(pid)) is not None}
            try:
                ran.output = child.communicate(timeout=0.2)[0] or ""
                break
            except subprocess.TimeoutExpired:
                continue
        ran.status = child.returncode
    if policy:
        after = policy.counters()
        ran.picks = after.get("pick_next_task", 0) - before.get("pick_next_task", 0)
        ran.wakeups = after.get("task_wakeup", 0) - before.get("task_wakeup", 0)
    return ran
