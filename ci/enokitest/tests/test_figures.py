"""The reading of measurements and the drawing of tables."""

import unittest

from enokitest import bench, demo_guest, latency

LINES = [
    "$ ci/vm …",
    "result EEVDF 1 8100.0 8120.0 8090.0",
    "result SCHED_FIFO 1 6100.0 6100.0 6110.0",
    "result enoki_fifo 1 6500.0 6510.0 6490.0",
    "result +_recorder 1 6600.0 6600.0 6600.0",
    "result enoki_wfq 1 7700.0 7700.0 7700.0",
    "result EEVDF 2 9000.0 9500.0 9100.0",
    "EXIT: unregistered from user space",
]


class Bench(unittest.TestCase):
    def test_figures(self) -> None:
        got = bench.figures(LINES)
        self.assertEqual([f.value for f in got], [8.1, 6.1, 6.5, 6.6, 7.7, 9.1])
        self.assertEqual(got[0].spread, 0.03)
        self.assertEqual(
            set(got[0].as_json()), {"bench", "class", "cpus", "metric", "unit", "value", "spread", "emulated"}
        )

    def test_ratios(self) -> None:
        got = bench.ratios(bench.figures(LINES))
        self.assertEqual(
            [(name, round(ratio, 3)) for name, _, ratio, _ in got],
            [("enoki_fifo", 1.066), ("+ recorder", 1.015), ("enoki_wfq", 0.951)],
        )

    def test_table(self) -> None:
        text = bench.table(bench.figures(LINES))
        self.assertEqual(len({len(line) for line in text.splitlines()[1:]}), 1)
        self.assertIn("–", text.splitlines()[-1])

    def test_median(self) -> None:
        self.assertEqual((bench.median([3, 1, 2]), bench.median([1, 2, 3, 4])), (2, 2.5))


class Latency(unittest.TestCase):
    LINES = [f"latency {load} {us} 40" for us in (50, 60, 55) for load in latency.LOADS]

    def test_no_worse(self) -> None:
        found = latency.longest(["# stress-ng", *self.LINES])
        self.assertEqual(found["other"], [50, 60, 55])
        self.assertEqual(latency.judged(found).passed, 2)

    def test_worse(self) -> None:
        found = latency.longest([*self.LINES[:-1], "latency wfq 40 61"])
        self.assertEqual(latency.judged(found).failed, ["beside wfq a real-time task waited 61 us, else 60"])

    def test_missing(self) -> None:
        found = latency.longest(self.LINES[:-1])
        self.assertEqual(latency.judged(found).failed, ["wfq was measured 2 times, not 3"])
        self.assertEqual(len(latency.judged({}).failed), 3)


class Demo(unittest.TestCase):
    def test_table(self) -> None:
        text = demo_guest.table([("workload", "scheduler", "result"), ("pipe", "EEVDF", "122 us/op")])
        self.assertEqual(text.splitlines()[0], "workload  scheduler     result")
        self.assertEqual(text.splitlines()[2], "pipe      EEVDF      122 us/op")

    def test_results(self) -> None:
        found = {w.name: w for w in demo_guest.WORKLOADS}
        ran = demo_guest.Ran(0, "stress-ng: metrc: [221] cpu                 200      0.44      0.87      0.05\n")
        self.assertEqual(demo_guest._result(found["stress-ng --cpu"], ran), "0.4 s")
        ran = demo_guest.Ran(0, "     122.480000 usecs/op\n")
        self.assertEqual(demo_guest._result(found["perf bench sched pipe"], ran), "122 us/op")
        self.assertEqual(demo_guest._result(found["perf bench sched pipe"], demo_guest.Ran(1, "")), "no result")


if __name__ == "__main__":
    unittest.main()
