"""ci/test: the levels in their order. quick is what every change must pass, all adds the slow ones."""

import argparse
import os
import re
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from enokici import build as kernels
from enokici.common import CACHE, CHECKOUT, OUT, Failure, main_wrapper

from . import (
    bench,
    bench_arachne,
    bench_locality,
    bench_shinjuku,
    latency,
    machine,
    prepare,
    replay,
    style,
    userspace,
    watch,
)
from .suite import Outcome, Suite
from .tap import Results, parse

# CPU counts that the debug kernel is tested with.
QUICK_CPUS = (1, 2, 4)
ALL_CPUS = (1, 2, 4, 8)
# Shares of time mean little where guest CPUs wait for the host's, so there
# it is run on a clock that counts instructions only.
TIMED = "fairness"
# Where each access to memory may be held up for 80 us neither shares nor slices are what they are.
HELD_UP = (TIMED, "timing")
# Programs that need a machine of a special shape; in the others they would only be skipped.
SHAPED = ("core_sched", "isolation")
# The policies of the tests that run under each, beside the two that the quick level has.
FURTHER_POLICIES = ("shinjuku", "locality", "arachne")
# And the kernels on which they do so, beside the debug one.
FURTHER_KERNELS = ("rt", "kasan")
# Programs that take minutes. The quick level has them with these numbers of CPUs only.
LONG = {
    "cgroup": (1,), "eject": (1, 4), "faults": (4,), "misbehave": (2,), "storm": (1, 4), "suspend": (2,),
    "upgrade": (1, 4), "upgrade_forms": (2,), "upgrade_hints": (2,), "upgrade_storm": (2,), "switch": (2,),
    "canary": (2,),
}  # fmt: skip
VM_SECONDS = 2400
# How often storm ejects each policy on so many CPUs: 1,000 times in all.
STORMS = {1: 200, 2: 200, 4: 100}
# And each of the further policies on 2.
FURTHER_STORMS = 50
# How often a policy is replaced on each of these kernels with each number of CPUs; and with the old
# version's module removed and loaded each time, on 2.
UPGRADED_KERNELS = ("debug", "kasan")
UPGRADES, RELOADS = 2000, 250


def script(name: str, *args: str) -> Outcome:
    """A test script of ci/ by its exit status and, where it counts, its counts."""
    path = CHECKOUT / "ci" / name
    if not path.exists():
        raise Failure(f"ci/{name} is not there")
    log = OUT / "log" / f"{name}{args[0] if args else str()}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "w", encoding="utf-8", errors="replace") as out:
        done = subprocess.run(
            [str(path), *args], stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, check=False
        )
    return judged(done.returncode, log)


def counted(text: str) -> Results:
    """The tests in a script's output: TAP, cargo's and rustc's summaries, or "N passed, M failed"."""
    results = Results()
    failed = re.findall(r"^test (.*) \.\.\. FAILED$", text, re.M)
    rust = re.findall(r"^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored", text, re.M)
    plain = re.findall(r"^(?:.*: )?(\d+) passed, (\d+) failed\b", text, re.M)
    if rust:
        results.passed = sum(int(passed) for passed, _, _ in rust)
        missing = sum(int(bad) for _, bad, _ in rust) - len(failed)
        results.failed = failed + [f"{missing} tests without a name"] * (missing > 0)
    if re.search(r"^(not )?ok \d+", text, re.M):
        results.add(parse(text.splitlines()))
    elif plain and not rust:
        results.passed = int(plain[-1][0])
        names = re.findall(r"^\s*(?:FAILED|FAIL|not ok)[: ]+(.*)$", text, re.M)
        results.failed = names or [f"{plain[-1][1]} tests"] * (plain[-1][1] != "0")
    return results


def judged(status: int, log: Path) -> Outcome:
    """A script's outcome; without counts its exit status is one test."""
    text = log.read_text(errors="replace")
    results = counted(text)
    if status and not results.failed:
        last = [line for line in text.splitlines() if line.strip()][-1:] or ["no output"]
        results.failed.append(f"exit status {status}: {last[0].strip()[:150]}")
    elif not results.total:
        results.passed = 1
    return Outcome(results, "" if not results.failed else str(log.relative_to(CHECKOUT)))


def build(flavour: str) -> Outcome:
    """A kernel that must build."""
    kernels.build(flavour)
    return Outcome(Results(passed=1))


def build_selftests() -> Outcome:
    """The selftests must compile without a warning."""
    prepare.selftests(kernels.build("debug"))
    return Outcome(Results(passed=len(prepare.programs())))


def listing(path: Path) -> str:
    """The code of an object file, without what is not code."""
    argv = ["objdump", "-dr", "--no-show-raw-insn", path.name]
    done = subprocess.run(argv, cwd=path.parent, capture_output=True, text=True, check=True)
    # Line numbers in BUG tables and the like are data.
    return re.sub(r"\.L\w+|\.(rodata|data|bss)\S*", "", done.stdout)


def n_is_pristine() -> Outcome:
    """With Enoki off, kernel/sched is the code it was without it."""
    ours, theirs = (kernels.build(name) / "objects/kernel/sched" for name in ("n", "pristine"))
    results = Results()
    for path in sorted(theirs.glob("*.o")):
        if (ours / path.name).exists() and listing(ours / path.name) == listing(path):
            results.passed += 1
        else:
            results.failed.append(f"kernel/sched/{path.name} differs from the pristine one")
    return Outcome(results)


def _steps(ended: machine.Ended, wanted: list[str]) -> Outcome:
    """Results of programs that guest/selftests.sh or kunit.sh ran."""
    results = Results()
    seen = machine.sections(ended.lines)
    for name in wanted or list(seen):
        lines, status = seen.get(name, ([], None))
        got = parse(lines)
        if status is None:
            got.failed.append("did not run to its end" if name in seen else "did not run")
        elif status not in (0, 4) and not got.failed:
            got.failed.append(f"exit status {status}" + (" (time-out)" if status in (124, 137) else ""))
        elif not got.total:
            got.failed.append("no results")
        results.add(got, f"{name} ")
    if ended.problem:
        results.failed.append(ended.problem)
    elif ended.status:
        results.failed.append(ended.failure)
    elif not seen:
        results.failed.append("nothing ran")
    note = str(ended.log.relative_to(CHECKOUT)) if results.failed else ""
    return Outcome(results, note)


def run_selftests(
    flavour: str,
    cpus: int,
    names: list[str],
    label: str = "",
    options: tuple[str, ...] = (),
    until: re.Pattern[str] | None = None,
    seconds: int = VM_SECONDS,
    env: dict[str, str] | None = None,
) -> machine.Ended:
    """Selftests in one boot, all of them or until a line of their output matches."""
    kernel = kernels.build(flavour)
    env = {
        "SCX_SIMPLE": str(prepare.scx(kernel) / "scx_simple"),
        "TEST_MODULES": str(kernel / "test_modules"),
        "SEED": os.environ.get("SEED") or str(time.time_ns()),
        **(env or {}),
    }
    programs = prepare.selftests(kernel)
    return machine.boot(
        [machine.GUEST / "selftests.sh", programs, *names],
        log=f"selftests-{flavour}-{label or cpus}.log",
        options=[
            "--kernel", flavour, "--cpus", str(cpus), "--timeout", str(seconds), *options,
        ],  # fmt: skip
        until=until,
        env=env,
    )


def selftests(
    flavour: str,
    cpus: int,
    names: list[str],
    label: str = "",
    options: tuple[str, ...] = (),
    until: re.Pattern[str] | None = None,
    seconds: int = VM_SECONDS,
    env: dict[str, str] | None = None,
) -> Outcome:
    """The same, with their results."""
    return _steps(run_selftests(flavour, cpus, names, label, options, until, seconds, env), names)


def shaped(
    flavour: str,
    names: tuple[str, ...] = SHAPED,
    label: str = "shaped",
    until: re.Pattern[str] | None = None,
    seconds: int = VM_SECONDS,
    env: dict[str, str] | None = None,
) -> Outcome:
    """The programs that want SMT and CPUs set apart, in a machine that has both."""
    options = ["--qemu=-smp", "--qemu=threads=2,cores=2,sockets=1"]
    options += ["--append", "isolcpus=2", "--append", "nohz_full=3"]
    # A CPU that core scheduling keeps idle while ksoftirqd waits there for its turn says this.
    options += ["--allow", "NOHZ tick-stop error: local softirq work is pending"]
    return selftests(flavour, 4, list(names), label, tuple(options), until, seconds, env)


# Work that is bound to the CPU waits for it as long as the test wants it to.
LAST_ISOLATED = ("--append", "isolcpus=3", "--append", "workqueue.watchdog_thresh=0")


def stuck() -> Outcome:
    """A CPU is stuck for a while; what the kernel's detectors say of it is wanted."""
    allowed = (r"INFO: rcu_\w+ .*detected .*stall", r"hard LOCKUP on cpu [13]$", "soft lockup - CPU#3 ")
    options = (*LAST_ISOLATED, *(word for words in allowed for word in ("--allow", words)))
    return selftests("debug", 4, ["stuck"], "stuck", options)


def panics() -> Outcome:
    """A CPU is lost for good, and with it a clean end: the run ends with the result."""
    allowed = ("panicked at", "kernel BUG at rust", "Oops: invalid opcode")
    options = (*LAST_ISOLATED, *(word for words in allowed for word in ("--allow", words)))
    ended = run_selftests("debug", 4, ["panics"], "panics", options, re.compile(r"^((not )?ok \d|1\.\.0)"))
    results = parse(ended.lines)
    if reports := [line for line in ended.lines if "the kernel reports:" in line]:
        results.failed.append(reports[0])
    elif not results.total:
        results.failed.append(ended.failure or "no result")
    return Outcome(results, str(ended.log.relative_to(CHECKOUT)) if results.failed else "")


# Programs in which a CPU is lost, each with a machine of its own.
LOSING = {"stuck": stuck, "panics": panics}
# Programs that are for a clock that counts instructions, and nothing else.
STEADY = ("crowd", "blackout")
APART = (*SHAPED, *LOSING, *STEADY)


def kunit(flavour: str) -> Outcome:
    """The KUnit suites in the kernel."""
    kernels.build(flavour)
    ended = machine.boot(
        [machine.GUEST / "kunit.sh"],
        log=f"kunit-{flavour}.log",
        options=["--kernel", flavour, "--cpus", "2", "--timeout", "600"],
    )
    return _steps(ended, [])


def in_machine(names: list[str], cpus: int) -> list[str]:
    """The programs for a machine of that many CPUs."""
    return [name for name in names if name != TIMED or cpus <= len(os.sched_getaffinity(0))]


def quick(names: list[str], cpus: int) -> list[str]:
    """Those of them that the quick level runs there."""
    return [name for name in names if cpus in LONG.get(name, (cpus,))]


def steady(program: str, cpus: int) -> Outcome:
    """A program on a clock that counts instructions, where 2 % is 2 %."""
    kernel = kernels.build("release")
    programs = prepare.selftests(kernel)
    ended = machine.boot(
        [machine.GUEST / "selftests.sh", programs, program],
        log=f"{program}-icount-{cpus}.log",
        options=["--kernel", "release", "--cpus", str(cpus), "--icount", "--timeout", "900"],
        env={"ENOKI_STEADY_CLOCK": "1", "LIMIT": "800", "TEST_MODULES": str(kernel / "test_modules")},
    )
    return _steps(ended, [program])


Group = tuple[str, Callable[[], Outcome]]


def patient(program: str, flavour: str, cpus: int, label: str, **env: str) -> Outcome:
    """A program for as long as it takes."""
    return selftests(flavour, cpus, [program], f"{program}-{label}", seconds=10800, env={"LIMIT": "10000", **env})


def storm(flavour: str, cpus: int) -> Outcome:
    """The program of that name, many times."""
    return patient("storm", flavour, cpus, str(cpus), STORM_CYCLES=str(STORMS[cpus]))


def once(flavour: str, what: str, tests: Callable[[], Outcome]) -> Outcome:
    """Tests that take long; not again if this very kernel, with these programs, has passed them."""
    passed = CACHE / "passed" / f"{kernels.build(flavour).name}-{what}"
    if passed.exists():
        return Outcome(Results(passed=int(passed.read_text())), f"passed before (remove {passed} to have it run)")
    outcome = tests()
    if not outcome.results.failed:
        passed.parent.mkdir(parents=True, exist_ok=True)
        passed.write_text(str(outcome.results.passed))
    return outcome


def upgrades(flavour: str, cpus: int, reload: bool = False) -> Group:
    """A policy is replaced, many times, while everything goes on at once."""
    env = {"UPGRADE_CYCLES": str(RELOADS if reload else UPGRADES), **({"UPGRADE_RELOAD": "1"} if reload else {})}
    what = f"{'reloads' if reload else 'upgrades'}-{cpus}"
    return (
        f"{env['UPGRADE_CYCLES']} upgrades{', with modules' if reload else ''}, {flavour} kernel, {words(cpus)}",
        lambda: once(flavour, what, lambda: patient("upgrade_storm", flavour, cpus, f"{flavour}-{what}", **env)),
    )


def storm_under(policy: str) -> Group:
    """The same with that policy."""
    env = {"VARIANTS": f"-v {policy}", "STORM_CYCLES": str(FURTHER_STORMS)}
    return f"storm under {policy}, debug kernel, 2 CPUs", lambda: patient("storm", "debug", 2, policy, **env)


def words(cpus: int) -> str:
    """How many CPUs a machine has."""
    return f"{cpus} CPU{'s' * (cpus > 1)}"


def on_cpus(names: list[str], cpus: int, flavour: str = "debug") -> Group:
    """The selftests on a kernel with that many CPUs."""
    return f"selftests, {flavour} kernel, {words(cpus)}", lambda: selftests(flavour, cpus, in_machine(names, cpus))


def under(policy: str, flavour: str = "debug") -> Group:
    """The selftests that are for every policy, under that one."""
    names = [name for name in prepare.programs() if name not in APART and prepare.for_each_policy(name)]
    env = {"VARIANTS": f"-v {policy}"}
    return (
        f"selftests under {policy}, {flavour} kernel, 2 CPUs",
        lambda: selftests(flavour, 2, in_machine(names, 2), policy, env=env),
    )


def shaped_under(policy: str) -> Group:
    """The same of those that want SMT and CPUs set apart."""
    name, env = f"SMT and isolation under {policy}, debug kernel", {"VARIANTS": f"-v {policy}"}
    return name, lambda: shaped("debug", label=f"shaped-{policy}", env=env)


def by_instructions(program: str, cpus: int) -> Group:
    """A program on a machine of that many CPUs."""
    return f"{program} by instructions, {words(cpus)}", lambda: steady(program, cpus)


def run(suite: Suite, full: bool) -> None:
    """All levels in their order."""
    suite.group("checkpatch", style.checkpatch)
    suite.group("rustfmt", style.rustfmt)
    suite.group("shellcheck", style.shell)
    suite.group("lines of code", lambda: script("count-lines"))
    suite.group("unit tests of ci", style.unit_tests)
    suite.group("known bugs still apply", style.known_bugs)
    suite.group("host tests, compile-fail", lambda: script("host-tests"))
    suite.group("user space, orderings", lambda: script("userspace"))
    suite.group("kernel release", lambda: build("release"))
    suite.group("kernel debug", lambda: build("debug"))
    suite.group("panic gate", lambda: script("panic-gate", "--built", str(kernels.build("release"))))
    suite.group("panic gate on itself", lambda: script("panic-gate", "--self-test", str(kernels.build("release"))))
    suite.group("selftests build", build_selftests)
    names = [name for name in prepare.programs() if name not in APART]

    def tests(cpus: int) -> Group:
        return on_cpus(names if full else quick(names, cpus), cpus)

    # What keeps one CPU of the host busy goes beside something else that does, the longest first.
    singles = [
        tests(1),
        ("unit tests of ci/vm", lambda: style.unit_tests("debug", ("enokici",))),
        by_instructions("cgroup", 1),
        by_instructions("fairness", 4),
        ("pipe by instructions", bench.gate),
        by_instructions("fairness", 2),
        by_instructions("timing", 2),
        by_instructions("shinjuku", 2),
        by_instructions("crowd", 1),
        by_instructions("blackout", 8),
        ("KUnit, debug kernel", lambda: kunit("debug")),
        ("clients in Rust, C, Python", lambda: userspace.clients(kernels.build("debug"))),
        ("enokictl", lambda: userspace.enokictl(kernels.build("debug"))),
        ("a policy's source, watched", watch.check),
        ("recordings run again, 1 CPU", lambda: replay.check(1)),
        ("hints by instructions", lambda: userspace.flood(kernels.build("release"))),
    ]
    if full:
        singles += [by_instructions("servers", 2), by_instructions("eject", 4)]
        singles += [by_instructions("blackout", cpus) for cpus in (1, 2, 4, 16)]
    suite.side_by_side(singles, lanes=len(os.sched_getaffinity(0)))
    suite.group("hints of several senders", lambda: userspace.overlap(kernels.build("debug")))
    for cpus in QUICK_CPUS[1:]:
        suite.group(f"recordings run again, {words(cpus)}", lambda c=cpus: replay.check(c))
    for cpus in (ALL_CPUS if full else QUICK_CPUS)[1:]:
        suite.group(*tests(cpus))
    suite.group("selftests, SMT and isolation", lambda: shaped("debug"))
    suite.group("selftests, a CPU is stuck", stuck)
    suite.group("selftests, a CPU panics", panics)
    if full:
        for policy in FURTHER_POLICIES:
            suite.group(*under(policy))
            suite.group(*shaped_under(policy))
        for flavour, counts, without in (
            ("rt", QUICK_CPUS, ()),
            ("kasan", (2,), ()),
            ("kcsan", (2,), HELD_UP),
            ("llvm", (2,), ()),
        ):
            wanted = [name for name in names if name not in without]
            suite.group(f"kernel {flavour}", lambda f=flavour: build(f))
            for cpus in counts:
                suite.group(*on_cpus(wanted, cpus, flavour))
            for policy in FURTHER_POLICIES if flavour in FURTHER_KERNELS else ():
                suite.group(*under(policy, flavour))
        suite.group("selftests, SMT and isolation, rt kernel", lambda: shaped("rt"))
        for flavour in ("debug", "kasan"):
            for cpus in STORMS:
                name = f"storm, {flavour} kernel, {words(cpus)}"
                suite.group(name, lambda f=flavour, c=cpus: once(f, f"storm-{c}", lambda: storm(f, c)))
        for policy in FURTHER_POLICIES:
            suite.group(*storm_under(policy))
        for flavour in UPGRADED_KERNELS:
            for cpus in ALL_CPUS:
                suite.group(*upgrades(flavour, cpus))
            suite.group(*upgrades(flavour, 2, reload=True))
        suite.group("faults for a minute each", lambda: patient("faults", "debug", 4, "minute", FAULT_SECONDS="60"))
        suite.group("cyclictest by instructions, rt kernel", latency.gate)
        suite.group("shinjuku against EEVDF", bench_shinjuku.gate)
        suite.group("locality against EEVDF", bench_locality.gate)
        suite.group("Arachne against cpusets", bench_arachne.gate)
        suite.group("many hints", lambda: userspace.flood(kernels.build("release"), userspace.MANY_HINTS))
        suite.group(
            "many hints of several senders", lambda: userspace.overlap(kernels.build("release"), userspace.MANY_HINTS)
        )
        suite.group("kernel arm64", lambda: build("arm64"))
        suite.group("kernel n", lambda: build("n"))
        suite.group("n is the pristine scheduler", n_is_pristine)
        suite.group("the class unused, by instructions", bench.unused)


def main() -> int:
    """The command line of ci/test."""
    parser = argparse.ArgumentParser(
        prog="ci/test",
        description="Runs the tests, one line a group; logs are in out/log. The last line counts everything.",
    )
    parser.add_argument("level", choices=("quick", "all"), nargs="?", default="quick")
    parser.add_argument("--only", default="", metavar="WORD", help="only the groups whose name has WORD in it")
    args = parser.parse_args()
    suite = Suite(only=args.only)
    run(suite, args.level == "all")
    return suite.finish()


if __name__ == "__main__":
    main_wrapper(main)
