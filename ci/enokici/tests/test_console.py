"""The console scanner knows every kind of complaint, and takes nothing else for one."""

import unittest

from enokici.console import Scanner

COMPLAINTS = """\
[    3.1] Kernel panic - not syncing: sysrq triggered crash
[    3.141592] WARNING: CPU: 1 PID: 77 at kernel/sched/core.c:3 foo+0x1/0x2
[    3.141592] WARNING: kernel/sched/core.c:3 at foo+0x1/0x2, CPU#1: sh/77
[    3.141592][  T77] WARNING: possible circular locking dependency detected
[    3.141592] WARNING: suspicious RCU usage
[    3.141592] WARNING: inconsistent lock state
[    3.141592] BUG: KASAN: slab-use-after-free in foo+0x1/0x2
[    3.141592] BUG: KCSAN: data-race in foo / bar
[    3.141592] BUG: KFENCE: use-after-free read in foo
[    3.141592] BUG: sleeping function called from invalid context at kernel/x.c:1
[    3.141592] BUG: scheduling while atomic: sh/77/0x00000002
[    3.141592] BUG: workqueue lockup - pool cpus=0 node=0 flags=0x0 nice=0 stuck for 31s!
[    3.141592] BUG: unable to handle page fault for address: 0000000000001000
[    3.141592] BUG kmalloc-64 (Not tainted): Poison overwritten
[    3.141592] [ BUG: Invalid wait context ]
[    3.141592] kernel BUG at kernel/sched/core.c:3!
[    3.141592] Oops: general protection fault, probably for non-canonical address
[    3.141592] watchdog: BUG: soft lockup - CPU#1 stuck for 26s! [sh:77]
[    3.141592] watchdog: CPU1: Watchdog detected hard LOCKUP on cpu 1
[    3.141592] INFO: task sh:77 blocked for more than 60 seconds.
[    3.141592] rcu: INFO: rcu_preempt self-detected stall on CPU
[    3.141592] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:
[    3.141592] rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { 1-...D }
[    3.141592] INFO: trying to register non-static key.
[    3.141592] UBSAN: array-index-out-of-bounds in kernel/x.c:1:2
[    3.141592] ODEBUG: free active (active state 0) object: 0000 object type: hrtimer
[    3.141592] DEBUG_LOCKS_WARN_ON(lock->magic != lock)
[    3.141592] list_add corruption. next->prev should be prev
[    3.141592] Dying CPU not properly vacated!
[    3.141592] rust_kernel: panicked at samples/rust/x.rs:1:2:
[    3.141592] sched: Unexpected reschedule of offline CPU#1!
"""

INNOCENT = """\
[    0.000000] Linux version 7.3.4-enoki-debug (enoki@enoki) (gcc (Debian) 14)
[    0.000000] Command line: oops=panic panic=-1 console=ttyS0
[    0.100000] Lock dependency validator: Copyright (c) 2006 Red Hat, Inc., Ingo Molnar
[    0.100000] kfence: initialized - using 2097152 bytes for 255 objects
[    0.100000] rcu: Preemptible hierarchical RCU implementation.
[    0.100000] clocksource: timekeeping watchdog on CPU1: Marking clocksource 'tsc' as unstable
[    1.000000] virtme-init: waiting for udev to settle
[    1.000000] DEBUG: something printed this
ok 3 WARNING in a test's name
# BUG: this line is a program's
"""


class ScannerTest(unittest.TestCase):
    """What is a report and what is not."""

    def test_each_complaint_is_seen(self) -> None:
        """Every line of the list begins a report of its own."""
        for line in COMPLAINTS.splitlines():
            with self.subTest(line):
                self.assertTrue(Scanner([]).feed(line + "\n"))

    def test_nothing_else_is(self) -> None:
        """Boot messages and the words of programs are not reports."""
        for line in INNOCENT.splitlines():
            with self.subTest(line):
                self.assertFalse(Scanner([]).feed(line + "\n"))

    def test_a_report_keeps_its_lines(self) -> None:
        """From the first line to the end of the trace, and no further."""
        scanner = Scanner([])
        lines = ["[ 1.0] WARNING: x", "[ 1.0] Call Trace:", "[ 1.0] ---[ end trace 0 ]---", "[ 1.1] fine"]
        for line in lines:
            scanner.feed(line)
        self.assertEqual(scanner.reports, [lines[:3]])

    def test_allowed_reports(self) -> None:
        """A test that provokes a report can say so."""
        scanner = Scanner([r"at enoki_provoked"])
        self.assertFalse(scanner.feed("[ 1.0] WARNING: kernel/x.c:1 at enoki_provoked+0x1"))
        self.assertTrue(scanner.feed("[ 1.0] WARNING: kernel/x.c:1 at other+0x1"))

    def test_a_panic_is_remembered(self) -> None:
        """The panic may come inside of another report."""
        scanner = Scanner([])
        scanner.feed("[ 1.0] BUG: unable to handle page fault")
        scanner.feed("[ 1.0] Kernel panic - not syncing: Fatal exception")
        self.assertTrue(scanner.panicked)
        self.assertEqual(len(scanner.reports), 1)
