"""make bench-arachne: memcached on cores of its own (Enoki paper, section 5.6, Figure 3).

memcached serves Facebook's ETC mix while other programs want all CPUs. Under enoki_arachne, and
beside it by an arbiter in user space that uses cpusets, a runtime's agent asks for as many cores
as memcached's threads need, and spreads these over them.

By instructions. CPUs share the guest's speed, and one that slept would leave its part to the
others; so none sleeps (SCHED_IDLE), and each has the same part always, as real CPUs have. Requests
are as few as such CPUs can serve.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from enokici import build as kernels
from enokici.common import CHECKOUT, OUT, Failure, say

from . import classes, machine, prepare, userspace, verdicts
from .pictures import Panel, draw
from .suite import Outcome
from .verdicts import Verdict

CPUS = 8
ARACHNE = classes.Class("enoki_arachne", "arachne", ("enoki_arachne",), arguments=("--policy=5",))
CPUSETS = classes.Class("cpuset arbiter", "other", arguments=("--socket=/tmp/arbiter.sock",))
ALL = (*classes.CONTROLS, CPUSETS, ARACHNE)
# Requests a second, up and down.
RATES = (500, 1_000, 2_000, 4_000, 6_000, 4_000, 2_000, 500)
SECONDS = 1.0
# As many of the requests must be answered while they are sent if a load is to count as sustained.
SUSTAINED = 0.95
Row = dict[str, Any]


def measure(compared: Sequence[classes.Class], rates: Sequence[int], seconds: float) -> list[Row]:
    """Boots a guest and has memcached serve these rates in each class."""
    kernel = kernels.build("release")
    programs, scx, workloads = prepare.selftests(kernel), prepare.scx(kernel), userspace.workloads()
    rows: list[Row] = []

    def show(text: str) -> None:
        if text.startswith("{"):
            rows.append(json.loads(text))
            if words := line_of(rows[-1]):
                say(words)

    load = ["--rates=" + ",".join(map(str, rates)), f"--seconds={seconds}"]
    ended = machine.boot(
        ["python3", "-m", "enokitest.arachne_guest", json.dumps([asdict(cls) for cls in compared]), workloads, *load],
        log="bench-arachne.log",
        env=classes.environment(programs, scx),
        options=[
            "--kernel", "release", "--cpus", str(CPUS), "--mem", "4G", "--icount", "--round-us", "20",
            "--timeout", "14400",
        ],  # fmt: skip
        show=show,
    )
    if ended.failure:
        raise Failure(f"{ended.failure}; see {ended.log}")
    return rows


def line_of(row: Row) -> str:
    """A line for the terminal; empty for what only the picture shows."""
    if "latency" in row:
        p99 = row["latency"]["p99_ns"] / 1000
        served = 100 * row["served"] / row["sent"]
        return f"{row['class']:16} {row['rate']:7,.0f} requests/s: {served:5.1f} % served, p99 {p99:9,.1f} us"
    if "request_to_core" in row:
        found = row["request_to_core"]
        return f"{row['class']:16} from request to core: p50 {found['p50_ns'] / 1000:,.1f} us of {found['count']}"
    return ""


def _at(rows: list[Row], name: str, kind: str) -> list[Row]:
    return [row for row in rows if row["class"] == name and kind in row]


def sustained(rows: list[Row], name: str) -> float | None:
    """The highest rate that a class keeps up with, each time."""
    loads = _at(rows, name, "latency")
    missed = {r["rate"] for r in loads if r["served"] < SUSTAINED * r["sent"]}
    return max({r["rate"] for r in loads} - missed, default=None)


def _p99(rows: list[Row], name: str, rate: float) -> float:
    return max(r["latency"]["p99_ns"] for r in _at(rows, name, "latency") if r["rate"] == rate) / 1000


def follows(rows: list[Row], name: str) -> bool:
    """Were there more cores at the highest load than before and after it?"""
    loads, moments = _at(rows, name, "latency"), _at(rows, name, "cores")
    if not loads:
        return False
    means = []
    for load, after in zip(loads, [*(r["begin_ns"] for r in loads[1:]), float("inf")], strict=True):
        cores = [m["cores"] for m in moments if load["begin_ns"] <= m["at_ns"] < after]
        if not cores:
            return False
        means.append(sum(cores) / len(cores))
    highest = max(range(len(loads)), key=lambda n: loads[n]["rate"])
    return means[0] < means[highest] and means[-1] < means[highest]


def judged(rows: list[Row]) -> list[Verdict]:
    """What is promised, and whether it was so."""
    found: list[Verdict] = []
    if rate := sustained(rows, classes.EEVDF.name):
        ours = _p99(rows, ARACHNE.name, rate)
        kept = sustained(rows, ARACHNE.name) or 0
        if kept < rate:
            found.append((f"{ARACHNE.name} sustains {kept:,.0f} of EEVDF's {rate:,.0f} requests/s", False))
        for peer, most in ((classes.EEVDF.name, 0.5), (CPUSETS.name, 1.0)):
            ratio = ours / _p99(rows, peer, rate)
            words = f"p99 at {rate:,.0f} requests/s is {ratio:.3f} × {peer}'s (aim: at most {most:.2f})"
            found.append((words, ratio <= most))
    else:
        found.append(("EEVDF sustains none of the loads: nothing to compare", False))
    took = {name: _at(rows, name, "request_to_core") for name in (ARACHNE.name, CPUSETS.name)}
    if not all(took.values()):
        found.append(("it was not measured how long it takes from a request to a core", False))
    else:
        ours, theirs = (lines[0]["request_to_core"]["p50_ns"] for lines in took.values())
        words = f"from request to core takes {ours / theirs:.3f} × the cpuset arbiter's (aim: at most 0.20)"
        found.append((words, ours <= theirs / 5))
    found.append(("the cores granted follow the load up and down", follows(rows, ARACHNE.name)))
    return found


def picture(rows: list[Row]) -> list[str]:
    """Figure 3 of the paper, and cores over time."""
    tails: dict[str, list[tuple[float, float]]] = {}
    for name in dict.fromkeys(row["class"] for row in rows):
        rates = sorted({r["rate"] for r in _at(rows, name, "latency")})
        tails[name] = [(rate / 1000, _p99(rows, name, rate)) for rate in rates]
    cores: dict[str, list[tuple[float, float]]] = {}
    for cls in (CPUSETS, ARACHNE):
        if loads := _at(rows, cls.name, "latency"):
            begin_ns = loads[0]["begin_ns"]
            cores[cls.name] = [((m["at_ns"] - begin_ns) / 1e9, m["cores"]) for m in _at(rows, cls.name, "cores")]
            cores["thousands of requests a second"] = [
                ((r["begin_ns"] - begin_ns) / 1e9, r["rate"] / 1000) for r in loads
            ]
    panels = [
        Panel("memcached", "thousands of requests a second", "p99, µs", tails, logarithmic=True),
        Panel("cores", "s", "cores granted", cores, stepped=True),
    ]
    title = f"emulated: memcached with ETC's mix on {CPUS} CPUs beside {CPUS} hogs; µs are 1,000 instructions"
    return [str(p.relative_to(CHECKOUT)) for p in draw(OUT / "bench/arachne", title, panels)]


def gate() -> Outcome:
    """What is promised."""
    return verdicts.outcome(judged(measure((classes.EEVDF, CPUSETS, ARACHNE), RATES, SECONDS)))


def main() -> int:
    """make bench-arachne."""
    rows = measure(ALL, RATES, SECONDS)
    (OUT / "bench/arachne.json").write_text(json.dumps(rows, indent=1) + "\n")
    status = verdicts.tell(judged(rows))
    print("written to out/bench/arachne.json,", ", ".join(picture(rows)))
    return status
