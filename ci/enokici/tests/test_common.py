"""Tests of what every module of ci/ shares."""

import tempfile
import threading
import unittest
from pathlib import Path

from enokici import common


class CommonTest(unittest.TestCase):
    """Helpers that touch files."""

    def test_many_make_the_same_link(self) -> None:
        """Groups of tests that run beside each other want the same kernel."""
        with tempfile.TemporaryDirectory() as directory:
            link, failed = Path(directory) / "kernel/release", []

            def again() -> None:
                try:
                    for _ in range(200):
                        common.point(link, Path(directory))
                except OSError as err:
                    failed.append(err)

            threads = [threading.Thread(target=again) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(failed, [])
            self.assertEqual(link.readlink(), Path(directory))


if __name__ == "__main__":
    unittest.main()
