"""Runs groups of tests in order, one short line each, and counts everything."""

import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from enokici.common import Failure

from .tap import Results

SHOWN = 12  # failures of a group that are listed on the terminal


@dataclass
class Outcome:
    """What a group's function returns: its results and a word on where to look."""

    results: Results = field(default_factory=Results)
    note: str = ""


Check = Callable[[], Outcome]


@dataclass
class Suite:
    """The run as a whole."""

    total: Results = field(default_factory=Results)
    only: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def group(self, name: str, check: Check) -> bool:
        """Runs one group; whatever goes wrong in it is a failure of it, never the end."""
        if self.only and self.only not in name:
            return True
        began = time.monotonic()
        try:
            outcome = check()
        except Failure as failure:
            outcome = Outcome(Results(failed=[str(failure)]))
        except OSError as error:
            outcome = Outcome(Results(failed=[f"{type(error).__name__}: {error}"]))
        with self.lock:
            self._show(name, outcome, time.monotonic() - began)
            self.total.add(outcome.results, f"{name}: ")
        return not outcome.results.failed

    def side_by_side(self, groups: list[tuple[str, Check]], lanes: int) -> None:
        """Runs so many groups at a time: for guests that keep one CPU of the host busy each."""
        waiting = deque(groups)

        def run() -> None:
            while True:
                try:
                    name, check = waiting.popleft()
                except IndexError:
                    return
                self.group(name, check)

        threads = [threading.Thread(target=run) for _ in range(lanes)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    @staticmethod
    def _show(name: str, outcome: Outcome, seconds: float) -> None:
        got = outcome.results
        parts = [f"{got.passed} passed"]
        if got.skipped:
            parts.append(f"{len(got.skipped)} skipped")
        if got.failed:
            parts.append(f"{len(got.failed)} FAILED")
        print(f"{name:34} {', '.join(parts):34} {seconds:6.0f} s  {outcome.note}".rstrip(), flush=True)
        for line in got.failed[:SHOWN]:
            print(f"    FAILED {line}".replace("\n", "\n           "), flush=True)
        if len(got.failed) > SHOWN:
            print(f"    and {len(got.failed) - SHOWN} more", flush=True)

    def finish(self) -> int:
        """The last line, and the exit status that goes with it."""
        for reason in sorted(set(self.total.skipped)):
            print(f"skipped: {reason}", file=sys.stderr)
        print(f"{self.total.passed} passed, {len(self.total.failed)} failed", flush=True)
        return 1 if self.total.failed or not self.total.passed else 0
