"""Boots a kernel with virtme-ng and runs a command in it: the one way anything boots.

The build root is the guest's root, read-only; the checkout is shared read-write at its own
path. The command's output goes to stdout as it comes; the console goes to a log of its own
and is read along the way, so that a kernel that complains makes the run fail.
"""

import argparse
import itertools
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from . import accel, monitor, turns
from .common import CACHE, CHECKOUT, OUT, Failure, die_with_parent, main_wrapper, point, say
from .console import Scanner

REPORTED = 122  # the kernel complained
TIMED_OUT = 124
NO_STATUS = 125  # the guest ended, or never started, without the command's exit status
QEMU_CRASHED = -1  # never an exit status: the caller starts the guest again
LOGS_KEPT = 300
# Until it starts its first process a kernel says something every few seconds, however slow it is. One that is silent
# for so long stands still.
SILENT_S = 40.0
FIRST_PROCESS = "as init process"


@dataclass
class Options:
    """What a run is asked for."""

    kernel: Path
    command: list[str]
    cpus: int = 2
    mem: str = "2G"
    icount: bool = False
    timeout: float = 600
    append: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    verbose: bool = False
    qemu: tuple[str, ...] = ()
    round_us: int = 0


def find_kernel(name: str) -> Path:
    """The artifacts of a flavour that was built for this checkout, or of a directory."""
    path = Path(name) if "/" in name else OUT / "kernel" / name
    if not (path / "bzImage").exists():
        how = f"run ci/build {name} first" if "/" not in name else "give a directory that ci/build printed"
        raise Failure(f"there is no kernel {name}: {how}")
    kernel = path.resolve()
    if (kernel / "used").exists():
        os.utime(kernel / "used")
    return kernel


def guest_setup(kernel: Path) -> str:
    """Shell lines that finish what virtme's init began; sourced by scripts and by shells."""
    keep = [p for p in (CHECKOUT, CACHE) if p.is_relative_to("/tmp")]
    lines = ["export HOME=/root LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
    lines += [f"export ENOKI_VM=1 ENOKI_CHECKOUT={shlex.quote(str(CHECKOUT))}"]
    lines += [f"export ENOKI_CACHE={shlex.quote(str(CACHE))} ENOKI_KERNEL={shlex.quote(str(kernel))}"]
    lines += ["unset enoki_rc"]
    for n, path in enumerate(keep):
        lines.append(f"mkdir /run/keep{n} && mount --bind {shlex.quote(str(path))} /run/keep{n}")
    lines.append("mount -t tmpfs -o mode=1777 tmpfs /tmp")
    for n, path in enumerate(keep):
        q = shlex.quote(str(path))
        lines.append(f"mkdir -p {q} && mount --bind /run/keep{n} {q}")
    lines.append("mountpoint -q /sys/fs/cgroup || mount -t cgroup2 cgroup2 /sys/fs/cgroup")
    return "\n".join(lines) + "\n"


def guest_script(options: Options, run: Path) -> str:
    """The script that runs in the guest: the command, its status into a file, power off."""
    # One word with blanks is a shell line, as with ssh; several words are a command as it stands.
    words = options.command
    command = words[0] if len(words) == 1 else shlex.join(words)
    status = shlex.quote(f"{run}.status")
    return (
        f"exec 2>&1; : >{shlex.quote(f'{run}.begun')}\n"
        + guest_setup(options.kernel)
        + f"cd {shlex.quote(os.getcwd())} || cd {shlex.quote(str(CHECKOUT))}\n"
        + f"bash -c {shlex.quote(command)}\n"
        + f"status=$?\necho $status >{status}.new; mv {status}.new {status}\n"
        # Faster than poweroff(8), which reads half of systemd first.
        + "echo 1 >/proc/sys/kernel/sysrq; echo o >/proc/sysrq-trigger; sleep 60\n"
    )


def virtme(options: Options, use_kvm: bool) -> list[str]:
    """The virtme-run command line without what differs between script and shell."""
    release = (options.kernel / "release").read_text().strip()
    argv = ["virtme-run", "--kimg", str(options.kernel / "bzImage"), "--mods", "none", "--root", "/"]
    argv += ["--cpus", str(options.cpus), "--memory", options.mem, "--name", "enoki", "--force-9p"]
    argv += ["--rwdir", f"{CHECKOUT}={CHECKOUT}", "--overlay-rwdir", "/etc", "--overlay-rwdir", "/root"]
    argv += ["--cwd", os.getcwd()]
    if not use_kvm:
        argv += ["--disable-kvm"]
    # The guest's root does not change while it runs, so it may cache what it read.
    # Naming the root lets a kernel without block layer find it.
    args = ["root=/dev/root", "rootflags=version=9p2000.L,trans=virtio,access=any,cache=loose,msize=262144"]
    args += [f"virtme_link_mods={options.kernel}/modules/lib/modules/{release}"]
    args += ["nokaslr", "tsc=reliable", "no_timer_check", "oops=panic", "panic=-1"]
    # Nothing more can be learnt from a guest that hangs.
    args += ["softlockup_panic=1", "softlockup_all_cpu_backtrace=1", "hung_task_panic=1"]
    if options.round_us:
        args.append(turns.KERNEL_ARGUMENT)
    for arg in [*args, *options.append]:
        argv += ["-a", arg]
    qemu = list(options.qemu)
    if not use_kvm:
        qemu += ["-accel", "tcg"]
    if options.icount:
        qemu += ["-icount", "shift=0,sleep=off"]
    for arg in qemu:
        argv += [f"-q={arg}"]
    return argv


def guarded(argv: list[str]) -> list[str]:
    """Puts QEMU under a process namespace, where it cannot outlive us; if the container allows one."""
    guard = ["unshare", "--pid", "--fork", "--kill-child=KILL", "--"]
    works = subprocess.run([*guard, "true"], stderr=subprocess.DEVNULL, check=False).returncode == 0
    return [*guard, *argv] if works else argv


_RUNS = itertools.count()


class Vm:
    """One run: starts the guest, streams, watches, ends it."""

    def __init__(self, options: Options, use_kvm: bool) -> None:
        self.options = options
        self.use_kvm = use_kvm
        stamp = time.strftime("%Y%m%d-%H%M%S")
        self.log = OUT / f"log/vm-{stamp}-{os.getpid()}-{next(_RUNS)}.log"
        self.run_dir = OUT / "vm"
        for directory in (self.log.parent, self.run_dir):
            directory.mkdir(parents=True, exist_ok=True)
        self.base = self.run_dir / self.log.stem
        self.socket = Path(f"/tmp/enoki-vm-{os.getpid()}-{time.monotonic_ns():x}.qmp")
        self.qtest = self.socket.with_suffix(".qtest")
        self.scanner = Scanner(list(options.allow))
        self.tail: deque[str] = deque(maxlen=40)
        self.begun = False  # the command was started
        self.crashed = False  # QEMU itself, not its guest
        self.heard = time.monotonic()  # when the console last said something
        self.booted = False  # the kernel has started its first process
        self.last_words = ""  # where the CPUs of a guest are that stands still

    def _mark(self, what: str) -> Path:
        """The file by which the guest says how far it is."""
        return Path(f"{self.base}.{what}")

    def _read_console(self, pipe: IO[bytes]) -> None:
        with open(self.log, "wb") as log:
            for raw in pipe:
                log.write(raw)
                log.flush()
                line = raw.decode(errors="replace")
                self.tail.append(line.rstrip())
                self.heard = time.monotonic()
                self.booted |= FIRST_PROCESS in line
                self.crashed |= line.startswith("qemu-system") and "Assertion" in line
                if self.options.verbose:
                    sys.stderr.write(line)
                if self.scanner.feed(line):
                    say(f"the kernel reports: {line.strip()}")

    def _read_output(self, pipe: IO[bytes]) -> None:
        while data := os.read(pipe.fileno(), 65536):
            try:
                os.write(1, data)
            except BrokenPipeError:
                return

    def run(self) -> int:
        """Runs the guest to its end and returns the exit status of the whole."""
        script = Path(f"{self.base}.sh")
        script.write_text(guest_script(self.options, self.base))
        argv = virtme(self.options, self.use_kvm)
        argv += ["--show-boot-console", "-a", "loglevel=7", "--script-sh", f". {shlex.quote(str(script))}"]
        argv += ["-q=-qmp", f"-q=unix:{self.socket},server=on,wait=off"]
        if self.options.round_us:
            argv += [f"-q={arg}" for arg in turns.arguments(self.qtest)]
        try:
            with subprocess.Popen(
                guarded(argv),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                preexec_fn=lambda: die_with_parent(signal.SIGKILL),
            ) as guest:
                try:
                    timed_out = self._watch(guest)
                finally:
                    if guest.poll() is None:
                        os.killpg(guest.pid, signal.SIGKILL)
            self.begun = self._mark("begun").exists()
            if self.crashed and not self.begun:
                return QEMU_CRASHED
            return self._judge(timed_out, guest.returncode)
        finally:
            for path in (script, self._mark("status"), self._mark("begun"), self.socket, self.qtest):
                path.unlink(missing_ok=True)
            point(OUT / "log/vm-last.log", Path(self.log.name))

    def _watch(self, guest: "subprocess.Popen[bytes]") -> bool:
        assert guest.stdout is not None and guest.stderr is not None
        readers = [
            threading.Thread(target=self._read_console, args=(guest.stderr,), daemon=True),
            threading.Thread(target=self._read_output, args=(guest.stdout,), daemon=True),
        ]
        ended = threading.Event()
        if self.options.round_us:
            words = (self.qtest, self._mark("begun"), ended, self.options.round_us)
            readers.append(threading.Thread(target=turns.shorten, args=words, daemon=True))
        for reader in readers:
            reader.start()
        self.heard = time.monotonic()
        timed_out = self._wait(guest)
        if timed_out:
            say(f"timeout after {self.options.timeout:g} s; asking the guest what its tasks do (see the log)")
            monitor.ask_for_tasks(self.socket)
        if guest.poll() is None:
            os.killpg(guest.pid, signal.SIGKILL)
            guest.wait()
        ended.set()
        for reader in readers:
            reader.join(10)
        if self.last_words:
            with open(self.log, "a", encoding="utf-8") as log:
                log.write(f"\nsilent for {SILENT_S:g} s; where its CPUs are:\n{self.last_words}\n")
        return timed_out

    def _wait(self, guest: "subprocess.Popen[bytes]") -> bool:
        """Waits until the guest ends, or stands still before it has booted; whether its time is over before."""
        deadline = time.monotonic() + self.options.timeout
        while time.monotonic() < deadline:
            try:
                guest.wait(max(0.0, min(1.0, deadline - time.monotonic())))
                return False
            except subprocess.TimeoutExpired:
                if not self.booted and time.monotonic() - self.heard > SILENT_S:
                    self.crashed = True
                    self.last_words = monitor.registers(self.socket)
                    return False
        return True

    def _judge(self, timed_out: bool, code: int) -> int:
        where = self.log.relative_to(CHECKOUT)
        for report in self.scanner.reports:
            print("\n".join(["", *report, ""]), file=sys.stderr, flush=True)
        status = self._status()
        if timed_out:
            what = "the command" if self.begun else "the guest to boot and start the command"
            say(f"timeout: waited {self.options.timeout:g} s for {what}: {shlex.join(self.options.command)}; console in {where}")
            self._show_tail()
            if not self.scanner.reports:
                return TIMED_OUT
        if self.scanner.reports:
            count = len(self.scanner.reports)
            say(f"failed: {count} kernel report{'s' * (count > 1)} (above); the whole console is in {where}")
            return REPORTED
        if status is None:
            say(f"the guest ended without the command's exit status (virtme-run said {code}); console in {where}")
            self._show_tail()
            return NO_STATUS
        return status

    def _status(self) -> int | None:
        try:
            return int(self._mark("status").read_text())
        except (FileNotFoundError, ValueError):
            return None

    def _show_tail(self) -> None:
        print("last console lines:", *(f"  {line}" for line in self.tail), sep="\n", file=sys.stderr, flush=True)


def prune_logs() -> None:
    """Keeps the newest console logs, and no scripts of runs that were killed."""
    for old in sorted((OUT / "log").glob("vm-2*.log"))[:-LOGS_KEPT]:
        old.unlink(missing_ok=True)
    for left in (OUT / "vm").glob("vm-*"):
        if time.time() - left.stat().st_mtime > 86400:
            left.unlink(missing_ok=True)


def interactive(options: Options, use_kvm: bool) -> int:
    """A shell on the guest's console; ends when the shell does."""
    if not sys.stdin.isatty():
        raise Failure("--interactive needs a terminal on stdin")
    (OUT / "vm").mkdir(parents=True, exist_ok=True)
    setup = OUT / "vm/shell.rc"
    modules = "".join(f"echo '  modprobe {m}'; " for m in ("enoki_wfq", "enoki_fifo"))
    setup.write_text(
        guest_setup(options.kernel)
        + "PS1='enoki:\\w# '\n"
        # virtme's own way down needs more of systemd than a guest should read.
        + "trap 'sync; echo o >/proc/sysrq-trigger; sleep 60' EXIT\n"
        + f"echo 'Linux '$(uname -r)'; the checkout is here, read-write. Try:'; {modules}\n"
        + "echo '  exit ends the virtual machine'\n"
    )
    argv = [*virtme(options, use_kvm), "-a", "loglevel=5", "-a", f"enoki_rc={setup}"]
    return subprocess.run(argv, check=False).returncode


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line of ci/vm."""
    parser = argparse.ArgumentParser(
        prog="ci/vm",
        usage="ci/vm [OPTIONS] -- COMMAND…",
        description="Boots a kernel and runs COMMAND in it, in the checkout, as root; its output "
        "and exit status are ci/vm's own. One COMMAND word with blanks is a shell line.",
        epilog=f"exit status: COMMAND's; {REPORTED} when the kernel complained (panic, oops, WARN, lockdep, "
        f"sanitizer, hung task, lockup, stall), {TIMED_OUT} on timeout, {NO_STATUS} when the guest did not "
        "come so far. ENOKI_ACCEL=tcg|kvm forces how it runs.",
    )
    parser.add_argument("--kernel", default="release", help="flavour or artifact directory (default: release)")
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--mem", default="2G", metavar="SIZE")
    parser.add_argument("--icount", action="store_true", help="the clock counts instructions: 1 ns each")
    parser.add_argument(
        "--round-us", type=int, default=0, metavar="US", help="with --icount: each CPU has had its turn after US"
    )
    parser.add_argument("--timeout", type=float, default=600, metavar="S", help="seconds of real time (default: 600)")
    parser.add_argument("--append", action="append", default=[], metavar="ARG", help="kernel argument; repeatable")
    parser.add_argument("--allow", action="append", default=[], metavar="REGEX", help="reports that are expected")
    parser.add_argument("--qemu", action="append", default=[], metavar="ARG", help="QEMU argument; repeatable")
    parser.add_argument("--interactive", action="store_true", help="a shell instead of COMMAND")
    parser.add_argument("--verbose", action="store_true", help="the console on stderr, too")
    parser.add_argument("command", nargs="*", metavar="COMMAND")
    args = parser.parse_args(argv)
    if bool(args.command) == args.interactive:
        parser.error("give a COMMAND after --, or --interactive")
    if not 1 <= args.cpus <= 64:
        parser.error("--cpus takes 1 to 64")
    if not re.fullmatch(r"[1-9]\d*[MG]", args.mem):
        parser.error("--mem takes a size such as 512M or 2G")
    if args.round_us and not (args.icount and 1 <= args.round_us <= 1000):
        parser.error("--round-us takes 1 to 1000 and needs --icount")
    if args.timeout <= 0:
        parser.error("--timeout takes a positive number of seconds")
    return args


def main() -> int:
    """Runs ci/vm; what keeps a guest from starting at all ends with NO_STATUS."""
    args = parse()
    try:
        options = Options(
            find_kernel(args.kernel), args.command, args.cpus, args.mem, args.icount, args.timeout,
            tuple(args.append), tuple(args.allow), args.verbose, tuple(args.qemu), args.round_us,
        )  # fmt: skip
        use_kvm = not args.icount and accel.choose(options)
    except Failure as failure:
        say(str(failure))
        return NO_STATUS
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if args.interactive:
        return interactive(options, use_kvm)
    prune_logs()
    # Emulated CPUs that run while PCI is being set up can trip an assertion in QEMU, or stand still
    # for ever; nothing of the command has run by then, so the guest is simply started again.
    for _ in range(3):
        if (status := Vm(options, use_kvm).run()) != QEMU_CRASHED:
            return status
        say("QEMU crashed or stood still before the command was started; starting the guest again")
    say("QEMU crashed or stood still three times before the command was started; see out/log/vm-last.log")
    return NO_STATUS


if __name__ == "__main__":
    main_wrapper(main)
