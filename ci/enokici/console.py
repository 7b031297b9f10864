"""Reads a guest kernel's console and recognises every kind of complaint a kernel makes."""

import re

# Each alternative is anchored at the start of a message, so that a program's own words on
# the console, or a test's name, are not taken for the kernel's.
REPORT = re.compile(
    r"""
    Kernel\ panic\ -\ not\ syncing
    | WARNING:\ | \[?\ *BUG:?\ | kernel\ BUG\ at | Oops | Internal\ error:
    | INFO:\ task\ .*\ blocked\ for\ more\ than
    | (rcu:\ )?INFO:\ .*\b(stall|stalls)\b
    | INFO:\ (possible|trying\ to|inconsistent)
    | (watchdog:\ )?(BUG:\ soft\ lockup|.*\b(hard|HARD)\ LOCKUP)
    | (UBSAN|KASAN|KCSAN|KFENCE|KMSAN|ODEBUG|DEBUG_LOCKS_WARN_ON)\b
    | unable\ to\ handle | general\ protection\ fault | (double|stack\ segment)\ fault | invalid\ opcode
    | possible\ (recursive|circular)\ locking | bad:\ scheduling\ from\ the\ idle
    | Dying\ CPU\ not\ properly\ vacated | .*\bunpinned\b | .*\bcorrupted\ stack\ end
    | list_(add|del)\ corruption | refcount_t:\ | rust_kernel:\ panicked
    | Unbalanced\ | sched:\ .*(while\ atomic|[Uu]nexpected)
    # A guest without high-resolution timers would give wrong answers in silence.
    | APIC\ timer\ disabled | Could\ not\ switch\ to\ high\ resolution
    | NOHZ\ tick-stop\ error
    """,
    re.X,
)  # fmt: skip

STAMP = re.compile(r"^(<\d+>)?\[ *\d+\.\d+\](\[[^]]*\])? ?")
# After these a report is complete; another line of the kernel belongs to something else.
END = re.compile(r"---\[ end (trace|Kernel panic)|^={20,}$")
LONGEST = 120


class Scanner:
    """Takes console lines one by one and collects the reports among them."""

    def __init__(self, allow: list[str]) -> None:
        self.allow = [re.compile(a) for a in allow]
        self.reports: list[list[str]] = []
        self.panicked = False
        self._open = 0

    def feed(self, line: str) -> bool:
        """Takes a line; says whether it starts a new report."""
        text = STAMP.sub("", line.rstrip("\r\n"))
        if text.startswith("Kernel panic - not syncing"):
            self.panicked = True
        if REPORT.match(text) and not any(a.search(text) for a in self.allow):
            fresh = not self._open
            if fresh:
                self.reports.append([])
                self._open = LONGEST
            self._keep(line)
            return fresh
        if self._open:
            self._keep(line)
            if END.search(text):
                self._open = 0
        return False

    def _keep(self, line: str) -> None:
        self.reports[-1].append(line.rstrip("\r\n"))
        self._open -= 1
