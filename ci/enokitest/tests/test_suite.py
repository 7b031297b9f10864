"""The order in which groups are run."""

import contextlib
import io
import threading
import unittest

from enokitest.suite import Outcome, Suite
from enokitest.tap import Results


class SideBySide(unittest.TestCase):
    def run_groups(self, number: int, lanes: int) -> Suite:
        suite = Suite()
        both = threading.Barrier(lanes)

        def check() -> Outcome:
            both.wait(timeout=30)
            return Outcome(Results(passed=1))

        with contextlib.redirect_stdout(io.StringIO()):
            suite.side_by_side([(f"group {n}", check) for n in range(number)], lanes)
        return suite

    def test_each_once(self) -> None:
        self.assertEqual(self.run_groups(7, 1).total.passed, 7)

    def test_so_many_at_a_time(self) -> None:
        # Each waits for another one, so that one at a time would not end well.
        self.assertEqual(self.run_groups(6, 2).total.passed, 6)

    def test_one_that_fails(self) -> None:
        suite = Suite()

        def bad() -> Outcome:
            raise OSError("no such thing")

        good = Outcome(Results(passed=1))
        with contextlib.redirect_stdout(io.StringIO()):
            suite.side_by_side([("bad", bad), ("good", lambda: good)], 2)
        self.assertEqual((suite.total.passed, len(suite.total.failed)), (1, 1))
