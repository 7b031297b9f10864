"""What several senders send, and what is said of what they got."""

import contextlib
import io
import unittest

from enokitest import overlap_guest, tap


class Overlap(unittest.TestCase):
    def test_shares(self) -> None:
        for count in (100_000, 10_000_000, 10_000_003):
            shares = overlap_guest.shares(count)
            self.assertEqual((sum(shares), len(set(shares))), (count, overlap_guest.SENDERS))

    def test_failures_are_read_back(self) -> None:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            said = overlap_guest.Tap(3)
            said.test(True, "sender 0 gets all", "x")
            said.test(False, "sender 1 gets all", "Error: lacks #7\nto 9")
        results = tap.parse(out.getvalue().splitlines())
        self.assertEqual(results.passed, 1)
        self.assertEqual(
            results.failed, ["sender 1 gets all: Error: lacks  7 to 9", "1 planned tests did not run"]
        )
        self.assertEqual(said.failed, 1)


if __name__ == "__main__":
    unittest.main()
