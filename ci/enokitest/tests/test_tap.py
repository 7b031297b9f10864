"""The counting of results, on what kselftests and KUnit print."""

import unittest

from enokitest import tap


def parse(text: str) -> tap.Results:
    return tap.parse(text.splitlines())


class Tap(unittest.TestCase):
    def test_harness(self) -> None:
        got = parse(
            "TAP version 13\n1..3\n# Starting 3 tests from 1 test cases.\n#  RUN           enoki.a ...\n"
            "#            OK  enoki.a\nok 1 enoki.a\nnot ok 2 enoki.b\nok 3 enoki.c # SKIP needs 2 CPUs\n"
            "# Totals: pass:1 fail:1 xfail:0 xpass:0 skip:1 error:0\n"
        )
        self.assertEqual((got.passed, got.failed, got.skipped), (1, ["enoki.b"], ["enoki.c: needs 2 CPUs"]))

    def test_reasons(self) -> None:
        got = parse(
            "1..3\n# a.c:3:one:Expected 1 (1) == 2 (2)\nok 1 x.one\n#  RUN           x.two ...\n"
            "# a.c:7: awaited in vain: b()\n#   /sys/c: 3\n# a.c:8:two:Expected 0 (0) != b() (0)\n"
            "# two: Test failed\nnot ok 2 x.two\nnot ok 3 x.three\n"
        )
        told = "x.two\na.c:7: awaited in vain: b()\na.c:8:two:Expected 0 (0) != b() (0)"
        self.assertEqual((got.passed, got.failed), (1, [told, "x.three"]))

    def test_missing(self) -> None:
        got = parse("1..4\nok 1 a\nok 2 b\n")
        self.assertEqual((got.passed, got.failed), (2, ["2 planned tests did not run"]))

    def test_skipped_whole(self) -> None:
        got = parse("TAP version 13\n1..0 # SKIP this kernel has no Enoki\n")
        self.assertEqual((got.passed, got.failed, got.skipped), (0, [], ["this kernel has no Enoki"]))

    def test_nested(self) -> None:
        got = parse(
            "KTAP version 1\n1..2\n    KTAP version 1\n    # Subtest: tokens\n    1..2\n    ok 1 one\n"
            "    ok 2 two\nok 1 tokens\n    KTAP version 1\n    # Subtest: tree\n    1..2\n    ok 1 three\n"
            "    not ok 2 four\nnot ok 2 tree\n"
        )
        self.assertEqual((got.passed, got.failed), (3, ["four"]))

    def test_parent_fails_alone(self) -> None:
        got = parse("1..1\n    1..1\n    ok 1 fine\nnot ok 1 suite\n")
        self.assertEqual((got.passed, got.failed), (1, ["suite"]))

    def test_kernel_log(self) -> None:
        got = parse("[    1.234567] KTAP version 1\n[    1.2] 1..1\n<6>[    1.3] ok 1 suite\n[    1.4] usb: ok 2 ports\n")
        self.assertEqual((got.passed, got.failed), (1, []))

    def test_directives(self) -> None:
        got = parse("1..3\nok 1 a # XFAIL known\nnot ok 2 b # TODO later\nok 3 - c\n")
        self.assertEqual((got.passed, got.failed), (3, []))


if __name__ == "__main__":
    unittest.main()
