"""Runs in the guest: wake-ups while the scheduler is replaced over and over, and while it is not.

    python3 -m enokitest.upgrade_guest MODES TIMES PERIOD_MS TEST_MODULES -- WAKES…

MODES is a list with commas. In "upgrades" two versions of a policy that hand over what they know
replace each other so often, TIMES at most; in "quiet" the same real-time thread wakes up as often
and only reads how many there were. In "scx-reloads" scx_simple is loaded and unloaded as often.
Prints {"mode": …, "done": HOW OFTEN, …} for each.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from .classes import SIMPLE, ready
from .evidence import ENOKI, SYSFS

NAME, NUMBER, VERSIONS = "relay", 61, ("enoki_relay_1", "enoki_relay_2")


class Often(threading.Thread):
    """Does something every so often, as a real-time task, until it is stopped or has done it often enough."""

    def __init__(self, what: Callable[[], object], times: int, period: float) -> None:
        super().__init__()
        self.what, self.times, self.period = what, times, period
        self.done: list[float] = []
        self.over = threading.Event()
        self.error: Exception | None = None
        self.begin = time.monotonic()

    def run(self) -> None:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(60))
        try:
            while len(self.done) < self.times and not self.over.wait(self.period):
                self.what()
                self.done.append(time.monotonic() - self.begin)
        except Exception as error:  # pylint: disable=broad-exception-caught
            self.error = error

    def stop(self) -> None:
        """Ends it; raises what went wrong."""
        self.over.set()
        self.join()
        if self.error:
            raise self.error


def run(words: list[str], often: Often, mode: str, attach: bool) -> None:
    """Runs the program once, beside that."""

    def attached() -> None:
        os.sched_setscheduler(0, ENOKI, os.sched_param(NUMBER))

    often.start()
    done = subprocess.run(
        words, stdout=subprocess.PIPE, text=True, check=True, preexec_fn=attached if attach else None
    )
    often.stop()
    at = [round(when, 4) for when in often.done]
    print(json.dumps({"mode": mode, "done": len(at), "at_s": at, **json.loads(done.stdout)}), flush=True)


def main() -> int:
    """The command line."""
    modes, times, period_ms, modules, dashes, *words = sys.argv[1:]
    assert dashes == "--", __doc__
    # What the console takes to print a line is none of the scheduler's.
    subprocess.run(["dmesg", "-n", "4"], check=True)
    upgrade, upgrades = SYSFS / NAME / "upgrade", SYSFS / NAME / "upgrades"
    what: dict[str, Callable[[], object]] = {
        "upgrades": lambda: upgrade.write_text("1"),
        "quiet": upgrades.read_text,
    }
    for version in VERSIONS:
        subprocess.run(["insmod", str(Path(modules) / f"{version}.ko")], check=True)
    for mode in modes.split(","):
        if mode in what:
            run(words, Often(what[mode], int(times), float(period_ms) / 1000), mode, True)
            continue

        def reload() -> None:
            with ready(SIMPLE):
                time.sleep(float(period_ms) / 2000)

        run(words, Often(reload, int(times), float(period_ms) / 2000), mode, False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
