"""make bench-locality: how long a thread takes to wake up that is told to (Enoki paper, section 5.5).

In real time, not by instructions: by the count of instructions another CPU wakes up as fast as a
task on one's own, which no machine does. What is compared is measured in turns, in one guest.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from enokici import build as kernels
from enokici.common import CHECKOUT, OUT, Failure, say

from . import classes, machine, prepare, userspace, verdicts
from .bench import median
from .suite import Outcome
from .verdicts import Verdict

LOCALITY = classes.Class("enoki_locality", "locality", ("enoki_locality",))
HINTED = replace(LOCALITY, name="with hints", arguments=("--place=4",))
ONE_CORE = replace(classes.EEVDF, name="EEVDF, one core", cpus="1")
ALL = (*classes.CONTROLS, ONE_CORE, LOCALITY, HINTED)
# The class that is promised something is compared with these.
PEERS = (classes.EEVDF, LOCALITY)
MOST = 1 / 5
ROUNDS, REPEATS = 5_000, 5
Row = dict[str, Any]


def measure(compared: Sequence[classes.Class], rounds: int, repeats: int) -> list[Row]:
    """Boots a guest with 4 CPUs and measures these classes, in turns."""
    kernel = kernels.build("hz100")
    programs, scx, workloads = prepare.selftests(kernel), prepare.scx(kernel), userspace.workloads()
    found: dict[str, list[Row]] = {}

    def show(text: str) -> None:
        if text.startswith("{"):
            line = json.loads(text)
            found.setdefault(line["class"], []).append(line)
            say(f"{line['class']:16} wake-up p50 {line['wake']['p50_ns']:9,} ns  p99 {line['wake']['p99_ns']:9,} ns")

    what = [json.dumps([asdict(cls) for cls in compared] * repeats), "--", workloads / "wakes", f"--rounds={rounds}"]
    ended = machine.boot(
        ["python3", "-m", "enokitest.classes_guest", *what],
        log="bench-locality.log",
        env=classes.environment(programs, scx),
        options=["--kernel", str(kernel), "--cpus", "4", "--timeout", "7200"],
        show=show,
    )
    if ended.failure:
        raise Failure(f"{ended.failure}; see {ended.log}")
    return [row(name, lines) for name, lines in found.items()]


def row(name: str, lines: list[Row]) -> Row:
    """The medians of a class's runs, in us."""
    us = {
        f"wake_{percentile}_us": round(median([line["wake"][f"{percentile}_ns"] / 1000 for line in lines]), 1)
        for percentile in ("p50", "p99", "p999")
    }
    return {"bench": "locality", "class": name, "runs": len(lines), "emulated": True, **us}


def judged(rows: list[Row]) -> list[Verdict]:
    """What is promised, and whether it was so."""
    at = {r["class"]: r for r in rows}
    found: list[Verdict] = []
    for peer in PEERS:
        if HINTED.name in at and peer.name in at:
            ratio = at[HINTED.name]["wake_p99_us"] / at[peer.name]["wake_p99_us"]
            words = f"p99 with hints is {ratio:.3f} × {peer.name}'s (aim: at most {MOST:.2f})"
            found.append((words, ratio <= MOST))
    return found


def table(rows: list[Row]) -> str:
    """One line a class."""
    head = f"{'wake-up, us, emulated':24} {'p50':>8} {'p99':>8} {'p99.9':>8}"
    lines = [
        f"{r['class']:24} {r['wake_p50_us']:8.1f} {r['wake_p99_us']:8.1f} {r['wake_p999_us']:8.1f}" for r in rows
    ]
    return "\n".join([head, *lines])


def gate() -> Outcome:
    """What is promised."""
    return verdicts.outcome(judged(measure((*PEERS, HINTED), ROUNDS, REPEATS)))


def main() -> int:
    """make bench-locality."""
    from .pictures import bars  # pylint: disable=import-outside-toplevel

    rows = measure(ALL, ROUNDS, REPEATS)
    (OUT / "bench/locality.json").write_text(json.dumps(rows, indent=1) + "\n")
    print(table(rows))
    status = verdicts.tell(judged(rows))
    title = "emulated: latency of wake-ups, 2 message threads with 2 workers each on 4 CPUs"
    values = {str(r["class"]): (r["wake_p50_us"], r["wake_p99_us"]) for r in rows}
    made = bars(OUT / "bench/locality", title, ("p50", "p99"), "µs", values)
    print("written to out/bench/locality.json,", ", ".join(str(p.relative_to(CHECKOUT)) for p in made))
    return status
