"""In the guest: loads, and what disturbs them, all at once until the time is over.

Loads are started under one of several policies or in the default class, and started anew as they
end. Meanwhile one thread unplugs CPUs, one moves random tasks between policies, classes, nice
levels and CPUs, and one reloads whatever policy has no task at the moment; in most minutes no
load is started under one of them, so that it gets that far. Every other time it is ejected
instead of waiting for that. One scribbles over the rings of its hints, beside one that uses its
own as it should. One asks enoki_arachne for cores, and puts tasks of the loads there. No policy may
be ejected for anything that it does.
"""

import contextlib
import errno
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .evidence import ENOKI, PROGRAMS, SYSFS, Policy, class_of, descendants, last_error, load
from .soak_runtime import Client, Runtime

ARACHNE = "enoki_arachne"
# How many loads are started under each, and tasks moved there, for one load under no policy. All of
# enoki_arachne's that have got no core of their own share the first CPU: so they are few, one in
# fourteen, which is less than one CPU of four can do.
MODULES = {"enoki_fifo": 3, "enoki_wfq": 3, "enoki_shinjuku": 3, "enoki_locality": 3, ARACHNE: 1}
PHASE = 60.0
FUZZ = 30.0
OVERDUE = 300.0  # a load ends by itself long before
OVERDUE_ON_FIRST = 600.0  # and one that has only the first CPU, beside all others
NEVER = ("cpu", "state", "lost")  # refusals that no correct policy earns

LOADS = (
    ["stress-ng", "--cpu", "3", "--cpu-ops", "60"],
    ["stress-ng", "--switch", "2", "--switch-ops", "2000"],
    ["stress-ng", "--fork", "2", "--fork-ops", "150"],
    ["stress-ng", "--futex", "2", "--futex-ops", "500"],
    ["stress-ng", "--pipe", "2", "--pipe-ops", "3000"],
    # By time: its parents wait for ever for a count that their children, done, do not reach.
    ["stress-ng", "--yield", "2", "--timeout", "5"],
    ["stress-ng", "--affinity", "2", "--affinity-ops", "300"],
    ["stress-ng", "--exec", "1", "--exec-ops", "40"],
    ["stress-ng", "--nice", "1", "--nice-ops", "40"],
    ["stress-ng", "--timer", "1", "--timer-ops", "1000"],
    ["stress-ng", "--pthread", "2", "--pthread-ops", "150"],
    ["hackbench", "-g", "1", "-l", "30"],
    ["hackbench", "-g", "1", "-l", "30", "-T"],
)


@dataclass(frozen=True)
class Load:
    """One that has been started."""

    what: str
    began: float
    overdue: float
    child: "subprocess.Popen[bytes]"


class Soak:
    """The whole run."""

    def __init__(self, seconds: float, seed: int) -> None:
        self.random = random.Random(seed)
        self.seconds = seconds
        self.end = time.monotonic() + seconds
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.running: list[Load] = []
        self.reload = threading.Lock()  # held while a load is started or a policy reloaded
        self.resting = ""  # the policy that gets no new load for now
        self.policies = {module: load(module) for module in MODULES}
        self.cpus = os.cpu_count() or 1

    @property
    def going(self) -> bool:
        """Whether there is time left."""
        return time.monotonic() < self.end

    def complain(self, what: str) -> None:
        """Something that must not be."""
        self.wrong.append(what)
        print(f"wrong: {what}", flush=True)

    def some_policy(self, choice: random.Random, none: int = 0) -> Policy | None:
        """One that does not rest, or none: so many times for one time of those in MODULES."""
        weights: dict[Policy | None, int] = {None: none}
        for module, weight in MODULES.items():
            if self.policies[module].name != self.resting:
                weights[self.policies[module]] = weight
        return choice.choices(list(weights), list(weights.values()))[0]

    def some_tasks(self, choice: random.Random) -> list[int]:
        """Those of one of the loads, if there is one."""
        running = list(self.running)
        return descendants(choice.choice(running).child.pid) if running else []

    def start_load(self) -> None:
        """One more load under a policy that takes some."""
        policy = self.some_policy(self.random, none=1)
        name = policy.name if policy else "other"
        overdue = OVERDUE_ON_FIRST if policy is self.policies[ARACHNE] else OVERDUE
        command = self.random.choice(LOADS)
        with self.reload:
            child = subprocess.Popen(
                [str(PROGRAMS / "enoki_run"), name, *command],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                start_new_session=True,
            )  # fmt: skip
        self.running.append(Load(f"{' '.join(command)} under {name}", time.monotonic(), overdue, child))
        self.counts["loads"] += 1

    def abandon(self, entry: Load) -> None:
        """A load that should have ended has not."""
        self.running.remove(entry)
        self.complain(f"{entry.what} has not ended after {time.monotonic() - entry.began:.0f} s")
        with contextlib.suppress(OSError):
            os.killpg(entry.child.pid, signal.SIGKILL)

    def reap(self) -> None:
        """Takes note of loads that ended."""
        for entry in list(self.running):
            child = entry.child
            if child.poll() is None:
                if time.monotonic() - entry.began > entry.overdue:
                    self.abandon(entry)
                continue
            self.running.remove(entry)
            assert child.stderr is not None
            words = child.stderr.read().decode(errors="replace").strip()
            child.stderr.close()
            # 2 and 3: stress-ng had no resources, or not this stressor.
            if child.returncode not in (0, 2, 3):
                self.complain(f"{entry.what}: exit status {child.returncode}: {words[-300:]}")

    def hotplug(self) -> None:
        """CPUs other than the first go and come."""
        choice = random.Random(self.random.random())
        while self.going and self.cpus > 1:
            cpu = choice.randrange(1, self.cpus)
            path = Path(f"/sys/devices/system/cpu/cpu{cpu}/online")
            with contextlib.suppress(OSError):
                path.write_text("0" if path.read_text().strip() == "1" else "1")
                self.counts["hotplugs"] += 1
            time.sleep(choice.uniform(0.1, 3))
        for cpu in range(1, self.cpus):
            Path(f"/sys/devices/system/cpu/cpu{cpu}/online").write_text("1")

    def change(self) -> None:
        """Random tasks of the loads change policy, class, nice level and CPUs."""
        choice = random.Random(self.random.random())
        while self.going:
            time.sleep(choice.uniform(0.02, 0.3))
            tasks = self.some_tasks(choice)
            if not tasks:
                continue
            pid = choice.choice(tasks)
            with contextlib.suppress(OSError):
                match choice.randrange(6):
                    case 0 | 1:
                        policy = self.some_policy(choice)
                        assert policy is not None
                        os.sched_setscheduler(pid, ENOKI, os.sched_param(policy.id))
                    case 2:
                        os.sched_setscheduler(pid, os.SCHED_OTHER, os.sched_param(0))
                    case 3:
                        os.setpriority(os.PRIO_PROCESS, pid, choice.randrange(-10, 15))
                    case 4:
                        os.sched_setaffinity(pid, {choice.randrange(self.cpus) for _ in range(2)})
                    case 5:
                        os.kill(pid, signal.SIGSTOP)
                        time.sleep(choice.uniform(0, 0.05))
                        os.kill(pid, signal.SIGCONT)
                self.counts["changes"] += 1

    def drain(self, policy: Policy) -> None:
        """Moves what is left of a resting policy elsewhere."""
        for entry in list(self.running):
            for pid in descendants(entry.child.pid):
                with contextlib.suppress(OSError):
                    if class_of(pid) == ENOKI and os.sched_getparam(pid).sched_priority == policy.id:
                        os.sched_setscheduler(pid, os.SCHED_OTHER, os.sched_param(0))

    def check(self, policy: Policy) -> None:
        """It may have been ejected by us only."""
        if policy.state not in ("in office", "ejected: request"):
            self.complain(f"{policy.name} is {policy.state}: {(SYSFS / 'last_exit').read_text()[:300]}")

    def reloads(self) -> None:
        """The resting policy goes and comes, as often as it is without tasks."""
        while self.going:
            time.sleep(0.5)
            for module, policy in self.policies.items():
                if policy.name != self.resting:
                    continue
                self.check(policy)
                if self.counts["reloads"] % 2:
                    (policy.directory / "eject").write_text("1")
                    self.counts["ejections"] += 1
                else:
                    self.drain(policy)
                with self.reload:
                    done = subprocess.run(["rmmod", module], capture_output=True, text=True, check=False)
                    if done.returncode:
                        self.counts["refused unloads"] += 1
                        continue
                    self.counts["reloads"] += 1
                    again = subprocess.run(["modprobe", module], capture_output=True, text=True, check=False)
                    if again.returncode:
                        self.complain(f"modprobe {module}: {again.stderr.strip()}; {last_error()}")
                        return

    def fuzz(self) -> None:
        """Nonsense in rings and calls, from a test that knows what must come of it."""
        choice = random.Random(self.random.random())
        while self.going:
            seconds = max(1, round(min(FUZZ, self.end - time.monotonic())))
            seed = str(choice.getrandbits(32))
            done = subprocess.run(
                [str(PROGRAMS / "hints_bad"), "-t", "scribbled"],
                env={**os.environ, "FUZZ_SECONDS": str(seconds), "IN_COMPANY": "1", "SEED": seed},
                capture_output=True, text=True, check=False, timeout=seconds + OVERDUE,
            )  # fmt: skip
            if done.returncode:
                self.complain(f"hints_bad: SEED={seed}: {done.stdout[-500:]}{done.stderr[-500:]}")
                return
            self.counts["fuzzed rings"] += 1

    def cores(self) -> None:
        """A runtime asks for cores, and puts tasks of the loads there; anew when the policy has come again."""
        choice = random.Random(self.random.random())
        while self.going:
            try:
                with Client(self.policies[ARACHNE].id) as client:
                    runtime = Runtime(client, self.cpus, choice)
                    while self.going:
                        self.counts["tasks put on cores"] += runtime.step(lambda: self.some_tasks(choice))
            except OSError as error:
                if error.errno != errno.ENODEV:
                    raise
                time.sleep(0.5)

    def guarded(self, work: Callable[[], None]) -> None:
        """One of the threads: that it cannot go on is something that must not be, too."""
        try:
            work()
        except (OSError, subprocess.SubprocessError) as error:
            self.complain(f"{work.__name__}: {error}")

    def phases(self) -> None:
        """Which policy rests; in one phase of a round none does."""
        who = ["", *(p.name for p in self.policies.values())]
        self.resting = who[int(time.monotonic() / PHASE) % len(who)]

    def run(self) -> int:
        """Until the time is over, then the account."""
        works = (self.hotplug, self.change, self.reloads, self.fuzz, self.cores)
        threads = [threading.Thread(target=self.guarded, args=(work,)) for work in works]
        for thread in threads:
            thread.start()
        reported = time.monotonic()
        while self.going:
            self.phases()
            self.reap()
            while len(self.running) < 2 * self.cpus:
                self.start_load()
            if time.monotonic() - reported > PHASE:
                reported = time.monotonic()
                self.report(f"{(self.end - reported) / 60:.0f} min left")
            time.sleep(0.5)
        for thread in threads:
            thread.join()
        self.finish()
        self.report("done")
        return 1 if self.wrong else 0

    def report(self, when: str) -> None:
        """One line on how it goes."""
        numbers = ", ".join(f"{n} {what}" for what, n in sorted(self.counts.items()))
        print(f"{when}: {numbers}, {len(self.wrong)} wrong", flush=True)

    def finish(self) -> None:
        """Every task must end, and every policy must know it."""
        for entry in self.running:
            for pid in descendants(entry.child.pid):
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGCONT)
                    os.sched_setaffinity(pid, set(range(self.cpus)))
        while self.running:
            self.reap()
            time.sleep(0.5)
        deadline = time.monotonic() + 60
        while any(p.nr_tasks for p in self.policies.values()) and time.monotonic() < deadline:
            time.sleep(0.2)
        # It rests for one phase of a round, and in a short run there may be no other one.
        if self.cpus > 1 and self.seconds > 5 * PHASE and not self.counts["tasks put on cores"]:
            self.complain(f"no task has got a core of {ARACHNE}'s")
        for policy in self.policies.values():
            self.check(policy)
            if left := policy.nr_tasks:
                self.complain(f"{policy.name} keeps {left} tasks that are gone")
            rejected = policy.counters("rejected")
            if bad := {why: rejected[why] for why in NEVER if rejected.get(why)}:
                self.complain(f"{policy.name} gave answers that no correct policy gives: {bad}")


def main() -> int:
    """soak_guest SECONDS SEED."""
    # In charge whatever runs: a deadline for the loads is none for this.
    os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(50))
    if not SYSFS.is_dir():
        print("wrong: this kernel has no Enoki")
        return 1
    print(f"SEED={sys.argv[2]}", flush=True)
    return Soak(float(sys.argv[1]), int(sys.argv[2])).run()


if __name__ == "__main__":
    sys.exit(main())
