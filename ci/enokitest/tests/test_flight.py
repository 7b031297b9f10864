"""The reader of the flight recorder's files."""

import importlib.util
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

PROGRAM = Path(__file__).resolve().parents[3] / "tools/enoki-replay/enoki-flight.py"
spec = importlib.util.spec_from_file_location("enoki_flight", PROGRAM)
assert spec and spec.loader
flight = importlib.util.module_from_spec(spec)
sys.modules["enoki_flight"] = flight
spec.loader.exec_module(flight)


def file(*records: tuple[int, ...], magic: int = flight.MAGIC, version: int = 1, count: int | None = None) -> bytes:
    """A file with these records."""
    count = len(records) if count is None else count
    return flight.HEADER.pack(magic, version, 32, count, 99) + b"".join(flight.RECORD.pack(*r) for r in records)


class Flight(unittest.TestCase):
    def test_in_order(self) -> None:
        got = flight.records(file((30, 7, 3000, 1, 1, 9, 2, 0), (20, 7, 0, 0, 1, 1, 2, 0)))
        self.assertEqual([record.time_ns for record in got], [20, 30])
        self.assertIn("task_wakeup", str(got[0]))
        self.assertIn("CPU 0 (by 1)", str(got[0]))
        self.assertRegex(str(got[1]), r"policy  2  pick_next_task +task 7 +slice 3000 ns")

    def test_tokens_wanted_back(self) -> None:
        came, lost = flight.records(file((1, 7, 5 | 256, 0, 0, 15, 2, 0), (2, 7, 1, 0, 0, 15, 2, 0)))
        self.assertIn("rescue, given back", str(came))
        self.assertIn("migrate, lost", str(lost))

    def test_counts(self) -> None:
        said, silent = flight.records(file((1, 0, 3, 0, 0, 22, 2, 0), (2, 0, flight.NOT_COUNTED, 0, 0, 22, 2, 0)))
        self.assertRegex(str(said), "nr_queued +no task +3 queued")
        self.assertRegex(str(silent), "nr_queued +no task +does not count")

    def test_an_event_of_tomorrow(self) -> None:
        self.assertIn("event 77", str(flight.records(file((1, 0, 5, 0, 0, 77, 2, 0)))[0]))

    def test_what_is_wrong(self) -> None:
        good = file((1, 0, 5, 0, 0, 7, 2, 0))
        for data, words in (
            (b"", "nothing has been recorded"),
            (good[:10], "too short"),
            (file(magic=1), "byte order"),
            (file(version=2), "version 2"),
            (good[:-1], "should have 1 records"),
            (good + b"x" * 32, "but has 2"),
            (file((1, 0, 5, 0, 0, 7, 2, 0), count=1 << 60), "should have"),
        ):
            with self.assertRaisesRegex(ValueError, words):
                flight.records(data)

    def test_command_line(self) -> None:
        with tempfile.NamedTemporaryFile() as out:
            out.write(b"not a record at all, but long enough for a header")
            out.flush()
            done = subprocess.run([PROGRAM, out.name], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("no records of Enoki", done.stderr)


if __name__ == "__main__":
    unittest.main()
