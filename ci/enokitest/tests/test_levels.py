"""How scripts' outputs are counted and machines' results are judged."""

import inspect
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from enokici.common import CHECKOUT
from enokitest import levels, machine
from enokitest.suite import Check, Outcome, Suite
from enokitest.tap import Results


class Counted(unittest.TestCase):
    def test_rust(self) -> None:
        got = levels.counted(
            "running 3 tests\ntest tree::pops ... ok\ntest tree::cuts ... FAILED\ntest x ... ok\n"
            "test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out\n"
        )
        self.assertEqual((got.passed, got.failed), (2, ["tree::cuts"]))

    def test_plain(self) -> None:
        self.assertEqual(levels.counted("FAILED clone_token\n7 passed, 1 failed\n").failed, ["clone_token"])
        self.assertEqual(levels.counted("compile-fail: 7 passed, 0 failed\n").passed, 7)
        self.assertEqual(levels.counted("0 passed, 2 failed\n").failed, ["2 tests"])

    def test_status(self) -> None:
        with tempfile.TemporaryDirectory(dir=CHECKOUT) as scratch:
            log = Path(scratch) / "x.log"
            log.write_text("all is well\n")
            self.assertEqual(levels.judged(0, log).results.passed, 1)
            self.assertEqual(levels.judged(2, log).results.failed, ["exit status 2: all is well"])


class Steps(unittest.TestCase):
    def ended(self, text: str, status: int = 0) -> machine.Ended:
        return machine.Ended(status, CHECKOUT / "out/log/x.log", text.splitlines())

    def test_good(self) -> None:
        got = levels._steps(
            self.ended("# enoki-begin a\n1..1\nok 1 x\n# enoki-end a 0\n# enoki-begin b\n1..0 # SKIP no\n# enoki-end b 4\n"),
            ["a", "b"],
        )
        self.assertEqual((got.results.passed, got.results.failed, got.results.skipped), (1, [], ["b no"]))

    def test_missing_and_cut_off(self) -> None:
        got = levels._steps(self.ended("# enoki-begin a\n1..2\nok 1 x\n", 124), ["a", "b"])
        self.assertEqual(
            got.results.failed,
            ["a 1 planned tests did not run", "a did not run to its end", "b did not run", "the machine took too long"],
        )

    def test_report(self) -> None:
        got = levels._steps(self.ended("# enoki-begin a\n1..1\nok 1 x\n# enoki-end a 0\n", 122), ["a"])
        self.assertEqual((got.results.passed, got.results.failed), (1, ["the kernel reported a bug"]))

    def test_report_is_quoted(self) -> None:
        ended = self.ended("enoki: the kernel reports: [   56.331187] WARNING: enoki/token.c:1\n", 122)
        self.assertEqual(ended.problem, "the kernel reported a bug: WARNING: enoki/token.c:1")

    def test_stale_breakpoint(self) -> None:
        first = "enoki: the kernel reports: [   56.331187] Oops: int3: 0000 [#1] SMP"
        gone = "[   56.334656] Code: 66 0f 1f 44 00 00 eb <06> b8 01 00"
        self.assertTrue(machine.stale_breakpoint([first, gone]))
        self.assertFalse(machine.stale_breakpoint([first, gone.replace("eb <", "cc <")]))
        self.assertFalse(machine.stale_breakpoint([first.replace("Oops: int3", "BUG: NULL"), gone]))
        self.assertFalse(machine.stale_breakpoint([first.replace("Oops: int3", "BUG: NULL"), first, gone]))

    def test_stalled_at_boot(self) -> None:
        stall = "enoki: the kernel reports: [   40.813043] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:"
        self.assertTrue(machine.stalled_at_boot([stall]))
        self.assertTrue(machine.stalled_at_boot([stall, "# enoki-begin a"]))
        self.assertFalse(machine.stalled_at_boot(["# enoki-begin a", stall]))
        self.assertFalse(machine.stalled_at_boot([stall.replace("rcu:", "x").replace("stalls", "hangs")]))
        self.assertFalse(machine.stalled_at_boot([]))

    def test_time_out_of_one(self) -> None:
        got = levels._steps(self.ended("# enoki-begin a\n1..1\nok 1 x\n# enoki-end a 124\n"), ["a"])
        self.assertEqual(got.results.failed, ["a exit status 124 (time-out)"])

    def test_nothing(self) -> None:
        self.assertEqual(levels._steps(self.ended(""), []).results.failed, ["nothing ran"])


class Listed(Suite):
    """Keeps the groups instead of running them."""

    def __init__(self) -> None:
        super().__init__()
        self.groups: list[tuple[str, Check]] = []

    def group(self, name: str, check: Check) -> bool:
        self.groups.append((name, check))
        return True

    def side_by_side(self, groups: list[tuple[str, Check]], lanes: int) -> None:
        del lanes
        self.groups += groups


class Levels(unittest.TestCase):
    def groups(self, full: bool) -> dict[str, Check]:
        suite = Listed()
        levels.run(suite, full)
        found = dict(suite.groups)
        self.assertEqual(len(found), len(suite.groups), "two groups have one name")
        return found

    def boots(self, name: str) -> tuple[str, int, list[str], dict[str, str]]:
        """What a group of the level all runs: the kernel, CPUs, programs and environment."""
        with (
            mock.patch.object(levels, "selftests") as selftests,
            mock.patch.object(levels, "once", lambda _flavour, _what, tests: tests()),
        ):
            self.groups(True)[name]()
        options = inspect.signature(levels.selftests).bind(*selftests.call_args.args, **selftests.call_args.kwargs)
        flavour, cpus, programs = options.args[:3]
        return flavour, cpus, programs, options.arguments.get("env") or {}

    def test_all_has_what_quick_has(self) -> None:
        self.assertLess(set(self.groups(False)), set(self.groups(True)))

    def test_further_policies(self) -> None:
        for policy in levels.FURTHER_POLICIES:
            for kernel in ("debug", "rt", "kasan"):
                with self.subTest(policy=policy, kernel=kernel):
                    flavour, cpus, programs, env = self.boots(f"selftests under {policy}, {kernel} kernel, 2 CPUs")
                    self.assertEqual((flavour, cpus, env), (kernel, 2, {"VARIANTS": f"-v {policy}"}))
                    self.assertIn("policies", programs)

    def test_storms(self) -> None:
        env = {"LIMIT": "10000", "STORM_CYCLES": "50", "VARIANTS": "-v arachne"}
        self.assertEqual(self.boots("storm under arachne, debug kernel, 2 CPUs"), ("debug", 2, ["storm"], env))
        env = {"LIMIT": "10000", "STORM_CYCLES": "100"}
        self.assertEqual(self.boots("storm, kasan kernel, 4 CPUs"), ("kasan", 4, ["storm"], env))

    def test_upgrades(self) -> None:
        env = {"LIMIT": "10000", "UPGRADE_CYCLES": "2000"}
        self.assertEqual(self.boots("2000 upgrades, kasan kernel, 8 CPUs"), ("kasan", 8, ["upgrade_storm"], env))
        env = {"LIMIT": "10000", "UPGRADE_CYCLES": "250", "UPGRADE_RELOAD": "1"}
        reloads = self.boots("250 upgrades, with modules, debug kernel, 2 CPUs")
        self.assertEqual(reloads, ("debug", 2, ["upgrade_storm"], env))

    def test_once(self) -> None:
        with tempfile.TemporaryDirectory() as cache:
            kernel = Path(cache) / "debug-1"
            with (
                mock.patch.object(levels, "CACHE", Path(cache)),
                mock.patch.object(levels.kernels, "build", lambda _flavour: kernel),
            ):
                ran: list[Outcome] = [Outcome(Results(failed=["x"])), Outcome(Results(passed=7))]
                self.assertEqual(levels.once("debug", "storm-2", lambda: ran.pop(0)).results.failed, ["x"])
                self.assertEqual(levels.once("debug", "storm-2", lambda: ran.pop(0)).results.passed, 7)
                again = levels.once("debug", "storm-2", lambda: ran.pop(0))
                self.assertEqual((again.results.passed, ran), (7, []))
                self.assertIn("passed before", again.note)
                kernel = Path(cache) / "debug-2"
                ran.append(Outcome(Results(passed=8)))
                self.assertEqual(levels.once("debug", "storm-2", lambda: ran.pop(0)).results.passed, 8)

    def test_faults(self) -> None:
        env = {"LIMIT": "10000", "FAULT_SECONDS": "60"}
        self.assertEqual(self.boots("faults for a minute each"), ("debug", 4, ["faults"], env))

    def test_shaped(self) -> None:
        shaped = list(levels.SHAPED)
        self.assertEqual(self.boots("selftests, SMT and isolation, rt kernel"), ("rt", 4, shaped, {}))
        env = {"VARIANTS": "-v locality"}
        self.assertEqual(self.boots("SMT and isolation under locality, debug kernel"), ("debug", 4, shaped, env))


if __name__ == "__main__":
    unittest.main()
