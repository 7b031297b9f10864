"""In the guest: real programs under each scheduler, and one table of what happened."""

import argparse
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .evidence import ENOKI, Policy, Ran, load, run

POLICIES = ("enoki_fifo", "enoki_wfq")
LAST_EXIT = Path("/sys/kernel/sched_enoki/last_exit")


@dataclass(frozen=True)
class Workload:
    """A program and how to read its result."""

    name: str
    command: Callable[[Path], list[str]]
    result: Callable[[str], str | None]


def _found(pattern: str, form: str) -> Callable[[str], str | None]:
    def read(output: str) -> str | None:
        found = re.search(pattern, output, re.M)
        return form.format(float(found[1])) if found else None

    return read


def _compile(scratch: Path) -> list[str]:
    """A small program of several files, compiled in parallel."""
    source = scratch / "program"
    source.mkdir(exist_ok=True)
    for n in range(6):
        body = "".join(f"int f{n}_{i}(int x) {{ return x * {i} + (x >> {n + 1}); }}\n" for i in range(40))
        (source / f"part{n}.c").write_text(f"#include <stdio.h>\n#include <stdlib.h>\n{body}")
    (source / "main.c").write_text("int f0_1(int);\nint main(void) { return f0_1(0); }\n")
    (source / "Makefile").write_text(
        "program: $(patsubst %.c,%.o,$(wildcard *.c))\n\tgcc -o $@ $^\n%.o: %.c\n\tgcc -O2 -c $<\n"
    )
    # The clock is read inside: enoki_run and the shell are not what is measured.
    line = (
        f"cd {shlex.quote(str(source))} && rm -f *.o program && start=$(date +%s%N) && "
        f"make -s -j{2 * (os.cpu_count() or 1)} && ./program && "
        "echo compiled in $(( ($(date +%s%N) - start) / 1000000 )) ms"
    )
    return ["bash", "-c", line]


WORKLOADS = (
    Workload(
        "perf bench sched messaging",
        lambda _: ["perf", "bench", "sched", "messaging", "-g", "2", "-l", "20"],
        _found(r"Total time: ([\d.]+) ", "{:.2f} s"),
    ),
    Workload(
        "perf bench sched pipe",
        lambda _: ["perf", "bench", "sched", "pipe", "-l", "1000"],
        _found(r"([\d.]+) usecs/op", "{:.0f} us/op"),
    ),
    Workload(
        "stress-ng --cpu",
        lambda _: [
            "stress-ng", "--cpu", str(2 * (os.cpu_count() or 1)), "--cpu-method", "int32",
            "--cpu-ops", "200", "--metrics-brief",
        ],  # fmt: skip
        _found(r"cpu +\d+ +([\d.]+) ", "{:.1f} s"),
    ),
    Workload("make -j, gcc", _compile, _found(r"compiled in (\d+) ms", "{:.0f} ms")),
)


def _result(workload: Workload, ran: Ran) -> str:
    if workload.name.startswith("stress-ng"):
        # bogo ops, real time, user, system, ops/s…
        found = re.search(r"cpu +(\d+) +([\d.]+) ", ran.output)
        return f"{float(found[2]):.1f} s" if found else "no result"
    return workload.result(ran.output) or "no result"


def table(rows: list[tuple[str, ...]]) -> str:
    """Aligned columns; numbers to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for n, row in enumerate(rows):
        cells = [c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))]
        lines.append("  ".join(cells).rstrip())
        if not n:
            lines.append("  ".join("-" * w for w in widths))
    return "\n".join(lines)


def problems(name: str, policy: Policy | None, ran: Ran, result: str) -> list[str]:
    """What is not as it must be of one run."""
    where = f"{name} under {policy.name if policy else 'EEVDF'}"
    found = []
    if ran.status:
        found.append(f"{where}: exit status {ran.status}: {ran.output.strip()[-300:]}")
    elif result == "no result":
        found.append(f"{where}: its output has no result: {ran.output.strip()[-300:]}")
    expected = {ENOKI} if policy else {0}
    if ran.classes != expected:
        found.append(f"{where}: /proc/PID/sched says policy {sorted(ran.classes)}, not {sorted(expected)}")
    if policy and not (ran.picks and ran.wakeups):
        found.append(f"{where}: its counters did not grow")
    return found


def everything() -> int:
    """All workloads under all schedulers."""
    policies: list[Policy | None] = [None, *(load(module) for module in POLICIES)]
    rows: list[tuple[str, ...]] = [("workload", "scheduler", "result", "policy", "picks", "wake-ups")]
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as scratch:
        for workload in WORKLOADS:
            for policy in policies:
                name = f"enoki_{policy.name}" if policy else "EEVDF"
                print(f"  {workload.name} under {name} …", file=sys.stderr, flush=True)
                ran = run(workload.command(Path(scratch)), policy)
                result = _result(workload, ran)
                wrong += problems(workload.name, policy, ran, result)
                classes = ",".join(map(str, sorted(ran.classes))) or "?"
                grew = (str(ran.picks), str(ran.wakeups)) if policy else ("–", "–")
                rows.append((workload.name, name, result, classes, *grew))
    print()
    print(f"Linux {os.uname().release}, {os.cpu_count()} CPUs; times are the guest's own")
    print()
    print(table(rows))
    print()
    print("policy: the number in /proc/PID/sched of the workload's tasks (8 is SCHED_ENOKI, 0 the default class);")
    print("picks and wake-ups: what the policy's counters in /sys/kernel/sched_enoki grew by meanwhile")
    for line in wrong:
        print(f"wrong: {line}")
    return 1 if wrong else 0


def one(module: str, command: str) -> int:
    """One command under one policy, its output as it comes."""
    policy = load(module)
    ran = run(["bash", "-c", command], policy, show=True)
    seen = ",".join(map(str, sorted(ran.classes))) or "not seen"
    print(
        f"\nran under {policy.name} (id {policy.id}): exit status {ran.status}, policy {seen} in /proc/PID/sched, "
        f"{ran.picks} picks, {ran.wakeups} wake-ups"
    )
    report = LAST_EXIT.read_text()
    if report:
        print(f"\nThe policy misbehaved; {LAST_EXIT} says:\n\n{report}")
    return ran.status


def main() -> int:
    """The command line inside the guest."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--policy", default="enoki_wfq")
    parser.add_argument("--command", default="")
    args = parser.parse_args()
    try:
        return one(args.policy, args.command) if args.command else everything()
    except RuntimeError as error:
        print(f"wrong: {error}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
