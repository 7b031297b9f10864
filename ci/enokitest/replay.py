"""Recordings of the policies under load, which are run again in user space: every answer must be the same."""

import os
import re
import subprocess
from functools import partial
from pathlib import Path

from enokici import build as kernels
from enokici.common import CHECKOUT, OUT, Failure

from . import machine, prepare, userspace
from .suite import Outcome
from .tap import Results

POLICIES = ("fifo", "wfq", "shinjuku", "locality", "arachne", "echo")
# A policy that does not do the same twice, as it looks at an address.
FICKLE = "fickle"
# A part of a line of a policy, and what it is in a copy that should be found out by that: a task gets a slice although
# it is alone, which happens in every recording.
CHANGED = ("{ Ns::ZERO } else { SLICE }", "{ SLICE } else { SLICE }")
# What must be in these recordings, or they show little.
NEEDED = {
    "wfq-mix": ("reregister_init", "task_prio_changed"),
    "shinjuku-mix": ("reregister_init",),
    "locality-mix": ("parse_hint",),
    "echo-mix": ("register_queue", "enter_queue", "parse_hint", "send", "reregister_init"),
}
# Under these loads each policy is recorded, and those under more or fewer than all.
LOADS = {"wfq": ("pipe", "shares", "mix"), "shinjuku": ("slice", "pipe", "mix"), FICKLE: ("pipe",)}
PLACE = OUT / "replay"
PARTS = re.compile(r" \(\d+ in parts\)")
RECORDED = re.compile(r"\d+ calls as recorded \((\d+) in parts\)")


# A program that is to end, with what it says.
_run = partial(subprocess.run, capture_output=True, text=True, timeout=600, check=False)


def _source(policy: str) -> Path:
    if policy in (FICKLE, "echo"):
        return CHECKOUT / prepare.TESTS / f"test_modules/enoki_{policy}.rs"
    return CHECKOUT / f"samples/rust/enoki_{policy}.rs"


def _changed() -> Path:
    """The source of a policy of which a line is changed."""
    PLACE.mkdir(parents=True, exist_ok=True)
    changed = PLACE / "enoki_changed.rs"
    text, line = _source("fifo").read_text(), CHANGED[0]
    if text.count(line) != 1:
        raise Failure(f"enoki_fifo.rs does not have {line} exactly once")
    changed.write_text(text.replace(*CHANGED))
    return changed


def again(replayer: Path, recording: Path, source: Path, *options: str) -> tuple[int, str]:
    """Runs a recording again; how that ended, and what it said but for how long it took."""
    argv = [str(replayer), str(recording), "--source", str(source), *options]
    done = _run(argv)
    return done.returncode, re.sub(r", in [\d.]+ s", "", done.stdout + done.stderr).strip()


def missing(replayer: Path, recording: Path) -> list[str]:
    """The kinds of records that a recording should have and does not."""
    done = _run([str(replayer), "--info", str(recording)])
    there = {line.split()[-1] for line in done.stdout.splitlines() if line}
    return [kind for kind in NEEDED.get(recording.stem, ()) if kind not in there]


def judge(replayer: Path, recordings: list[tuple[str, Path]]) -> Results:
    """Every recording of a policy that says what it does goes as it went, twice; the others are found out."""
    results = Results()

    def check(good: bool, name: str, said: str) -> None:
        if good:
            results.passed += 1
        else:
            results.failed.append(f"{name}: {said[:2000]}")

    changed = _changed()
    for policy, recording in recordings:
        status, said = again(replayer, recording, _source(policy))
        if policy == FICKLE:
            check(status == 1 and "the policy answers slice" in said, recording.name, f"it was not found out: {said}")
            continue
        check(status == 0 and bool(RECORDED.search(said)), recording.name, said)
        check(again(replayer, recording, _source(policy)) == (status, said), f"{recording.name} once more", "is different")
        threads, beside = again(replayer, recording, _source(policy), "--threads")
        same = PARTS.sub("", beside) == PARTS.sub("", said)
        check(threads == status and same, f"{recording.name} with threads", beside)
        if recording.stem == "shinjuku-slice":
            # It is run again with the slice that was recorded, 15 µs; not with another one.
            status, said = again(replayer, recording, _source(policy), "--set", "slice_us=16")
            check(status == 1 and "slice 16000; then it was 15000" in said, f"slice, {recording.name}", said)
        if policy == "fifo":
            status, said = again(replayer, recording, changed)
            check(status == 1 and "then it was" in said, f"changed, {recording.name}", f"it was not found out: {said}")
    return results


def debugged(replayer: Path, recording: Path) -> str:
    """Has gdb stop in a pick of this recording of fifo; what is wrong with that, if anything."""
    printed = _run([str(replayer), "--print", str(recording)]).stdout
    picks = re.findall(r"^ *(\d+:\d+) .* pick_next_task task \d+", printed, re.M)
    if not picks:
        return "the recording has no picks"
    source = _source("fifo")
    line = next(number for number, line in enumerate(source.read_text().splitlines()) if "let cpu = ctx.cpu();" in line)
    argv = [str(replayer), str(recording), "--source", str(source), "--break", picks[len(picks) // 2], "--ex", "bt 1"]
    said = _run(argv).stdout
    stopped = re.findall(r"^#0 .*pick_next_task .* at .*enoki_fifo.rs:(\d+)$", said, re.M)
    return "" if stopped == [str(line + 1)] else f"gdb did not stop in pick_next_task: {said[-2000:]}"


def shared(replayer: Path, recording: Path) -> str:
    """
    Asks what fifo would have done with two tasks on one CPU, of which one has 9 times the weight; what is wrong with
    the answer, if anything. wfq gives each what is fair, in the recording and in the model. With fifo they take turns.
    """
    done = _run([str(replayer), str(recording), "--source", str(_source("wfq")), "--policy", str(_source("fifo"))])
    number = r" +([\d.]+) \(\d+\)"
    found = [re.search(rf"^{which} of a fair share.*?{number * 3}$", done.stdout, re.M) for which in ("least", "most")]
    if not all(found):
        return f"fifo instead of wfq: {done.stdout + done.stderr}"
    (*least, least_fifo), (*most, most_fifo) = ([float(share) for share in line.groups()] for line in found if line)
    good = min(least) > 0.8 and max(most) < 1.2 and least_fifo < 0.8 and most_fifo > 1.5
    return "" if good else f"fifo instead of wfq: {done.stdout}"


def drawn(replayer: Path, recording: Path) -> str:
    """Makes a page of a recording and opens it in a browser; what is wrong with that, if anything."""
    page = recording.with_suffix(".html")
    made = _run([str(replayer), str(recording), "--html", str(page)])
    if made.returncode:
        return f"no page was made: {made.stderr}"
    # Without the sandbox, as it does not run as root otherwise; the page is ours, and needs no network.
    browser = ["chromium-headless-shell", "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1200,1100"]
    argv = [*browser, "--virtual-time-budget=10000", f"--screenshot={page.with_suffix('.png')}", "--dump-dom", page.as_uri()]
    said = _run(argv)
    # The script says so at its very end, and rows are made by it.
    done = re.search(r'<body data-drawn="[1-9]\d*"', said.stdout) and "<tr data-task=" in said.stdout
    return "" if done else f"the page was not drawn: {said.stdout[-1000:]} {said.stderr[-2000:]}"


def check(cpus: int) -> Outcome:
    """Records all policies on a machine of so many CPUs, and runs that again."""
    kernel, replayer = kernels.build("debug"), userspace.replayer()
    place = PLACE / str(cpus)
    place.mkdir(parents=True, exist_ok=True)
    recordings = []
    for policy in (*POLICIES, FICKLE):
        for load in LOADS.get(policy, ("pipe", "mix")):
            recordings.append((policy, place / f"{policy}-{load}.enoki"))
            recordings[-1][1].unlink(missing_ok=True)
    programs = [prepare.selftests(kernel), userspace.BUILT]
    ended = machine.boot(
        [machine.GUEST / "recordings.sh", *programs, kernel / "test_modules", place, str(cpus)],
        log=f"recordings-{cpus}.log",
        options=["--kernel", str(kernel), "--cpus", str(cpus), "--timeout", "1200"],
    )
    if ended.failure:
        return Outcome(Results(failed=[ended.failure]), str(ended.log.relative_to(CHECKOUT)))
    results = judge(replayer, recordings)
    for wrong in (
        debugged(replayer, place / "fifo-mix.enoki"),
        shared(replayer, place / "wfq-shares.enoki") if cpus == 1 else "",
        drawn(replayer, place / "wfq-mix.enoki"),
    ):
        results.passed += not wrong
        results.failed += [wrong] * bool(wrong)
    for _, recording in recordings:
        if kinds := missing(replayer, recording):
            results.failed.append(f"{recording.name} has no {', '.join(kinds)}")
    size = sum(os.path.getsize(recording) for _, recording in recordings)
    said = [again(replayer, recording, _source(policy))[1] for policy, recording in recordings if policy != FICKLE]
    parts = sum(int(found[1]) for found in map(RECORDED.search, said) if found)
    return Outcome(results, f"{size / 1e6:.1f} MB of recordings, {parts} calls in parts")
