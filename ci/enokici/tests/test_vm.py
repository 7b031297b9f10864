"""ci/vm's promises. The slow half boots a kernel and runs when ENOKI_TEST_KERNEL names one."""

import contextlib
import io
import os
import re
import subprocess
import unittest
from unittest import mock

from enokici import vm
from enokici.common import CHECKOUT, Failure

KERNEL = os.environ.get("ENOKI_TEST_KERNEL", "")
# Boots sooner; for what does not need a kernel that can be made to complain.
PLAIN = "release"


class ArgumentsTest(unittest.TestCase):
    """Bad arguments are refused before anything starts."""

    def test_refused(self) -> None:
        """Each of these is a usage error."""
        for argv in ([], ["--cpus", "0", "--", "true"], ["--mem", "lots", "--", "true"],
                     ["--timeout", "-1", "--", "true"], ["--round-us", "20", "--", "true"], ["--interactive", "--", "true"], ["--nonsense"]):  # fmt: skip
            with self.subTest(argv), contextlib.redirect_stderr(io.StringIO()):
                self.assertRaises(SystemExit, vm.parse, argv)

    def test_command_keeps_its_options(self) -> None:
        """What follows -- belongs to the command."""
        self.assertEqual(vm.parse(["--cpus", "4", "--", "ls", "-l", "--all"]).command, ["ls", "-l", "--all"])

    def test_missing_kernel(self) -> None:
        """The message says what to run."""
        with self.assertRaisesRegex(Failure, "run ci/build nosuch first"):
            vm.find_kernel("nosuch")


def boot(command: str, *options: str, kernel: str = PLAIN) -> subprocess.CompletedProcess[str]:
    """Runs ci/vm on a kernel."""
    argv = [str(CHECKOUT / "ci/vm"), "--kernel", kernel, "--timeout", "120", *options, "--", command]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


@unittest.skipUnless(KERNEL, "ENOKI_TEST_KERNEL names no kernel")
class BootTest(unittest.TestCase):
    """Exit statuses and reports, seen on a real guest."""

    def test_status_and_output(self) -> None:
        """The command's output, and only that, on stdout; its status returned."""
        done = boot("echo hello; echo words >&2; pwd; exit 3")
        self.assertEqual((done.returncode, done.stdout), (3, f"hello\nwords\n{os.getcwd()}\n"))
        self.assertEqual(boot("true").returncode, 0)

    def test_rounds(self) -> None:
        """With --round-us no CPU waits long for its next turn, while all are busy."""
        script = """
import os, time
late, end = 0, time.perf_counter_ns() + 40_000_000
cpu = next((n for n in (1, 2, 3) if os.fork() == 0), 0)
os.sched_setaffinity(0, {cpu})
last = time.perf_counter_ns()
while last < end:
    now = time.perf_counter_ns()
    late += now - last > 150_000
    last = now
print(late)
"""
        late = boot(f"python3 -c '{script}' | sort -n | tail -1", "--cpus", "4", "--icount", "--round-us", "20").stdout
        self.assertLess(int(late), 10)

    def test_surroundings(self) -> None:
        """What every command finds in a guest."""
        script = """set -e; [ $(id -u) = 0 ]; [ "$HOME" = /root ]; [ $(nproc) = 4 ]; [ -d "$ENOKI_CHECKOUT/ci" ]
        for path in /sys/kernel/debug/sched /sys/kernel/tracing/events /sys/fs/cgroup/cgroup.procs; do [ -e $path ]; done
        echo x >/tmp/x; echo x >/dev/shm/x; echo x >/run/x; touch out/log/.w; rm out/log/.w; modprobe -n -v configs || true"""
        done = boot(script, "--cpus", "4")
        self.assertEqual((done.returncode, done.stdout), (0, ""), done.stderr)

    def test_panic(self) -> None:
        """A panic ends the guest at once and is printed."""
        done = boot("echo c >/proc/sysrq-trigger; sleep 100")
        self.assertEqual(done.returncode, vm.REPORTED)
        self.assertIn("sysrq triggered crash", done.stderr)

    def test_reports(self) -> None:
        """A kernel that complains fails the run whatever the command returned."""
        for what, words in {"WARNING": "WARNING:", "BUG": "kernel BUG", "SOFTLOCKUP": "soft lockup"}.items():
            with self.subTest(what):
                done = boot(f"modprobe lkdtm; echo {what} >/sys/kernel/debug/provoke-crash/DIRECT; exit 0", kernel=KERNEL)
                self.assertEqual(done.returncode, vm.REPORTED)
                self.assertIn(words, done.stderr)

    def test_silent(self) -> None:
        """A guest that says nothing before it has booted is started again."""
        options = vm.Options(vm.find_kernel(PLAIN), ["true"], qemu=("-S",))
        guest = vm.Vm(options, use_kvm=False)
        with mock.patch.object(vm, "SILENT_S", 3.0):
            self.assertEqual(guest.run(), vm.QEMU_CRASHED)
        self.assertIn("EIP=", guest.log.read_text())

    def test_timeout(self) -> None:
        """The guest is asked for its tasks, and its last words are shown."""
        done = boot("echo begun; sleep 1000", "--timeout", "60")
        self.assertEqual(done.returncode, vm.TIMED_OUT)
        self.assertIn("begun", done.stdout)
        self.assertIn("waited 60 s for the command", done.stderr)
        named = re.search(r"out/log/vm-\S+\.log", done.stderr)
        assert named
        log = (CHECKOUT / named[0]).read_text(errors="replace")
        self.assertRegex(log, r"sysrq: Show (State|backtrace)")
