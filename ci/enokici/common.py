"""Paths, messages, locks and processes that every module here shares."""

import contextlib
import ctypes
import fcntl
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

CHECKOUT = Path(os.environ.get("ENOKI_CHECKOUT") or Path(__file__).resolve().parents[2])
CACHE = Path(os.environ.get("ENOKI_CACHE") or Path.home() / ".cache/enoki")
OUT = CHECKOUT / "out"


class Failure(Exception):
    """Something the user can read and act on: one clear sentence, no traceback."""


def say(message: str) -> None:
    """Prints one line of progress; stdout is kept for results."""
    print(f"enoki: {message}", file=sys.stderr, flush=True)


def run(
    argv: Sequence[str | Path],
    *,
    data: bytes | None = None,
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
) -> bytes:
    """Runs a program to its end and returns its stdout; its stderr becomes the Failure."""
    done = subprocess.run(
        [str(a) for a in argv],
        input=data,
        stdin=subprocess.DEVNULL if data is None else None,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        check=False,
    )
    if done.returncode:
        text = done.stderr.decode(errors="replace").strip()
        raise Failure(f"{' '.join(str(a) for a in argv[:6])} failed: {text or done.returncode}")
    return done.stdout


def die_with_parent(how: signal.Signals = signal.SIGTERM) -> None:
    """For preexec_fn: a killed script takes its make or its virtual machine along.

    Without it a build could go on after its lock was let go.
    """
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, how)


@contextlib.contextmanager
def locked(path: Path, waiting_for: str) -> Iterator[None]:
    """Holds an exclusive lock; says once what it waits for when someone else has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another run: {waiting_for}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def point(link: Path, target: Path) -> None:
    """Makes a link to the target, whoever else does so at the same time: tests run in threads, too."""
    link.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".", dir=link.parent) as directory:
        fresh = Path(directory) / "link"
        fresh.symlink_to(target)
        fresh.rename(link)


def main_wrapper(main: Callable[[], int]) -> NoReturn:
    """Turns a Failure into one sentence and exit status 1."""
    try:
        sys.exit(main())
    except Failure as failure:
        say(str(failure))
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(141)
