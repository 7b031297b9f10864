"""Runs in the guest: several senders at once, all counted on both sides. Prints TAP.

    python3 -m enokitest.overlap_guest ECHO.ko BUILT COUNT

COUNT hints in all go to the policy enoki_echo and are answered. Each sender is a process of its own,
see userspace/enoki-client/examples/overlap.rs; its two threads are on two CPUs, and on each CPU is a
task that spins, so that there are always ticks. All are attached to the policy: in the default class
the senders would get only what those tasks must leave. What the senders say they got is compared
with what the class counts for each of them, with the calls that it made, and with what the policy
counts itself.
"""

import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .evidence import ENOKI, SYSFS, Policy, last_error

ECHO = Policy("echo", 70)
SENDERS = 4
CPUS = 2
SECONDS = 6000.0
# What the policy is asked for: how many hints it has answered.
OP_COUNT = 6
# Nobody is to be rescued or ejected because the host had no time for the guest.
PATIENT = {"timeout_ms": "60000", "max_hold_ms": "60000"}
SPIN = ["sh", "-c", "while :; do :; done"]


@dataclass(frozen=True)
class Counts:
    """What the class has counted for a client."""

    hints: int
    refused: int
    messages: int
    dropped: int


def clients() -> dict[int, Counts]:
    """Those of all clients, by their processes."""
    lines = (ECHO.directory / "clients").read_text().splitlines()
    rows = [[int(word) for word in line.split()] for line in lines]
    return {pid: Counts(*counts) for _, pid, *counts in rows}


def attach(tid: int, cpu: int) -> None:
    """Makes a thread a task of the policy, on one CPU."""
    os.sched_setaffinity(tid, {cpu})
    os.sched_setscheduler(tid, ENOKI, os.sched_param(ECHO.id))


class Sender:
    """A process that sends and receives."""

    def __init__(self, program: Path, number: int, count: int) -> None:
        self.number, self.count = number, count
        self.process = subprocess.Popen(
            [program, str(number), str(count)],
            bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def line(self, deadline: float) -> str:
        """The next line that it says."""
        assert self.process.stdout is not None
        left = max(0.0, deadline - time.monotonic())
        if not select.select([self.process.stdout], [], [], left)[0]:
            return f"sender {self.number}: has not ended, the class has counted {clients().get(self.process.pid)}"
        return self.process.stdout.readline().decode(errors="replace").strip()

    def attach(self, cpus: list[int]) -> None:
        """The thread that sends goes to one CPU and the one that receives to the next."""
        pid = self.process.pid
        for tid in sorted(int(path.name) for path in Path(f"/proc/{pid}/task").iterdir()):
            attach(tid, cpus[(self.number + (tid != pid)) % CPUS])

    def begin(self) -> None:
        """It was waiting for this."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"\n")

    def end(self) -> None:
        """It goes, if it has done what it should."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextmanager
def spinning(cpus: list[int]) -> Iterator[None]:
    """On each CPU there is a task of the policy that never sleeps."""
    tasks = [subprocess.Popen(SPIN) for _ in cpus]
    try:
        for task, cpu in zip(tasks, cpus, strict=True):
            attach(task.pid, cpu)
        yield
    finally:
        for task in tasks:
            task.kill()
            task.wait()


def answered(built: Path) -> int:
    """How many hints the policy has answered, by its own count."""
    os.environ["ENOKI_CLIENT_LIBRARY"] = str(built / "release/libenoki_client.so")
    sys.path.insert(0, str(built / "python"))
    from enoki_client import Client, Layout

    with Client(ECHO.id) as client:
        client.hints(Layout("echo_call", 1, (("op", "u32"), ("tag", "u32"), ("value", "u64"))), 1)
        client.messages(Layout("echo_answer", 2, (("tag", "u32"), ("about", "u32"), ("value", "u64"))), 1)
        client.send_now({"op": OP_COUNT, "tag": 0, "value": 0})
        answer = client.receive()
    return answer["value"] if answer else -1


def shares(count: int) -> list[int]:
    """What each sender sends: of all together that many, and no two the same."""
    each = count // SENDERS
    unequal = [each + number for number in range(1, SENDERS)]
    return [*unequal, count - sum(unequal)]


class Tap:
    """The tests as they come."""

    def __init__(self, planned: int) -> None:
        self.number = self.failed = 0
        print("TAP version 13", f"1..{planned}", sep="\n", flush=True)

    def test(self, good: bool, name: str, otherwise: str) -> None:
        """One test, and what was seen if it is not good."""
        self.number += 1
        self.failed += not good
        words = f"ok {self.number} {name}" if good else f"not ok {self.number} {name}: {otherwise}"
        print(re.sub(r"[#\n]", " ", words), flush=True)


def unloaded() -> str:
    """Nobody is left and the policy goes; what it says if it does not."""
    deadline = time.monotonic() + 60
    while (ECHO.nr_tasks or clients()) and time.monotonic() < deadline:
        time.sleep(0.1)
    done = subprocess.run(["rmmod", "enoki_echo"], capture_output=True, text=True, check=False)
    return done.stderr.strip()


def overlap(tap: Tap, senders: list[Sender], cpus: list[int]) -> None:
    """All at the same time, to their ends."""
    deadline = time.monotonic() + SECONDS
    said = {sender: sender.line(deadline) for sender in senders}
    ready = [sender for sender in senders if said[sender] == "ready"]
    with spinning(cpus):
        for sender in ready:
            sender.attach(cpus)
        for sender in ready:
            sender.begin()
        said.update({sender: sender.line(deadline) for sender in ready})
    for sender, words in said.items():
        good = f"sender {sender.number}: {sender.count} hints sent, {sender.count} messages received"
        tap.test(words == good, f"sender {sender.number} gets all, whole and in order", words)


def main() -> int:
    """The command line."""
    module, built, total = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    # In charge whatever runs.
    os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(50))
    cpus = sorted(os.sched_getaffinity(0))[:CPUS]
    if len(cpus) < CPUS:
        sys.exit(f"overlap: this machine has {len(cpus)} CPU, boot it with --cpus {CPUS}")
    subprocess.run(["insmod", module], check=True)
    for name, value in PATIENT.items():
        (ECHO.directory / name).write_text(value)

    tap = Tap(2 * SENDERS + 4)
    senders = [Sender(built / "examples/overlap", *it) for it in enumerate(shares(total))]
    overlap(tap, senders, cpus)
    state = ECHO.state
    tap.test(state == "in office", "the policy is in office", f"{state}: {(SYSFS / 'last_exit').read_text()[:300]}")
    counted, calls = clients(), ECHO.counters()["parse_hint"]
    for sender in senders:
        got, wanted = counted.get(sender.process.pid), Counts(sender.count, 0, sender.count, 0)
        tap.test(got == wanted, f"the class counts all of sender {sender.number}", f"{got} instead of {wanted}")
    tap.test(calls == total, "the class counts all calls of the policy", f"{calls} instead of {total}")
    own = answered(built)
    tap.test(own == total, "the policy counts all hints", f"{own} instead of {total}")
    for sender in senders:
        sender.end()
    trouble = unloaded()
    tap.test(not trouble, "nothing is left", f"{trouble}; {last_error()}")
    return 1 if tap.failed else 0


if __name__ == "__main__":
    sys.exit(main())
