"""Runs in the guest: memcached in one class after the other, by an arbiter's leave or without.

    python3 -m enokitest.arachne_guest CLASSES WORKLOADS LOAD…

CLASSES is a list in JSON, see classes.py: a class with arguments has an arbiter, and they say where
that is. WORKLOADS is the directory of the programs, LOAD what etc_load is told. Prints
{"class": NAME, …} for each line of JSON that etc_load and cores print.
"""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from .classes import CGROUPS, SECONDS, Class, each, in_group, ready, show

MEMCACHED, ARBITER = Path("/tmp/memcached.sock"), Path("/tmp/arbiter.sock")
OTHERS, SERVER = CGROUPS / "others", CGROUPS / "server"
CPUS = os.cpu_count() or 1
# The first one is nobody's, the last two send requests; the others are handed out.
SENDERS = f"{CPUS - 2},{CPUS - 1}"
CORES = range(1, CPUS - 2)
ALL, WORKERS = f"0-{CPUS - 1}", f"{CORES[0]}-{CORES[-1]}"
PROBES = 20
# How busy cores are to be: requests come in bursts, and are to be answered at once.
BUSY = 0.3
SPIN = ["sh", "-c", "while :; do :; done"]
# The arbiter and who asks it wait for nobody, on the CPU that is not handed out.
AT_ONCE = ["chrt", "-f", "50", "taskset", "-c", "0"]


def _await(path: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while not path.exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{path} is not there after {SECONDS} s")
        time.sleep(0.01)


@contextlib.contextmanager
def _running(words: list[str], **options: int) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(words, text=True, **options) as process:
        try:
            yield process
            if (status := process.poll()) is not None:
                raise ChildProcessError(f"{' '.join(map(str, words))} has ended, with status {status}")
        finally:
            process.terminate()


def _output(words: list[str]) -> str:
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout


@contextlib.contextmanager
def _cpusets(workloads: Path) -> Iterator[None]:
    """The arbiter that hands out cores by cpusets; its groups are removed afterwards."""
    cores = ",".join(map(str, CORES))
    words = [workloads / "cpuset_arbiter", "--socket", ARBITER, "--others", OTHERS, "--runtime", SERVER]
    with _running([*AT_ONCE, *map(str, words), "--cores", cores]):
        _await(ARBITER)
        yield
    for group in SERVER.glob("core*"):
        for thread in (group / "cgroup.threads").read_text().split():
            with contextlib.suppress(OSError):  # it may have ended
                (SERVER / "cgroup.threads").write_text(thread)
        group.rmdir()
    (OTHERS / "cpuset.cpus").write_text(ALL)
    ARBITER.unlink()


def _serve(cls: Class, pid: int, workloads: Path, load: list[str]) -> None:
    """The load, and how long it takes to get a core."""
    with contextlib.ExitStack() as stack:
        run = stack.enter_context(ready(cls))
        if any(word.startswith("--socket") for word in cls.arguments):
            stack.enter_context(_cpusets(workloads))
        _output(["taskset", "-a", "-p", "-c", ALL if cls.arguments else WORKERS, str(pid)])
        enoki_run = run[0]
        subprocess.run([enoki_run, "-p", str(pid), cls.policy], check=True)
        sender = [str(workloads / "etc_load"), f"--socket={MEMCACHED}", "--filled", f"--cpus={SENDERS}", *load]
        if not cls.arguments:
            show(cls, _output(sender))
        else:
            agent = [str(workloads / "cores"), *cls.arguments]
            manage = [*agent, f"--pid={pid}", f"--most={len(CORES)}", f"--busy={BUSY}", "--seconds=100000"]
            # A file: nobody reads it meanwhile, and a pipe would be full.
            with tempfile.TemporaryFile("w+") as moments:
                with _running(manage, stdout=moments.fileno()):
                    show(cls, _output(sender))
                moments.seek(0)
                # It was stopped, perhaps in the middle of a line.
                show(cls, moments.read().rpartition("\n")[0])
            show(cls, _output([*in_group(SERVER), *run, *agent, f"--probe={PROBES}"]))
        subprocess.run([enoki_run, "-p", str(pid), "other"], check=True)


def main() -> int:
    """The command line."""
    given, where, *load = sys.argv[1:]
    workloads = Path(where)
    (CGROUPS / "cgroup.subtree_control").write_text("+cpuset")
    for group in (OTHERS, SERVER):
        group.mkdir()
        (group / "cpuset.cpus").write_text(ALL)
    with contextlib.ExitStack() as stack:
        words = ["memcached", "-u", "root", "-s", str(MEMCACHED), "-t", str(len(CORES)), "-m", "1500", "-c", "256"]
        memcached = stack.enter_context(_running([*in_group(SERVER), *words]))
        _await(MEMCACHED)
        fill = [str(workloads / "etc_load"), f"--socket={MEMCACHED}", "--rates=100", "--seconds=0.1"]
        _output(fill)
        for cpu in range(CPUS):
            # What an idle CPU leaves of the guest's speed is nobody's.
            stack.enter_context(_running(["taskset", "-c", str(cpu), "chrt", "-i", "0", *SPIN]))
            stack.enter_context(_running([*in_group(OTHERS), *SPIN]))
        return each(given, lambda cls: _serve(cls, memcached.pid, workloads, load))


if __name__ == "__main__":
    sys.exit(main())
