"""Recordings of the policies under load, which are run again in user space: every answer must be the same."""

import os
import re
import subprocess
from pathlib import Path

from enokici import build as kernels
from enokici.common import CHECKOUT, OUT, Failure

from . import host_crates, machine, prepare
from .suite import Outcome
from .tap import Results

POLICIES = ("fifo", "wfq", "shinjuku", "locality", "arachne")
# A policy that does not do the same twice, as it looks at an address.
FICKLE = "fickle"
# A part of a line of a policy, and what it is in a copy that should be found out by that: a task gets a slice although
# it is alone, which happens in every recording.
CHANGED = ("{ Ns::ZERO } else { SLICE }", "{ SLICE } else { SLICE }")
PLACE = OUT / "replay"
RECORDED = re.compile(r"\d+ calls as recorded \((\d+) in parts\)")


def _source(policy: str) -> Path:
    if policy == FICKLE:
        return CHECKOUT / prepare.TESTS / "test_modules/enoki_fickle.rs"
    return CHECKOUT / f"samples/rust/enoki_{policy}.rs"


def _rustc(*words: str | Path) -> None:
    crates = host_crates.build()
    extern = ["-L", str(crates), "--extern", "zerocopy", "--extern", "zerocopy_derive"]
    argv = ["rustc", "--edition", "2021", "-O", *extern, *map(str, words)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failure(f"{words[-1]} does not build: {done.stderr.strip()[-2000:]}")


def programs() -> Path:
    """Each policy as a program that runs a recording again, and a changed one; where they are."""
    PLACE.mkdir(parents=True, exist_ok=True)
    library = PLACE / "libenoki.rlib"
    _rustc("--crate-name", "enoki", "--crate-type", "rlib", CHECKOUT / "tools/enoki-replay/libenoki.rs", "-o", library)
    changed = PLACE / "enoki_changed.rs"
    text, line = _source("fifo").read_text(), CHANGED[0]
    if text.count(line) != 1:
        raise Failure(f"enoki_fifo.rs does not have {line} exactly once")
    changed.write_text(text.replace(*CHANGED))
    sources = {policy: _source(policy) for policy in (*POLICIES, FICKLE)} | {"changed": changed}
    for policy, source in sources.items():
        _rustc("--extern", f"enoki={library}", source, "-o", PLACE / policy)
    return PLACE


def again(program: Path, stream: Path) -> tuple[int, str]:
    """Runs a recording again; how that ended, and what it said but for how long it took."""
    argv = [str(program), "replay", str(stream)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=600, check=False)
    return done.returncode, re.sub(r", in [\d.]+ s", "", done.stdout + done.stderr).strip()


def judge(place: Path, streams: list[tuple[str, Path]]) -> Results:
    """Every recording of a policy that says what it does goes as it went, twice; the others are found out."""
    results = Results()

    def check(good: bool, name: str, said: str) -> None:
        if good:
            results.passed += 1
        else:
            results.failed.append(f"{name}: {said[:2000]}")

    for policy, stream in streams:
        status, said = again(place / policy, stream)
        if policy == FICKLE:
            check(status == 1 and "the policy answers slice" in said, stream.name, f"it was not found out: {said}")
            continue
        check(status == 0 and bool(RECORDED.search(said)), stream.name, said)
        check(again(place / policy, stream) == (status, said), f"{stream.name} once more", "is different")
        if policy == "fifo":
            status, said = again(place / "changed", stream)
            check(status == 1 and "then it was" in said, f"changed, {stream.name}", f"it was not found out: {said}")
    return results


def check(cpus: int) -> Outcome:
    """Records all policies on a machine of so many CPUs, and runs that again."""
    kernel = kernels.build("debug")
    place = programs()
    recorded = place / str(cpus)
    recorded.mkdir(exist_ok=True)
    streams = []
    for policy in (*POLICIES, FICKLE):
        for load in ("pipe", "mix") if policy != FICKLE else ("pipe",):
            streams.append((policy, recorded / f"{policy}-{load}.stream"))
            streams[-1][1].unlink(missing_ok=True)
    ended = machine.boot(
        [machine.GUEST / "recordings.sh", prepare.selftests(kernel), kernel / "test_modules", recorded, str(cpus)],
        log=f"recordings-{cpus}.log",
        options=["--kernel", str(kernel), "--cpus", str(cpus), "--timeout", "1200"],
    )
    if ended.failure:
        return Outcome(Results(failed=[ended.failure]), str(ended.log.relative_to(CHECKOUT)))
    results = judge(place, streams)
    size = sum(os.path.getsize(stream) for _, stream in streams)
    parts = sum(int(found[1]) for policy, stream in streams if (found := RECORDED.search(again(place / policy, stream)[1])))
    return Outcome(results, f"{size / 1e6:.1f} MB of records, {parts} calls in parts")
