"""Builds kernels, each only once: artifacts are stored under the hash of all that made them.

The work tree and one object directory per flavour stay in the cache, so that a build after
a small change compiles only what the change touches.
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from . import kconfig, pristine, toolchain
from .common import CACHE, CHECKOUT, OUT, Failure, die_with_parent, locked, main_wrapper, point, run, say
from .compose import compose, export

RECIPE = "3"  # raise it when this file starts to make something different of the same input
KEEP = 8  # artifacts of each flavour that are not pruned
KERNELS = CACHE / "kernels"
BUILD = CACHE / "build"

TESTS = "tools/testing/selftests/sched_enoki"
# Modules that do not come with the kernel: policies to test with, and policies for the panic gate.
EXTERNAL = ("test_modules", "gate")
# Object files that are kept: those that the panic gate reads, and those that show =n to be pristine.
GATED = ("rust/enoki.o", "rust/kernel.o", "samples/rust/enoki_*.o", "gate/*.o")
COMPARED = ("kernel/sched/*.o",)


@dataclass(frozen=True)
class Flavour:
    """A kernel configuration kept by name."""

    configs: tuple[str, ...]
    enoki: bool = True  # with patches, overlay and the options that come from them
    make: tuple[str, ...] = ()
    image: str = "arch/x86/boot/bzImage"
    objects: tuple[str, ...] = GATED


FLAVOURS = {
    "release": Flavour(("x86", "release")),
    "debug": Flavour(("x86", "debug")),
    "hz100": Flavour(("x86", "release", "hz100")),
    "rt": Flavour(("x86", "debug", "rt")),
    # The checks of the other keep the CPU for longer than anything of the scheduler's.
    "rt-release": Flavour(("x86", "release", "rt")),
    "kasan": Flavour(("x86", "kasan"), make=("LLVM=1",)),
    # The scheduler's Makefile leaves it out, and all else would only take the watchpoints.
    "kcsan": Flavour(("x86", "kcsan"), make=("KCSAN_SANITIZE=n", "KCSAN_SANITIZE_build_policy.o=y")),
    "llvm": Flavour(("x86", "llvm"), make=("LLVM=1",)),
    "n": Flavour(("x86", "release", "n"), objects=COMPARED),
    "arm64": Flavour(("arm64",), make=("LLVM=1", "ARCH=arm64"), image="arch/arm64/boot/Image"),
    # The same without patches, overlay and Enoki's options: what it is compared with.
    "pristine": Flavour(("x86", "release", "pristine"), enoki=False, objects=COMPARED),
    "pristine-debug": Flavour(("x86", "debug", "pristine"), enoki=False),
}


def fragments(name: str, flavour: Flavour) -> list[Path]:
    """The configuration files of a flavour, the later ones winning."""
    files = [CHECKOUT / "ci/configs/base.config", CHECKOUT / "Kconfig.fragment"]
    if not {"debug", "kasan"}.isdisjoint(flavour.configs):
        files.append(CHECKOUT / TESTS / "config")  # what the selftests say that they need
    files += [CHECKOUT / f"ci/configs/{config}.config" for config in flavour.configs]
    for path in files:
        if not path.exists():
            raise Failure(f"flavour {name} needs {path.relative_to(CHECKOUT)}, which is not there")
    return files


class Progress:
    """A short line every few seconds from the lines that make prints."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.start = self.last = time.monotonic()
        self.counts: Counter[str] = Counter()

    def line(self, line: str) -> None:
        """Takes one line of make's output."""
        found = re.match(r"  (\w+)(?: \[M\])? +(\S+)", line)
        if not found:
            return
        self.counts[found[1]] += 1
        now = time.monotonic()
        if now - self.last >= 5:
            self.last = now
            kinds = " ".join(f"{kind} {n}" for kind, n in self.counts.most_common(3))
            say(f"{self.name}: {self.elapsed()}, {self.counts.total()} steps ({kinds}), now {found[2]}")

    def elapsed(self) -> str:
        """Minutes and seconds since the start."""
        seconds = int(time.monotonic() - self.start)
        return f"{seconds // 60}m{seconds % 60:02d}s"


def error_lines(log: str) -> list[str]:
    """The lines of a build log that say what went wrong, with the compiler's context."""
    lines = log.splitlines()
    bad = re.compile(r"(\b(fatal )?error\b[:\[]|undefined reference|^make.*\*\*\*|FAILED|No such file)", re.I)
    for at, line in enumerate(lines):
        if bad.search(line) and not line.startswith("make"):
            return lines[max(0, at - 3) : at + 40]
    return lines[-25:]


class Make:
    """Runs make on the shared source for one flavour, its output into the flavour's log."""

    def __init__(self, name: str, flavour: Flavour, log: Path) -> None:
        self.objects = BUILD / name
        self.objects.mkdir(parents=True, exist_ok=True)
        self.log = log
        self.progress = Progress(name)
        jobs = os.environ.get("ENOKI_JOBS") or str(len(os.sched_getaffinity(0)))
        compiler = () if "LLVM=1" in flavour.make else ("CC=ccache gcc",)
        self.argv = ["make", f"-j{jobs}", "-C", str(BUILD / "src"), f"O={self.objects}", *compiler, *flavour.make]
        self.env = {
            **os.environ,
            "KBUILD_BUILD_TIMESTAMP": "Thu Jan  1 00:00:00 UTC 2026",
            "KBUILD_BUILD_USER": "enoki",
            "KBUILD_BUILD_HOST": "enoki",
            "KBUILD_BUILD_VERSION": "1",
            "LOCALVERSION": "",
            "CCACHE_DIR": str(CACHE / "ccache"),
            "CCACHE_MAXSIZE": "6G",
            # Flavours share what they compile alike, though their object directories differ.
            "CCACHE_NOHASHDIR": "1",
        }

    def __call__(self, *args: str) -> None:
        with open(self.log, "a", encoding="utf-8", errors="replace") as log:
            print(f"$ make {' '.join(args)}", file=log, flush=True)
            with subprocess.Popen(
                [*self.argv, *args],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=self.env,
                text=True,
                errors="replace",
                preexec_fn=die_with_parent,
            ) as make:
                assert make.stdout is not None
                for line in make.stdout:
                    log.write(line)
                    self.progress.line(line)
        if make.returncode:
            shown = "\n".join(error_lines(self.log.read_text(errors="replace")))
            raise Failure(f"make {args[0]} failed after {self.progress.elapsed()}; from {self.log}:\n{shown}")


def configure(make: Make, wanted: kconfig.Options) -> None:
    """Gives the object directory its .config, touching nothing when it is the same already."""
    asked = make.objects / "enoki.config"
    text = kconfig.render(wanted)
    with tempfile.TemporaryDirectory(dir=make.objects.parent) as scratch:
        fragment = Path(scratch) / "fragment"
        fragment.write_text(text)
        make(f"KCONFIG_ALLCONFIG={fragment}", "allnoconfig")
    kconfig.check(wanted, (make.objects / ".config").read_text())
    asked.write_text(text)


def make_all(make: Make, wanted: kconfig.Options, target: Path) -> None:
    """Builds a kernel in its object directory, and notes there which one that is."""
    made = make.objects / "enoki.made"
    made.unlink(missing_ok=True)
    configure(make, wanted)
    make("all")
    made.write_text(target.name)


def make_external(make: Make) -> None:
    """Builds the modules of the selftests, if this kernel has Enoki for Rust."""
    for name in EXTERNAL:
        # Without what earlier sources left there.
        shutil.rmtree(make.objects / name, ignore_errors=True)
        if (make.objects / "rust/enoki.o").exists():
            make(f"M={BUILD / 'src' / TESTS / name}", f"MO={make.objects / name}", "modules")


def has_source(path: Path, source: Path) -> bool:
    """Whether an object is of this tree, and not what an earlier one left where both were built."""
    if path.parts[0] in EXTERNAL:
        return True  # built from nothing each time
    stem = source / path.with_suffix("")
    return stem.is_dir() or any(stem.with_suffix(kind).exists() for kind in (".c", ".S", ".rs"))


def install_objects(objects: Path, patterns: tuple[str, ...], target: Path, source: Path) -> None:
    """Keeps the object files that tests look at, and the test modules."""
    for path in sorted(path for pattern in patterns for path in objects.glob(pattern)):
        if not path.name.endswith(".mod.o") and has_source(path.relative_to(objects), source):
            copy = target / "objects" / path.relative_to(objects)
            copy.parent.mkdir(parents=True, exist_ok=True)
            run(["cp", "--reflink=auto", path, copy])
    for path in objects.glob("test_modules/*.ko"):
        (target / "test_modules").mkdir(exist_ok=True)
        shutil.copy(path, target / "test_modules")


def install(make: Make, flavour: Flavour, target: Path) -> None:
    """Puts the artifacts of a finished build into a directory."""
    target.mkdir(parents=True)
    objects = make.objects
    make("modules_install", f"INSTALL_MOD_PATH={target}/modules", "INSTALL_MOD_STRIP=1")
    make("headers_install", f"INSTALL_HDR_PATH={target}/usr")
    for link in ("build", "source"):
        for path in target.glob(f"modules/lib/modules/*/{link}"):
            path.unlink()
    shutil.copy(objects / flavour.image, target / Path(flavour.image).name)
    run(["cp", "--reflink=auto", "--sparse=always", objects / "vmlinux", target / "vmlinux"])
    for name in ("System.map", "Module.symvers"):
        shutil.copy(objects / name, target / name)
    install_objects(objects, flavour.objects, target, BUILD / "src")
    shutil.copy(objects / ".config", target / "config")
    shutil.copy(objects / "include/config/kernel.release", target / "release")


def prune(name: str) -> None:
    """Removes the artifacts of this flavour that were used longest ago."""

    def used(artifacts: Path) -> float:
        # One without the mark has just been made, and its maker is about to use it.
        mark = artifacts / "used"
        return mark.stat().st_mtime if mark.exists() else time.time()

    stored = sorted(KERNELS.glob(f"{name}-*"), key=used)
    for old in stored[:-KEEP]:
        shutil.rmtree(old, ignore_errors=True)


def wanted_of(name: str, flavour: Flavour) -> kconfig.Options:
    """The configuration of a flavour."""
    return kconfig.merge(fragments(name, flavour), enoki=flavour.enoki)


def build(name: str, tree: str | None = None) -> Path:
    """Builds a flavour if needed and returns the directory of its artifacts."""
    flavour = FLAVOURS[name]
    tree = tree or compose(with_overlay=flavour.enoki)
    wanted = wanted_of(name, flavour)
    made_of = "\0".join([RECIPE, tree, kconfig.render(wanted), " ".join(flavour.make), toolchain.identity()])
    target = KERNELS / f"{name}-{hashlib.sha256(made_of.encode()).hexdigest()[:16]}"
    if not (target / "release").exists():
        log = OUT / f"log/build-{name}.log"
        with locked(BUILD / "lock", "building a kernel"):
            if not (target / "release").exists():
                build_now(name, flavour, tree, wanted, target, log)
    (target / "used").touch()
    point(OUT / "kernel" / name, target)
    return target


def build_now(name: str, flavour: Flavour, tree: str, wanted: kconfig.Options, target: Path, log: Path) -> None:
    """Compiles and stores the artifacts; the caller holds the lock."""
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(f"tree {tree}\n")
    say(f"{name}: building Linux {pristine.version(tree)} from tree {tree[:12]}; log in {log.relative_to(CHECKOUT)}")
    for half_made in KERNELS.glob(".new-*"):
        shutil.rmtree(half_made, ignore_errors=True)
    export(tree, BUILD / "src", [])
    make = Make(name, flavour, log)
    make_all(make, wanted, target)
    make_external(make)
    KERNELS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=KERNELS) as scratch:
        fresh = Path(scratch) / "kernel"
        install(make, flavour, fresh)
        shutil.copy(log, fresh / "build.log")
        (fresh / "tree").write_text(f"{tree}\n")
        (fresh / "flavour").write_text(f"{name}\n")
        shutil.rmtree(target, ignore_errors=True)
        fresh.rename(target)
    prune(name)
    say(f"{name}: built in {make.progress.elapsed()}")


class Modules:
    """Builds modules for one kernel, of the checkout as it is now, one after the other."""

    def __init__(self, name: str) -> None:
        self.name, self.flavour = name, FLAVOURS[name]
        self.tree = compose()
        self.kernel = build(name, self.tree)
        self.wanted = wanted_of(name, self.flavour)
        with locked(BUILD / "lock", "building a kernel"):
            self._ready()

    def _ready(self) -> Make:
        """The object directory, in which another tree may have been built meanwhile."""
        log = OUT / f"log/build-{self.name}-modules.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(f"tree {self.tree}\n")
        make = Make(self.name, self.flavour, log)
        made = make.objects / "enoki.made"
        export(self.tree, BUILD / "src", [])
        if not made.exists() or made.read_text() != self.kernel.name:
            make_all(make, self.wanted, self.kernel)
        return make

    def build(self, directory: Path) -> None:
        """Builds the modules that the directory's Kbuild names, in the directory itself."""
        with locked(BUILD / "lock", "building a kernel"):
            self._ready()(f"M={directory}", "modules")


def main() -> int:
    """The command line of ci/build."""
    parser = argparse.ArgumentParser(
        prog="ci/build",
        description="Builds kernels of the composed tree, or finds them built; "
        "out/kernel/FLAVOUR points to the artifacts, whose path is printed.",
    )
    parser.add_argument("flavour", nargs="+", choices=sorted(FLAVOURS), metavar="FLAVOUR", help=", ".join(FLAVOURS))
    for name in parser.parse_args().flavour:
        print(build(name), flush=True)
    return 0


if __name__ == "__main__":
    main_wrapper(main)
