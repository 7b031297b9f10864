"""What the soak is told, how it divides its loads, and its runtime against a policy that is made up."""

import contextlib
import errno
import io
import random
import unittest
from collections import Counter
from unittest import mock

from enokitest import soak, soak_guest
from enokitest.evidence import Policy
from enokitest.soak_runtime import ENTER, GRANTED, LEAVE, REQUEST, Runtime

RECLAIM = 2


class Arguments(unittest.TestCase):
    def refused(self, *words: str) -> str:
        """What is said of these."""
        said = io.StringIO()
        with contextlib.redirect_stderr(said), self.assertRaises(SystemExit):
            soak.arguments(words)
        return said.getvalue()

    def test_kernels(self) -> None:
        self.assertEqual(soak.arguments([]).kernel, "debug")
        for name in ("release", "debug", "rt", "kasan"):
            self.assertEqual(soak.arguments(["5", "--kernel", name]).kernel, name)

    def test_wrong_kernel(self) -> None:
        for name in ("kasn", "pristine", "n", "arm64", "kcsan"):
            said = self.refused("5", "--kernel", name)
            self.assertIn(f"no kernel {name} ", said)
            self.assertIn("release, debug, ", said)
            self.assertIn(", kasan", said)

    def test_wrong_time(self) -> None:
        self.assertIn("positive", self.refused("0"))


def registered(module: str) -> Policy:
    return Policy(module.removeprefix("enoki_"), list(soak_guest.MODULES).index(module) + 1)


class Loads(unittest.TestCase):
    def setUp(self) -> None:
        with mock.patch.object(soak_guest, "load", registered):
            self.soak = soak_guest.Soak(60, 1)

    def picked(self, none: int) -> Counter[str]:
        choice = random.Random(1)
        policies = (self.soak.some_policy(choice, none) for _ in range(14_000))
        return Counter(policy.name if policy else "" for policy in policies)

    def test_few_of_arachne(self) -> None:
        got = self.picked(none=1)
        for name, times in (("", 1000), ("arachne", 1000), ("fifo", 3000), ("locality", 3000)):
            self.assertAlmostEqual(got[name], times, delta=150)

    def test_resting(self) -> None:
        self.soak.resting = "fifo"
        self.assertEqual(set(self.picked(none=0)), {"wfq", "shinjuku", "locality", "arachne"})

    def test_overdue(self) -> None:
        for module, seconds in (("enoki_fifo", 300), ("enoki_arachne", 600)):
            with (
                mock.patch.object(self.soak, "some_policy", return_value=self.soak.policies[module]),
                mock.patch.object(soak_guest.subprocess, "Popen"),
            ):
                self.soak.start_load()
            self.assertEqual(self.soak.running[-1].overdue, seconds)


class Arbiter:
    """A policy that has granted some cores, and knows some threads."""

    def __init__(self) -> None:
        self.cores: set[int] = set()
        self.threads: set[int] = set()
        self.tells: list[dict[str, int]] = []
        self.said: list[tuple[int, int, int]] = []
        self.entered: set[tuple[int, int]] = set()
        self.gone = False

    def hints(self, *_: object) -> None: ...

    def messages(self, *_: object) -> None: ...

    def wait(self, _timeout_ms: int) -> dict[str, int] | None:
        return self.tells.pop(0) if self.tells else None

    def send_now(self, ask: dict[str, int], thread: int) -> None:
        op, value = ask["op"], ask["value"]
        self.said.append((op, value, thread))
        if self.gone:
            raise OSError(errno.ENODEV, "gone")
        if op == REQUEST and not thread:
            raise OSError(errno.EINVAL, "for nobody")
        if op != REQUEST and value not in self.cores:
            raise OSError(errno.EPERM, "not yours")
        if op != LEAVE and thread not in self.threads:
            raise OSError(errno.ESRCH, "not ours")
        if op == ENTER:
            self.entered.add((value, thread))
        if op == LEAVE:
            self.cores.remove(value)


class Cores(unittest.TestCase):
    def setUp(self) -> None:
        self.arbiter = Arbiter()
        self.runtime = Runtime(self.arbiter, 4, random.Random(1))

    def grant(self, *cores: int) -> None:
        self.arbiter.cores |= set(cores)
        self.arbiter.tells += [{"what": GRANTED, "core": core} for core in cores]

    def steps(self, times: int, threads: list[int]) -> int:
        return sum(self.runtime.step(lambda: threads) for _ in range(times))

    def test_asks_for_cores(self) -> None:
        self.arbiter.threads = {7}
        self.assertEqual(self.steps(200, [6, 7, 8]), 0)
        self.assertEqual({value for op, value, _ in self.arbiter.said if op == REQUEST}, {0, 1, 2, 3, 4})
        self.assertEqual({op for op, *_ in self.arbiter.said}, {REQUEST})

    def test_puts_threads_there(self) -> None:
        self.grant(2, 3)
        self.arbiter.threads = {8}
        self.assertGreater(self.steps(20, [7, 8, 9]), 0)
        self.assertLessEqual(self.arbiter.entered, {(2, 8), (3, 8)})

    def test_gives_back_unasked(self) -> None:
        self.grant(1, 2, 3)
        self.steps(300, [])
        self.assertEqual(self.arbiter.cores, set())
        self.assertEqual(self.runtime.cores, set())

    def test_gives_back_every_other_one(self) -> None:
        self.runtime.cores = set(range(100))
        self.arbiter.cores = set(range(100))
        self.arbiter.tells = [{"what": RECLAIM, "core": core} for core in range(100)]
        self.steps(100, [])
        self.assertEqual(self.runtime.cores, set())
        self.assertTrue(30 < len(self.arbiter.cores) < 70)

    def test_taken(self) -> None:
        self.grant(2)
        self.steps(1, [])
        self.arbiter.cores.clear()
        self.assertFalse(self.runtime.enter(2, [7]))
        self.assertEqual(self.runtime.cores, set())

    def test_policy_goes(self) -> None:
        self.arbiter.gone = True
        with self.assertRaises(OSError):
            self.runtime.request(1, [7])


if __name__ == "__main__":
    unittest.main()
