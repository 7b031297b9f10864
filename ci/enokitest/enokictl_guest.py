"""Runs in the guest: enokictl lists, attaches, upgrades, switches and ejects, and says what is wrong. Prints TAP.

    python3 -m enokitest.enokictl_guest ENOKICTL TEST_MODULES
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from .evidence import SYSFS, all_attached, class_of

SECONDS = 120


class Machine:
    """The tests, in their order."""

    def __init__(self, enokictl: str, modules: str) -> None:
        self.enokictl = enokictl
        self.modules = Path(modules)
        self.hogs: list[subprocess.Popen[bytes]] = []

    def says(self, *args: str, status: int = 0, words: tuple[str, ...] = ()) -> bool:
        """Does it end like that, and say these words?"""
        done = subprocess.run([self.enokictl, *args], capture_output=True, text=True, timeout=SECONDS, check=False)
        said = done.stdout + done.stderr
        good = done.returncode == status and all(word in said for word in words)
        if not good:
            print(f"# enokictl {' '.join(args)}: status {done.returncode}", *said.splitlines(), sep="\n# ", flush=True)
        return good

    def module(self, name: str) -> str:
        """The file of a module to test with."""
        return str(self.modules / f"{name}.ko")

    def all_attached(self) -> bool:
        """Are all hogs attached, and does each go on?"""
        return all_attached([hog.pid for hog in self.hogs], SECONDS)

    def lists(self) -> bool:
        """It shows what is registered."""
        return self.says("list", words=("NAME", "relay", "61", "in office", "-"))

    def attaches(self) -> bool:
        """Tasks that run already, and commands of its own."""
        hog = ["chrt", "--other", "0", "sh", "-c", "while :; do :; done"]
        self.hogs = [subprocess.Popen(hog) for _ in range(4)]
        pids = [str(hog.pid) for hog in self.hogs]
        command = "grep -q '^policy *: *8' /proc/self/sched"
        return self.says("attach", "relay", *pids) and self.says("run", "relay", "sh", "-c", command) and self.all_attached()

    def upgrades(self) -> bool:
        """To a version from a file; the old one's module goes."""
        words = ("version 1 (enoki_relay_1) replaced by version 2 (enoki_relay_2), which knows what it knew", "is removed")
        return self.says("upgrade", "relay", self.module("enoki_relay_2"), words=words) and self.all_attached()

    def keeps(self) -> bool:
        """The old version may stay, and be taken back."""
        return (
            self.says("upgrade", "--keep", "relay", self.module("enoki_relay_1"), words=("by version 1",))
            and self.says("list", words=("2 (enoki_relay_2)",))
            and self.says("upgrade", "relay", words=("by version 2", "module enoki_relay_1 is removed"))
            and self.all_attached()
        )

    def refused(self) -> bool:
        """A version that knows something else is not loaded afterwards, and both are named."""
        words = ("version 2 has the state relay version 1", "version 3 takes over relay version 1")
        return (
            self.says("upgrade", "relay", self.module("enoki_relay_3"), status=1, words=words)
            and not Path("/sys/module/enoki_relay_3").exists()
            and self.all_attached()
        )

    def switches(self) -> bool:
        """Some of the tasks, and all of them, to another policy and back."""
        pids = [hog.pid for hog in self.hogs]
        numbers = [os.sched_getparam(pid).sched_priority for pid in pids]
        if not self.says("switch", "relay", "fresh", "--tasks", "3", words=("policy fresh has 3",)):
            return False
        moved = sum(os.sched_getparam(pid).sched_priority != was for pid, was in zip(pids, numbers, strict=True))
        return (
            moved == 3
            and self.says("switch", "relay", "fresh", words=("policy fresh has 4",))
            and self.all_attached()
            and self.says("switch", "fresh", "relay", words=("policy relay has 4",))
            and self.says("switch", "relay", "relay", status=1, words=("there already",))
            and self.says("switch", "relay", "nobody", status=1, words=("no policy nobody is registered",))
            and self.all_attached()
        )

    def canaries(self) -> bool:
        """A version is tried on a share of the tasks, on a control group, called off, and promoted."""
        new, side = self.module("enoki_relay_1"), ("relay-canary", "wake-up latency p99", "in office")
        group = Path("/sys/fs/cgroup/tried")
        group.mkdir()
        (group / "cgroup.procs").write_text(str(self.hogs[0].pid))
        good = (
            self.says("canary", "relay", status=1, words=("no version is tried",))
            and self.says("promote", "relay", status=1, words=("no version is tried",))
            and self.says("canary", "relay", new, "--share", "101%", status=2)
            and self.says("canary", "relay", new, "--share", "50%", words=side)
            and self.attached_to("relay-canary") == 2
            and self.says("canary", "relay", "--share", "25%", words=side)
            and self.attached_to("relay-canary") == 1
            and self.says("canary", "relay", words=side)
            and self.says("canary", "relay", new, status=1, words=("tried already",))
            and self.says("abort", "relay", words=("all of its tasks again", "enoki_relay_1 is removed"))
            and self.attached_to("relay") == 4
            and self.says("canary", "relay", new, "--cgroup", "/nowhere", status=1, words=("no control group",))
            and self.says("canary", "relay", "--cgroup", str(group), words=side)
            and self.attached_to("relay-canary") == 1
            and self.says("promote", "relay", words=("replaced by version 1", "module enoki_relay_2 is removed"))
            and self.attached_to("relay") == 4
            and self.all_attached()
        )
        Path("/sys/fs/cgroup/cgroup.procs").write_text(str(self.hogs[0].pid))
        group.rmdir()
        return good

    def attached_to(self, policy: str) -> int:
        """How many hogs that policy has."""
        number = int((SYSFS / policy / "id").read_text())
        return sum(os.sched_getparam(hog.pid).sched_priority == number for hog in self.hogs)

    def wrong(self) -> bool:
        """What is asked for in error is said in words."""
        return (
            self.says("upgrade", "relay", status=1, words=("no other version stands by",))
            and self.says("upgrade", "nobody", status=1, words=("no policy nobody is registered",))
            and self.says("upgrade", "relay", "/nowhere.ko", status=1, words=("/nowhere.ko",))
            and self.says("attach", "relay", "0x", status=2)
            and self.says("attach", "relay", str(2**22), status=1, words=("cannot be attached",))
        )

    def detaches(self) -> bool:
        """Tasks go back to the default class."""
        hog = self.hogs.pop()
        good = self.says("detach", str(hog.pid)) and class_of(hog.pid) == 0
        hog.kill()
        return good

    def ejects(self) -> bool:
        """And so does everybody."""
        good = self.says("eject", "relay") and self.says("list", words=("ejected: request",))
        deadline = time.monotonic() + SECONDS
        while int((SYSFS / "relay/nr_tasks").read_text()) and time.monotonic() < deadline:
            time.sleep(0.05)
        return good and all(class_of(hog.pid) == 0 for hog in self.hogs)


def main() -> int:
    """The command line."""
    machine = Machine(*sys.argv[1:])
    # Above whatever it attaches, and so is enokictl.
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))
    for module in ("enoki_relay_1", "enoki_fresh_1"):
        subprocess.run(["insmod", machine.module(module)], check=True)
    tests: list[tuple[str, Callable[[], bool]]] = [
        ("lists policies", machine.lists),
        ("attaches tasks", machine.attaches),
        ("upgrades", machine.upgrades),
        ("keeps the old version", machine.keeps),
        ("undoes what is refused", machine.refused),
        ("switches policies", machine.switches),
        ("tries a version", machine.canaries),
        ("says what is wrong", machine.wrong),
        ("detaches tasks", machine.detaches),
        ("ejects", machine.ejects),
    ]
    print("TAP version 13", f"1..{len(tests)}", sep="\n", flush=True)
    failures = 0
    for number, (name, test) in enumerate(tests, 1):
        good = test()
        failures += not good
        print(f"{'ok' if good else 'not ok'} {number} enokictl {name}", flush=True)
    for hog in machine.hogs:
        hog.kill()
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
