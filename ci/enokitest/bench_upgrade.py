"""make bench-upgrade: how long threads take to wake up while their scheduler is being replaced.

Two versions of a policy replace each other every 100 ms; the same load under scx_simple, which
is unloaded and loaded as often, with the default class in between. By instructions: a us is a
thousand of them, whatever the host does; the CPUs take turns of 20 us, which would else be
what the longest latencies are made of.
"""

import json
from collections.abc import Sequence
from typing import Any

from enokici import build as kernels
from enokici.common import CHECKOUT, OUT, Failure, say

from . import classes, machine, prepare, userspace, verdicts
from .bench import median
from .verdicts import Verdict

CPUS, PERIOD_MS = 4, 100
# Of the p99 without upgrades.
MOST = 1.05
PAIRS = 5
# Each worker is woken up so often: some seconds of the guest's time.
ROUNDS = 30_000
PICTURED = 10
Row = dict[str, Any]


def measure(modes: Sequence[str], rounds: int, times: int, *arguments: str) -> list[Row]:
    """Boots a guest and measures these modes, one after the other."""
    kernel = kernels.build("release")
    programs, scx, workloads = prepare.selftests(kernel), prepare.scx(kernel), userspace.workloads()
    found: list[Row] = []

    def show(text: str) -> None:
        if text.startswith("{"):
            found.append(json.loads(text))
            wake = found[-1]["wake"]
            say(
                f"{found[-1]['mode']:12} {found[-1]['done']:3} times, "
                f"wake-up p50 {wake['p50_ns']:9,} ns  p99 {wake['p99_ns']:9,} ns  longest {wake['max_ns']:11,} ns"
            )

    words = [",".join(modes), times, PERIOD_MS, kernel / "test_modules", "--", workloads / "wakes", f"--rounds={rounds}"]
    ended = machine.boot(
        ["python3", "-m", "enokitest.upgrade_guest", *map(str, words), *arguments],
        log="bench-upgrade.log",
        env=classes.environment(programs, scx),
        options=["--kernel", "release", "--cpus", str(CPUS), "--icount", "--round-us", "20", "--timeout", "7200"],
        show=show,
    )
    if ended.failure:
        raise Failure(f"{ended.failure}; see {ended.log}")
    return found


def judged(rows: Sequence[Row]) -> list[Verdict]:
    """What is promised of pairs, and whether it was so."""
    p99 = {
        mode: median([row["wake"]["p99_ns"] for row in rows if row["mode"] == mode]) for mode in ("quiet", "upgrades")
    }
    ratio = p99["upgrades"] / p99["quiet"]
    replaced = min(row["done"] for row in rows if row["mode"] == "upgrades")
    return [
        (f"p99 of wake-ups with an upgrade every {PERIOD_MS} ms is {ratio:.3f} × without (aim: at most {MOST})", ratio <= MOST),
        (f"{replaced} upgrades in the shortest run (at least 5)", replaced >= 5),
    ]


def main() -> int:
    """make bench-upgrade."""
    from .pictures import Panel, draw  # pylint: disable=import-outside-toplevel

    rows = measure(("quiet", "upgrades") * PAIRS, ROUNDS, 10**6)
    status = verdicts.tell(judged(rows))
    pictured = measure(("upgrades", "scx-reloads"), 4 * ROUNDS, PICTURED, "--timeline")
    (OUT / "bench").mkdir(exist_ok=True)
    (OUT / "bench/upgrade.json").write_text(json.dumps(rows + pictured, indent=1) + "\n")
    names = {"upgrades": "relay, upgraded", "scx-reloads": "scx_simple, unloaded and loaded"}
    lines = {names[row["mode"]]: [(ms, took / 1000) for ms, took in row["longest_ns"]] for row in pictured}
    panels = [
        Panel(f"{name}, {PICTURED} times", "ms", "longest latency of each ms, us", {name: points}, logarithmic=True)
        for name, points in lines.items()
    ]
    made = draw(OUT / "bench/upgrade", "emulated: wake-ups while the scheduler is replaced, by instructions", panels)
    print("written to out/bench/upgrade.json,", ", ".join(str(path.relative_to(CHECKOUT)) for path in made))
    return status
