"""The style gates: what upstream's own checkers and ours say of every file."""

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from enokici import compose
from enokici.common import CACHE, CHECKOUT

from .suite import Outcome
from .tap import Results

# checkpatch, and what it reads.
TOOL_PATHS = ["scripts/checkpatch.pl", "scripts/spelling.txt", "scripts/const_structs.checkpatch", "COPYING"]
CHECKED = (".c", ".h", ".rs", ".S", ".rst")
# Files stand alone here, patches have no author's sign-off (the one who submits adds it),
# and MAINTAINERS is one patch of the series.
IGNORED = ["FILE_PATH_CHANGES", "MISSING_SIGN_OFF", "COMMIT_MESSAGE", "NO_AUTHOR_SIGN_OFF", "BAD_SIGN_OFF"]
# Lists that macros are applied to cannot do without the first two; a message that is
# cut in two cannot be searched for.
IGNORED += ["MACRO_ARG_REUSE", "MACRO_ARG_PRECEDENCE", "LONG_LINE_STRING"]
# It counts bytes for columns unless perl is told to read UTF-8, and then takes that for wrong.
IGNORED += ["INVALID_UTF8"]
UTF8 = {"PERL_UNICODE": "SD"}
# What the kselftest harness's own macros are made of.
IGNORED_IN_TESTS = [
    "MACRO_WITH_FLOW_CONTROL", "MACRO_ARG_REUSE", "NAKED_SSCANF", "AVOID_EXTERNS", "EMBEDDED_FUNCTION_NAME",
]  # fmt: skip


def _tools() -> Path:
    directory = CACHE / "build/checkpatch"
    compose.export(compose.compose(with_overlay=False), directory, TOOL_PATHS)
    return directory


def overlay_files() -> list[str]:
    """The overlay's files, by their path in the kernel tree."""
    return compose.overlay({"kernel", "include", "rust", "samples", "tools", "Documentation", "arch", "lib", "init"})


# A line that begins with a star is an input section of a linker script, never a product.
LINKER_SCRIPT = "spaces preferred around that '*' (ctx:ExV)"


def _complaints(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if LINKER_SCRIPT in line:
            continue
        if re.match(r"(.*:\d+: )?(ERROR|WARNING|CHECK):", line):
            yield line


def checkpatch() -> Outcome:
    """checkpatch --strict over patches and overlay; one test a file."""
    tools = _tools()
    results = Results()
    base = ["perl", str(tools / "scripts/checkpatch.pl"), "--strict", "--no-tree", "--terse", "--show-types"]
    jobs: list[tuple[str, list[str]]] = [
        (str(path.relative_to(CHECKOUT)), [*base, f"--ignore={','.join(IGNORED)}", str(path)])
        for path in compose.patches()
    ]
    for name in overlay_files():
        if not name.endswith(CHECKED):
            continue
        ignored = IGNORED + (IGNORED_IN_TESTS if name.startswith("tools/testing/") else [])
        jobs.append((name, [*base, f"--ignore={','.join(ignored)}", "-f", name]))

    def check(job: tuple[str, list[str]]) -> list[str]:
        env = {**os.environ, **UTF8}
        done = subprocess.run(job[1], cwd=CHECKOUT, capture_output=True, text=True, check=False, env=env)
        return list(_complaints(done.stdout))

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        outputs = list(pool.map(check, jobs))
    for (name, _), found in zip(jobs, outputs, strict=True):
        if found:
            results.failed += [line if name in line else f"{name}: {line}" for line in found]
        else:
            results.passed += 1
    return Outcome(results)


def known_bugs() -> Outcome:
    """Every diff of ci/bugs applies to what it puts a bug into; one test a diff."""
    diffs = sorted(CHECKOUT.glob("ci/enokitest/bugs/*.diff"))
    failed = compose.misfits(compose.compose(), diffs)
    return Outcome(Results(passed=len(diffs) - len(failed), failed=failed))


def rustfmt() -> Outcome:
    """rustfmt --check with the kernel's own settings; one test a file."""
    results = Results()
    with tempfile.TemporaryDirectory() as scratch:
        config = Path(scratch) / "rustfmt"
        compose.export(compose.compose(with_overlay=False), config, [".rustfmt.toml"])
        for name in overlay_files():
            if not name.endswith(".rs"):
                continue
            argv = ["rustfmt", "--check", "--config-path", str(config / ".rustfmt.toml"), "--edition", "2021", name]
            # skip_children is unstable, so a crate's root would check its modules as well: that is fine.
            done = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, check=False)
            if done.returncode:
                results.failed.append(f"{name}: {(done.stdout or done.stderr).strip().splitlines()[0]}")
            else:
                results.passed += 1
    return Outcome(results)


def shell() -> Outcome:
    """shellcheck over every shell script of ci/; one test a script."""
    results = Results()
    for path in sorted([*CHECKOUT.glob("ci/*"), *CHECKOUT.glob("ci/enokitest/guest/*"), CHECKOUT / ".ci/run"]):
        if not path.is_file() or not re.match(rb"#!/bin/(ba)?sh", path.read_bytes()[:16]):
            continue
        name = str(path.relative_to(CHECKOUT))
        argv = ["shellcheck", "-x", name]
        done = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, check=False)
        if done.returncode:
            where = re.search(r"^In .* line (\d+):", done.stdout, re.M)
            what = re.search(r"SC\d+.*", done.stdout)
            results.failed.append(f"{name}:{where[1] if where else '?'}: {what[0] if what else done.stderr.strip()}")
        else:
            results.passed += 1
    return Outcome(results)


def unit_tests(kernel: str = "", packages: tuple[str, ...] = ("enokici", "enokitest")) -> Outcome:
    """The unit tests of ci/'s own Python; those that boot a machine only with a kernel for it."""
    results = Results()
    for package in packages:
        argv = ["python3", "-m", "unittest", "discover", "-v", "-s", f"ci/{package}/tests", "-t", "ci"]
        env = {**os.environ, "ENOKI_TEST_KERNEL": kernel}
        done = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, check=False, env=env)
        for line in done.stderr.splitlines():
            if found := re.match(r"(.*?) \.\.\. (ok|FAIL|ERROR|skipped.*)$", line):
                if "ENOKI_TEST_KERNEL" in found[2]:
                    continue  # counted where there is a kernel
                if found[2] == "ok":
                    results.passed += 1
                elif found[2].startswith("skipped"):
                    results.skipped.append(f"{found[1]}: {found[2]}")
                else:
                    results.failed.append(f"{package}: {found[1]}")
        if done.returncode and not results.failed:
            results.failed.append(f"{package}: {done.stderr.strip().splitlines()[-1]}")
    return Outcome(results)
