"""ci/bench pipe counts instructions for a switch between two tasks, by class.

Under icount the guest's clock advances 1 ns for each instruction that any of its CPUs runs,
so what a clock reads as ns for an operation is instructions; repeatable to about 0.3 %.
"""

import json
import re
from dataclasses import asdict, dataclass

from enokici import build as kernels
from enokici.common import CHECKOUT, OUT, Failure

from . import machine, prepare
from .suite import Outcome
from .tap import Results

OPERATIONS = 5000
REPEATS = 5
# Name, what pipe_bench calls it, what runs meanwhile: scx_simple, Enoki's flight recorder, or that
# and a recording. The others have no recorder, so Enoki is compared with them without, then with
# itself.
CLASSES = (
    ("EEVDF", "other", "nothing"),
    ("SCHED_FIFO", "fifo-rt", "nothing"),
    ("enoki_fifo", "1", "nothing"),
    ("+ recorder", "1", "recorder"),
    ("+ recording", "1", "recording"),
    ("enoki_wfq", "2", "nothing"),
    ("scx_simple", "other", "scx"),
)

# Class, what it is compared with, on one CPU, and the most that it may cost of that.
AIMS = (
    ("enoki_fifo", "SCHED_FIFO", 1.10),
    ("+ recorder", "enoki_fifo", 1.02),
    ("+ recording", "+ recorder", 1.10),
    ("enoki_wfq", "EEVDF", 0.95),
)


@dataclass
class Figure:
    """One figure, as it is written to out/bench/."""

    bench: str
    # "class" is a word of Python's; it is renamed when it is written.
    class_: str
    cpus: int
    metric: str
    unit: str
    value: float
    spread: float
    emulated: bool

    def as_json(self) -> dict[str, object]:
        """The object that is written."""
        return {key.rstrip("_"): value for key, value in asdict(self).items()}


def median(values: list[float]) -> float:
    """The middle one."""
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def figures(lines: list[str]) -> list[Figure]:
    """Reads what guest/pipe.sh printed: "result CLASS CPUS NS…"."""
    found = []
    for line in lines:
        words = line.split()
        if len(words) < 4 or words[0] != "result":
            continue
        values = [float(word) / 1000 for word in words[3:]]
        found.append(
            Figure(
                "pipe", words[1].replace("+_", "+ "), int(words[2]), "instructions per operation", "thousand",
                round(median(values), 3), round(max(values) - min(values), 3), True,
            )
        )  # fmt: skip
    return found


def table(got: list[Figure]) -> str:
    """Thousands of instructions for an operation, one line a class."""
    values = {(f.class_, f.cpus): f for f in got}

    def cell(name: str, cpus: int) -> str:
        figure = values.get((name, cpus))
        return f"{figure.value:8.2f} ±{figure.spread / 2:5.2f}" if figure else f"{'–':>15}"

    head = f"{'class':12}  {'one CPU':>15}  {'two CPUs':>15}"
    rows = [f"{name:12}  {cell(name, 1)}  {cell(name, 2)}" for name, _, _ in CLASSES]
    return "\n".join(["thousand instructions per pipe operation (there and back), icount", head, *rows])


def ratios(got: list[Figure]) -> list[tuple[str, str, float, float]]:
    """Each aim with what was reached: class, peer, ratio, aim."""
    values = {f.class_: f.value for f in got if f.cpus == 1}
    return [
        (name, peer, values[name] / values[peer], aim)
        for name, peer, aim in AIMS
        if name in values and peer in values
    ]


def measure(repeats: int = REPEATS) -> tuple[list[Figure], machine.Ended]:
    """Boots the release kernel under icount and measures all classes."""
    kernel = kernels.build("release")
    programs = prepare.selftests(kernel)
    scx = prepare.scx(kernel) / "scx_simple"
    words = [":".join(words).replace(" ", "_") for words in CLASSES]
    ended = machine.boot(
        [machine.GUEST / "pipe.sh", programs, scx, str(OPERATIONS), str(repeats), *words],
        log="bench-pipe.log",
        options=["--kernel", "release", "--cpus", "2", "--icount", "--timeout", "900"],
    )
    got = figures(ended.lines)
    directory = OUT / "bench"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "pipe.json").write_text(json.dumps([f.as_json() for f in got], indent=1) + "\n")
    return got, ended


def gate() -> Outcome:
    """The regression gate: the same measurement, a little shorter."""
    got, ended = measure(repeats=3)
    results = Results()
    if ended.failure:
        results.failed.append(ended.failure)
    for name, peer, ratio, aim in ratios(got):
        if ratio <= aim:
            results.passed += 1
        else:
            results.failed.append(f"{name} costs {ratio:.3f} × {peer} on one CPU, more than {aim}")
    if missing := len(AIMS) - len(ratios(got)):
        results.failed.append(f"{missing} comparisons were not measured")
    note = ", ".join(f"{name} {ratio:.2f} × {peer}" for name, peer, ratio, _ in ratios(got))
    return Outcome(results, note if not results.failed else str(ended.log.relative_to(CHECKOUT)))


# What the class may cost those who do not use it: kernel with it over kernel without.
UNUSED = 1.005


def unused() -> Outcome:
    """EEVDF with the class configured and nobody attached, against the pristine kernel."""
    programs = prepare.selftests(kernels.build("release"))
    measured: dict[str, list[float]] = {}
    results = Results()
    for flavour in ("pristine", "release"):
        kernels.build(flavour)
        runs = " && ".join(f"{programs}/pipe_bench other 0 {cpu} {OPERATIONS} {REPEATS}" for cpu in (0, 1))
        ended = machine.boot(
            ["sh", "-c", runs],
            log=f"bench-unused-{flavour}.log",
            options=["--kernel", flavour, "--cpus", "2", "--icount", "--timeout", "600"],
        )
        values = [float(line) for line in ended.lines if re.fullmatch(r"\d+\.\d", line)]
        if ended.status or len(values) != 2 * REPEATS:
            results.failed.append(f"{flavour}: {ended.failure or 'not all was measured'}")
            return Outcome(results, str(ended.log.relative_to(CHECKOUT)))
        measured[flavour] = [median(values[:REPEATS]), median(values[REPEATS:])]
    notes = []
    for cpus, (before, after) in enumerate(zip(measured["pristine"], measured["release"], strict=True), 1):
        notes.append(f"{cpus} CPU{'s' * (cpus > 1)}: {after / before:.4f} × pristine")
        if after <= before * UNUSED:
            results.passed += 1
        else:
            results.failed.append(f"EEVDF's pipe on {notes[-1]}, more than {UNUSED}")
    return Outcome(results, ", ".join(notes))


def pipe() -> int:
    """make bench-pipe."""
    got, ended = measure()
    print(table(got))
    for name, peer, ratio, aim in ratios(got):
        print(f"{name} is {ratio:.3f} × {peer} on one CPU (aim: at most {aim:.2f})")
    print(f"written to {(OUT / 'bench/pipe.json').relative_to(CHECKOUT)}")
    if ended.failure:
        raise Failure(f"{ended.failure}; see {ended.log}")
    return 0
