"""Builds what runs in the guest from the composed tree: the selftests, and schedulers of sched_ext."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from enokici import compose, pristine, toolchain
from enokici.common import CACHE, CHECKOUT, OUT, Failure, locked, say

TESTS = "tools/testing/selftests/sched_enoki"
# The parts of the tree that building one directory of selftests needs.
SELFTEST_PATHS = [
    TESTS,
    "tools/testing/selftests/lib.mk",
    "tools/testing/selftests/kselftest.h",
    "tools/testing/selftests/kselftest_harness.h",
    "tools/testing/selftests/kselftest",
]
# Schedulers that others are compared with.
SCX = ("scx_simple", "scx_central")
SCX_PATHS = ["tools", "scripts", "kernel/bpf/preload", "kernel/sched", "include/uapi", "include/linux", "Makefile"]
PROGRAMS = OUT / "selftests"


def _make(argv: list[str], log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "w", encoding="utf-8", errors="replace") as out:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-25:])
        raise Failure(f"{' '.join(argv[:4])} failed; from {log}:\n{tail}")


def jobs() -> str:
    """make's -j for this machine."""
    return f"-j{os.environ.get('ENOKI_JOBS') or len(os.sched_getaffinity(0))}"


def selftests(kernel: Path) -> Path:
    """Compiles the selftests against a kernel's headers; returns where the programs are."""
    source = CACHE / "build/selftests"
    with locked(CACHE / "build/selftests.lock", "building the selftests"):
        compose.export(compose.compose(), source, SELFTEST_PATHS)
        PROGRAMS.mkdir(parents=True, exist_ok=True)
        # The headers come from another tree perhaps, and make does not see that. All kernels of
        # one tree have the same: a guest may be using the programs at this moment.
        headers = f"-isystem {kernel}/usr/include"
        stamp, tree = PROGRAMS / ".tree", (kernel / "tree").read_text()
        if not stamp.exists() or stamp.read_text() != tree:
            shutil.rmtree(PROGRAMS)
            PROGRAMS.mkdir()
            stamp.write_text(tree)
        argv = ["make", jobs(), "-C", str(source / TESTS), f"OUTPUT={PROGRAMS}", f"KHDR_INCLUDES={headers}"]
        _make([*argv, "USERCFLAGS=-Werror", "all"], OUT / "log/build-selftests.log")
    return PROGRAMS


def programs() -> list[str]:
    """The names of the test programs in the order of their Makefile."""
    text = (CHECKOUT / TESTS / "Makefile").read_text().replace("\\\n", " ")
    for line in text.splitlines():
        if line.startswith("TEST_GEN_PROGS :="):
            return line.split(":=")[1].split()
    raise Failure(f"{TESTS}/Makefile has no TEST_GEN_PROGS")


def for_each_policy(program: str) -> bool:
    """Whether the test program has tests that run once under each policy."""
    return "\n#define ENOKI_EACH_POLICY\n" in (CHECKOUT / TESTS / f"{program}.c").read_text()


def built_once(name: str, made_of: str, make: Callable[[Path], Path]) -> Path:
    """What `make` makes in a directory, kept in the cache for each state of what it is made of."""
    made_of += toolchain.identity()
    target = CACHE / f"tools/{name}-{hashlib.sha256(made_of.encode()).hexdigest()[:12]}"
    if target.exists():
        return target
    with locked(CACHE / f"build/{name}.lock", f"building {name}"):
        if not target.exists():
            say(f"building {name}, which takes a minute")
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
                make(Path(scratch)).rename(target)
    return target


def scx(kernel: Path) -> Path:
    """Builds some of tools/sched_ext from the composed tree, once for each state of its source."""
    tree = compose.compose()

    def make(scratch: Path) -> Path:
        source, objects = scratch / "source", scratch / "objects"
        compose.export(tree, source, SCX_PATHS)
        objects.mkdir()
        made = objects / "build/bin"
        argv = ["make", jobs(), "-C", str(source / "tools/sched_ext"), f"O={objects}", "BPFTOOL=/usr/sbin/bpftool"]
        argv += [f"VMLINUX_BTF={kernel}/vmlinux", *(str(made / name) for name in SCX)]
        _make(argv, OUT / "log/build-sched_ext.log")
        return made

    made_of = pristine.text("ls-tree", "-d", tree, "tools/sched_ext", "tools/lib", "tools/bpf")
    return built_once("sched_ext", made_of + " ".join(SCX), make)
