"""Which replays are good ones."""

import tempfile
import unittest
from pathlib import Path
from unittest import mock

from enokici.common import CHECKOUT
from enokitest import replay

GOOD = "fifo 1: 10 calls as recorded (2 in parts), 5 locks, 3 tasks"


# Answers by the recording's name, and by the source if one is given.
PROGRAM = """#!/bin/sh
case $1,$3 in
%s
*) exit 9 ;;
esac
"""
FOUND_OUT = "echo 'the policy answers slice 5; then it was 4'; exit 1"


class Judge(unittest.TestCase):
    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory(dir=CHECKOUT)
        self.addCleanup(scratch.cleanup)
        self.place = Path(scratch.name)
        self.enterContext(mock.patch.object(replay, "PLACE", self.place))

    def judged(self, policies: tuple[str, ...], **does: str) -> tuple[int, list[str]]:
        """What is made of these recordings, if the program does that with each or with a changed policy."""
        cases = {"*,*/enoki_changed.rs": does.pop("changed", FOUND_OUT)}
        cases |= {f"*/{policy}.enoki,*": command for policy, command in ({"fickle": FOUND_OUT} | does).items()}
        replayer = self.place / "replayer"
        replayer.write_text(PROGRAM % "\n".join(f"{case}) {command} ;;" for case, command in cases.items()))
        replayer.chmod(0o755)
        results = replay.judge(replayer, [(policy, self.place / f"{policy}.enoki") for policy in policies])
        return results.passed, results.failed

    def test_good(self) -> None:
        self.assertEqual(self.judged(("fifo", "fickle"), fifo=f"echo '{GOOD}, in 0.25 s'"), (5, []))

    def test_different(self) -> None:
        judged = self.judged(("wfq",), wfq="echo 'record 9 of CPU 0'; exit 1")
        # The same each time, at least.
        self.assertEqual(judged, (2, ["wfq.enoki: record 9 of CPU 0"]))

    def test_once_more(self) -> None:
        judged = self.judged(("wfq",), wfq=f'echo "{GOOD} $(date +%N)"')
        passed, failed = judged
        self.assertEqual((passed, failed[0]), (1, "wfq.enoki once more: is different"))

    def test_not_found_out(self) -> None:
        same = f"echo '{GOOD}'"
        passed, failed = self.judged(("fifo", "fickle"), fifo=same, fickle=same, changed=same)
        self.assertEqual((passed, len(failed)), (3, 2))

    def test_with_threads(self) -> None:
        does = f'if [ "$4" = --threads ]; then {FOUND_OUT}; fi; echo "{GOOD}"'
        words = "wfq.enoki with threads: the policy answers slice 5; then it was 4"
        self.assertEqual(self.judged(("wfq",), wfq=does), (2, [words]))

    def test_line_to_change(self) -> None:
        with (
            mock.patch.object(replay, "CHANGED", ("no such line", "")),
            self.assertRaisesRegex(replay.Failure, "does not have no such line exactly once"),
        ):
            replay.judge(self.place, [])
