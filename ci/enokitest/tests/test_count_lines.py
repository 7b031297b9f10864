"""ci/count-lines: what is a line of code, and what is said of a sample that has too many."""

import contextlib
import importlib.machinery
import importlib.util
import io
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from enokici.common import CHECKOUT

_LOADER = importlib.machinery.SourceFileLoader("count_lines", str(CHECKOUT / "ci/count-lines"))
count_lines = importlib.util.module_from_spec(importlib.util.spec_from_loader("count_lines", _LOADER))
_LOADER.exec_module(count_lines)

# Four lines of code, two of them unsafe.
POLICY = """\
// SPDX-License-Identifier: GPL-2.0

//! About it.
fn one() {}
/* Not
   this. */
const TEXT: &str = "unsafe { // }";
unsafe fn two() {}
fn three() { unsafe { two() } } // unsafe

#[cfg(test)]
mod tests {
    fn not_this() {}
}
"""


class Lines(unittest.TestCase):
    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.top = Path(scratch.name)
        (self.top / "policy.rs").write_text(POLICY)

    def run_with(self, most: int | None, unsafe: int = 9, path: str = "policy.rs") -> tuple[int, str]:
        """Its exit status and what it complains of, if a policy may have that many lines."""
        said = io.StringIO()
        with (
            mock.patch.multiple(
                count_lines, TOP=self.top, COMPONENTS=[("policy x", [path], most)], MOST_UNSAFE=unsafe
            ),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(said),
        ):
            return count_lines.main(), said.getvalue()

    def test_count(self) -> None:
        with mock.patch.object(count_lines, "TOP", self.top):
            self.assertEqual(count_lines.count(["policy.rs"]), (4, 2))

    def test_within(self) -> None:
        for most in (4, None):
            self.assertEqual(self.run_with(most), (0, ""))

    def test_too_many(self) -> None:
        said = "count-lines: policy x has 4 lines of code and may have 3: make it shorter by 1\n"
        self.assertEqual(self.run_with(3), (1, said))

    def test_unsafe(self) -> None:
        self.assertEqual(self.run_with(None, unsafe=2), (0, ""))
        said = "count-lines: the kernel has 2 lines of unsafe Rust and may have 1\n"
        self.assertEqual(self.run_with(None, unsafe=1), (1, said))

    def test_not_there(self) -> None:
        status, said = self.run_with(3, path="elsewhere.rs")
        self.assertEqual(status, 1)
        self.assertIn("policy x: there is no code", said)

    def test_promises(self) -> None:
        limited = {name for name, _, most in count_lines.COMPONENTS if most is not None}
        self.assertEqual(limited, {f"policy {name}" for name in ("fifo", "shinjuku", "locality", "arachne")})


if __name__ == "__main__":
    unittest.main()
