"""make bench-shinjuku: how long short requests wait behind long ones (Enoki paper, section 5.4, Figure 2).

The guest's clock counts instructions, those of all its CPUs together, so that they share the speed
of one. The paper's us are UNIT of the guest's here: then the work of the kernel for a request is in
about the proportion to the request in which it is on a machine of today.
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

UNIT = 4
GET_US, RANGE_US, RANGES = 4, 10_000, 0.005
SLICE_US = 10
SHINJUKU = classes.Class("enoki_shinjuku", "shinjuku", ("enoki_shinjuku", f"slice_us={SLICE_US * UNIT}"))
ALL = (*classes.CONTROLS, SHINJUKU)
# Of what the machine could do if it did nothing but serve requests.
LOADS = (0.3, 0.5, 0.7, 0.8)
# What is promised is promised of this one.
AT = 0.7
BATCH = 3
REQUESTS = 5_000
Row = dict[str, Any]


def rate(load: float) -> float:
    """Requests in a second of the guest's."""
    mean_us = GET_US * (1 - RANGES) + RANGE_US * RANGES
    return load * 1e6 / (mean_us * UNIT)


def row(line: Row, batch: bool) -> Row:
    """A line of rocks's, in the paper's us."""
    us = {
        f"{kind}_{name[:-3]}_us": round(value / 1000 / UNIT, 2)
        for kind in ("get", "range", "sender")
        for name, value in line[kind].items()
        if name.endswith("_ns")
    }
    return {
        "bench": "shinjuku", "class": line["class"], "batch": batch, "emulated": True,
        "load": round(line["rate"] / rate(1), 3), "requests": line["get"]["count"] + line["range"]["count"],
        "unserved": line["unserved"], "batch_share": round(line["batch_share"], 4), **us,
    }  # fmt: skip


def measure(compared: Sequence[classes.Class], loads: Sequence[float], batch: bool, requests: int) -> list[Row]:
    """Boots a guest with 4 CPUs and measures these classes at these loads."""
    kernel = kernels.build("release")
    programs, scx, workloads = prepare.selftests(kernel), prepare.scx(kernel), userspace.workloads()
    rows: list[Row] = []

    def show(text: str) -> None:
        if text.startswith("{"):
            rows.append(row(json.loads(text), batch))
            say(line_of(rows[-1]))

    what = [json.dumps([asdict(cls) for cls in compared]), "--", workloads / "rocks"]
    words = [f"--get-us={GET_US * UNIT}", f"--range-us={RANGE_US * UNIT}", f"--ranges={RANGES}"]
    words += [f"--requests={requests}", f"--batch={BATCH * batch}"]
    words += ["--rates=" + ",".join(f"{rate(load):.2f}" for load in loads)]
    ended = machine.boot(
        ["python3", "-m", "enokitest.classes_guest", *what, *words],
        log=f"bench-shinjuku{'-batch' * batch}.log",
        env=classes.environment(programs, scx),
        options=["--kernel", "release", "--cpus", "4", "--icount", "--round-us", "20", "--timeout", "14400"],
        show=show,
    )
    if ended.failure:
        raise Failure(f"{ended.failure}; see {ended.log}")
    return rows


def line_of(found: Row) -> str:
    """A line of the table."""
    load = f"{found['load']:4.0%}{' + batch' * bool(found['batch'])}"
    share = f"  batch {found['batch_share']:6.1%}" if found["batch"] else ""
    return f"{found['class']:14} {load:12} GET p99 {found['get_p99_us']:8} us  p99.9 {found['get_p999_us']:8} us{share}"


def judged(rows: list[Row]) -> list[Verdict]:
    """What is promised, and whether it was so."""
    at = {(r["class"], r["batch"]): r for r in rows if r["load"] == AT}
    found: list[Verdict] = []
    for batch in (False, True):
        ours = at.get((SHINJUKU.name, batch))
        # What is never answered is in no percentile.
        if ours and ours["unserved"]:
            found.append((f"{ours['unserved']} requests were not served{' beside batch' * batch}", False))
        for peer, most in ((classes.EEVDF.name, 1 / 5), (classes.FIFO.name, 1 / 2)):
            theirs = at.get((peer, batch))
            if ours and theirs:
                ratio = ours["get_p999_us"] / theirs["get_p999_us"]
                words = f"p99.9 at {AT:.0%}{' beside batch' * batch} is {ratio:.3f} × {peer}'s"
                found.append((f"{words} (aim: at most {most:.2f})", ratio <= most))
        if batch and ours and (theirs := at.get((classes.EEVDF.name, True))):
            ratio = ours["batch_share"] / theirs["batch_share"]
            found.append((f"batch has {ratio:.3f} × what EEVDF leaves it (aim: 0.90 to 1.10)", 0.9 <= ratio <= 1.1))
    return found


def picture(rows: list[Row]) -> list[str]:
    """Figure 2 of the paper: tails over the load, alone and beside a batch application, and that one's share."""

    def over_load(field: str, batch: bool) -> dict[str, list[tuple[float, float]]]:
        found: dict[str, list[tuple[float, float]]] = {}
        for r in rows:
            if r["batch"] == batch:
                found.setdefault(str(r["class"]), []).append((100 * r["load"], r[field]))
        return {name: sorted(points) for name, points in found.items()}

    shares = {name: [(x, 100 * y) for x, y in points] for name, points in over_load("batch_share", True).items()}
    load = "offered load, %"
    panels = [
        Panel("RocksDB alone", load, "p99.9 of GETs, µs", over_load("get_p999_us", False), logarithmic=True),
        Panel("beside a batch application", load, "p99.9 of GETs, µs", over_load("get_p999_us", True), logarithmic=True),
        Panel("share of the batch application", load, "% of 3 CPUs", shares),
    ]
    title = (
        f"emulated: 4 CPUs, GETs of {GET_US} µs and {RANGES:.1%} range queries of {RANGE_US // 1000} ms, 50 workers"
        f" on 3 CPUs; µs are {UNIT},000 instructions"
    )
    return [str(p.relative_to(CHECKOUT)) for p in draw(OUT / "bench/shinjuku", title, panels)]


def gate() -> Outcome:
    """What is promised, with fewer requests."""
    compared = (classes.EEVDF, classes.FIFO, SHINJUKU)
    rows = [row for batch in (False, True) for row in measure(compared, (AT,), batch, REQUESTS)]
    return verdicts.outcome(judged(rows))


def main(requests: int, loads: Sequence[float]) -> int:
    """make bench-shinjuku."""
    rows = [row for batch in (False, True) for row in measure(ALL, loads, batch, requests)]
    (OUT / "bench/shinjuku.json").write_text(json.dumps(rows, indent=1) + "\n")
    status = verdicts.tell(judged(rows))
    print("written to out/bench/shinjuku.json,", ", ".join(picture(rows)))
    return status
