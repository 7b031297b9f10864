"""Which replays are good ones."""

import tempfile
import unittest
from pathlib import Path
from unittest import mock

from enokici.common import CHECKOUT
from enokitest import replay

GOOD = "fifo 1: 10 calls as recorded (2 in parts), 5 locks, 3 tasks"


def program(path: Path, words: str, status: int) -> None:
    path.write_text(f"#!/bin/sh\necho '{words}'\nexit {status}\n")
    path.chmod(0o755)


class Judge(unittest.TestCase):
    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory(dir=CHECKOUT)
        self.addCleanup(scratch.cleanup)
        self.place = Path(scratch.name)
        program(self.place / "changed", "the policy answers task 5; then it was 4", 1)
        program(self.place / "fickle", "the policy answers slice 5; then it was 4", 1)

    def judged(self, *policies: str) -> tuple[int, list[str]]:
        streams = [(policy, self.place / f"{policy}.stream") for policy in policies]
        results = replay.judge(self.place, streams)
        return results.passed, results.failed

    def test_good(self) -> None:
        program(self.place / "fifo", GOOD + ", in 0.25 s", 0)
        self.assertEqual(self.judged("fifo", "fickle"), (4, []))

    def test_different(self) -> None:
        program(self.place / "wfq", "record 9 of CPU 0", 1)
        passed, failed = self.judged("wfq")
        # Twice the same, at least.
        self.assertEqual((passed, failed), (1, ["wfq.stream: record 9 of CPU 0"]))

    def test_once_more(self) -> None:
        path = self.place / "wfq"
        program(path, GOOD + "$(date +%N)", 0)
        path.write_text(path.read_text().replace("'", '"'))
        self.assertEqual(self.judged("wfq"), (1, ["wfq.stream once more: is different"]))

    def test_not_found_out(self) -> None:
        for name in ("fifo", "changed", "fickle"):
            program(self.place / name, GOOD, 0)
        passed, failed = self.judged("fifo", "fickle")
        self.assertEqual((passed, len(failed)), (2, 2))

    def test_line_to_change(self) -> None:
        with (
            mock.patch.object(replay, "CHANGED", ("no such line", "")),
            mock.patch.object(replay, "_rustc"),
            mock.patch.object(replay, "PLACE", self.place),
            self.assertRaisesRegex(replay.Failure, "does not have no such line exactly once"),
        ):
            replay.programs()
