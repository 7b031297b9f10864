"""What is in userspace/, against a kernel: clients in three languages, and hints by the million."""

import filecmp
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from enokici.common import CACHE, CHECKOUT, OUT, Failure, locked, main_wrapper, say

from . import host_crates, machine, prepare
from .suite import Outcome
from .tap import Results, parse

CLIENT = CHECKOUT / "userspace/enoki-client"
BUILT = OUT / "userspace"
BENCH = OUT / "bench/bin"
WORKLOADS = ("rocks", "wakes", "etc_load", "cores", "cpuset_arbiter")
# User code that sends a hint without a system call, in instructions.
MOST_INSTRUCTIONS = 150
HINTS, MANY_HINTS = 200_000, 10_000_000
# Of several senders together.
OVERLAPPING_HINTS = 100_000


def _run(argv: list[str], cwd: Path = CHECKOUT / "userspace", **env: str) -> None:
    done = subprocess.run(argv, cwd=cwd, env={**os.environ, **env}, capture_output=True, text=True)
    if done.returncode:
        raise Failure(f"{' '.join(argv[:3])} failed:\n{done.stderr.strip()}")


def renew(target: Path, sources: list[Path]) -> None:
    """
    Has cargo build these anew if another tree was built last: other checkouts use the same directory, and cargo goes
    by the times of files, not by what is in them.
    """
    digest = hashlib.sha256()
    for source in sorted(sources):
        digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    mark = target / "built-of"
    if mark.exists() and mark.read_text() == digest.hexdigest():
        return
    target.mkdir(parents=True, exist_ok=True)
    for source in sources:
        os.utime(source)
    mark.write_text(digest.hexdigest())


def _renew() -> None:
    here, target = CHECKOUT / "userspace", CACHE / "build/userspace"
    sources = [path for path in here.rglob("*") if path.is_file()]
    with locked(CACHE / "build/userspace.lock", "building the user space"):
        # Two of the latter are part of enoki-trace.
        renew(target, [*sources, *(CHECKOUT / "tools/enoki-replay").glob("*.rs")])


def build() -> Path:
    """Builds the library, its examples and the programs; returns a directory with all that a guest needs."""
    _renew()
    target = CACHE / "build/userspace"
    release = target / "release"
    with locked(CACHE / "build/userspace.lock", "building the user space"):
        for what in (["--lib", "--examples"], ["--package", "enokictl", "--package", "enoki-replay"]):
            _run(
                ["cargo", "build", "--locked", "--quiet", "--release", *what],
                CARGO_HOME=str(CACHE / "cargo"),
                CARGO_TARGET_DIR=str(target),
            )
        flags = ["-O2", "-Wall", "-Wextra", "-Werror", f"-I{CLIENT}/include"]
        source, program = CLIENT / "examples/sender.c", release / "examples/sender_c"
        _run(["gcc", *flags, str(source), str(release / "libenoki_client.a"), "-o", str(program)])
        for path in (
            release / "examples/sender", program, release / "examples/flood", release / "examples/overlap",
            release / "libenoki_client.so", release / "enokictl", release / "enoki-replay",
            CLIENT / "examples/sender.py", CLIENT / "examples/places.py", CLIENT / "python/enoki_client.py",
        ):  # fmt: skip
            _put(path, BUILT / path.parent.name / path.name)
    return BUILT


def replayer() -> Path:
    """Builds enoki-replay and libEnoki for user space, where it looks for that; returns the program."""
    built = build()
    place, tools = built / "libenoki", CHECKOUT / "tools/enoki-replay"
    crates = host_crates.build()
    sources = sorted([*tools.rglob("*.rs"), *(CHECKOUT / "rust/enoki").glob("*.rs")])
    made_of = "".join([str(crates), *(source.read_text() for source in sources)])

    def make(scratch: Path) -> Path:
        made = scratch / "made"
        shutil.copytree(crates, made)
        argv = ["rustc", "--edition", "2021", "-O", "-g", "--crate-name", "enoki", "--crate-type", "rlib", "-L", "."]
        _run([*argv, "--extern", "zerocopy", "--extern", "zerocopy_derive", str(tools / "libenoki.rs")], cwd=made)
        return made

    library = prepare.built_once("libenoki", made_of, make)
    for path in (*library.iterdir(), *(CHECKOUT / "samples/rust").glob("enoki_*.rs")):
        if path.suffix in (".rlib", ".so", ".rs"):
            _put(path, place / path.name)
    return built / "release/enoki-replay"


def workloads() -> Path:
    """Builds what the benchmarks run; returns the directory that has the programs."""
    _renew()
    target = CACHE / "build/userspace"
    with locked(CACHE / "build/userspace.lock", "building the workloads"):
        _run(
            ["cargo", "build", "--locked", "--quiet", "--release", "--package", "enoki-bench", "--bins"],
            CARGO_HOME=str(CACHE / "cargo"),
            CARGO_TARGET_DIR=str(target),
            # Debian's RocksDB, not one that is built from source.
            ROCKSDB_LIB_DIR="/usr/lib/x86_64-linux-gnu",
            ROCKSDB_INCLUDE_DIR="/usr/include",
        )
        for program in WORKLOADS:
            _put(target / "release" / program, BENCH / program)
    return BENCH


def _put(source: Path, place: Path) -> None:
    """Copies a file to where a guest may be reading what was there before."""
    if place.exists() and filecmp.cmp(source, place, shallow=False):
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    fresh = place.with_name(place.name + ".new")
    shutil.copy(source, fresh)
    fresh.replace(place)


def clients(kernel: Path) -> Outcome:
    """Senders in Rust, C and Python are served, refused and cleaned up."""
    ended = machine.boot(
        ["python3", "-m", "enokitest.clients_guest", kernel / "test_modules/enoki_echo.ko", build()],
        log="clients.log",
        env={"PYTHONPATH": str(CHECKOUT / "ci"), "PYTHONDONTWRITEBYTECODE": "1"},
        options=["--kernel", str(kernel), "--cpus", "1", "--timeout", "900"],
    )
    return _judged(ended, parse(ended.lines))


def enokictl(kernel: Path) -> Outcome:
    """enokictl does what it says, and upgrades a policy that has tasks."""
    ended = machine.boot(
        ["python3", "-m", "enokitest.enokictl_guest", build() / "release/enokictl", kernel / "test_modules"],
        log="enokictl.log",
        env={"PYTHONPATH": str(CHECKOUT / "ci"), "PYTHONDONTWRITEBYTECODE": "1"},
        options=["--kernel", str(kernel), "--cpus", "1", "--timeout", "900"],
    )
    return _judged(ended, parse(ended.lines))


def flood(kernel: Path, hints: int = HINTS) -> Outcome:
    """So many hints and as many messages, none lost, torn or out of order; and the price of one."""
    flood_program = build() / "examples/flood"
    ended = machine.boot(
        [machine.GUEST / "flood.sh", kernel / "test_modules/enoki_echo.ko", flood_program, str(hints)],
        log="flood.log",
        options=["--kernel", str(kernel), "--cpus", "1", "--icount", "--timeout", "7200"],
    )
    results, text = Results(), "\n".join(ended.lines)
    if price := re.search(r"flood: (\d+) ns for a hint", text):
        within = int(price[1]) <= MOST_INSTRUCTIONS
        results.passed += within
        if not within:
            results.failed.append(f"a hint takes {price[1]} instructions, {MOST_INSTRUCTIONS} are allowed")
    else:
        results.failed.append("flood did not say what a hint takes")
    if f"flood: {hints} hints sent, {hints} messages received" in text:
        results.passed += 1
    else:
        results.failed.append(f"{hints} hints were not all answered")
    return _judged(ended, results)


def overlap(kernel: Path, hints: int = OVERLAPPING_HINTS) -> Outcome:
    """So many of several senders at the same time, on CPUs of their own, all counted on both sides."""
    ended = machine.boot(
        ["python3", "-m", "enokitest.overlap_guest", kernel / "test_modules/enoki_echo.ko", build(), str(hints)],
        log=f"overlap-{hints}.log",
        env={"PYTHONPATH": str(CHECKOUT / "ci"), "PYTHONDONTWRITEBYTECODE": "1"},
        options=["--kernel", str(kernel), "--cpus", "2", "--timeout", "7200"],
    )
    return _judged(ended, parse(ended.lines))


def _judged(ended: machine.Ended, results: Results) -> Outcome:
    if ended.problem:
        results.failed.append(ended.problem)
    elif ended.status and not results.failed:
        results.failed.append(ended.failure)
    elif not results.total:
        results.failed.append("nothing ran")
    return Outcome(results, str(ended.log.relative_to(CHECKOUT)) if results.failed else "")


def main() -> int:
    """make userspace; with "renew" it only gets ready for whoever calls cargo by other means."""
    if sys.argv[1:] == ["renew"]:
        _renew()
        return 0
    replayer()
    say(f"the client library, its examples, enokictl and enoki-replay are in {BUILT.relative_to(CHECKOUT)}/")
    return 0


if __name__ == "__main__":
    main_wrapper(main)
