"""How long real-time tasks wait beside Enoki's load, compared with the same load without it.

Under icount the clock counts instructions, so that what waits is the same in each run and
a longest latency says something; us are thousands of instructions then.
"""

import re

from enokici import build as kernels
from enokici.common import CHECKOUT

from . import machine, prepare
from .suite import Outcome
from .tap import Results

LOADS = ("other", "fifo", "wfq")  # what enoki_run takes; the first is what the others are compared with
PAIRS = 3
LOOPS = 1000


def longest(lines: list[str]) -> dict[str, list[int]]:
    """The longest latency of each run, by load; guest/cyclictest.sh printed "latency LOAD US…"."""
    found: dict[str, list[int]] = {}
    for line in lines:
        if match := re.fullmatch(r"latency (\w+)((?: \d+)+)", line):
            found.setdefault(match[1], []).append(max(map(int, match[2].split())))
    return found


def judged(found: dict[str, list[int]]) -> Results:
    """Each policy's longest against that of the others; each must have been measured as often."""
    results = Results()
    for load in LOADS:
        if len(found.get(load, ())) != PAIRS:
            results.failed.append(f"{load} was measured {len(found.get(load, ()))} times, not {PAIRS}")
    if results.failed:
        return results
    allowed = max(found[LOADS[0]])
    for load in LOADS[1:]:
        if max(found[load]) <= allowed:
            results.passed += 1
        else:
            results.failed.append(f"beside {load} a real-time task waited {max(found[load])} us, else {allowed}")
    return results


def gate() -> Outcome:
    """cyclictest on the kernel for real time."""
    programs = prepare.selftests(kernels.build("rt-release"))
    ended = machine.boot(
        [machine.GUEST / "cyclictest.sh", programs, str(PAIRS), str(LOOPS), *LOADS],
        log="cyclictest.log",
        options=["--kernel", "rt-release", "--cpus", "2", "--icount", "--round-us", "20", "--timeout", "2400"],
    )
    found = longest(ended.lines)
    results = judged(found)
    if ended.failure:
        results.failed.append(ended.failure)
    note = ", ".join(f"{load} {max(values)} us" for load, values in found.items())
    return Outcome(results, note if not results.failed else str(ended.log.relative_to(CHECKOUT)))
