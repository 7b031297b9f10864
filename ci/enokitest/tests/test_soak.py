"""What the soak is told."""

import contextlib
import io
import unittest

from enokitest import soak


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


if __name__ == "__main__":
    unittest.main()
