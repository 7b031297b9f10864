"""How the figures of make bench-locality are read and judged."""

import unittest

from enokitest import bench_locality as bench
from enokitest import classes


def rows(eevdf: float, without: float, hinted: float) -> list[bench.Row]:
    found = {classes.EEVDF.name: eevdf, bench.LOCALITY.name: without, bench.HINTED.name: hinted}
    return [{"class": name, "wake_p50_us": 1.0, "wake_p99_us": us, "wake_p999_us": us} for name, us in found.items()]


class Judged(unittest.TestCase):
    def test_row(self) -> None:
        lines = [{"wake": {"p50_ns": 1000 * n, "p99_ns": 2000 * n, "p999_ns": 3000}} for n in (9, 1, 2)]
        got = bench.row("EEVDF", lines)
        self.assertEqual((got["runs"], got["wake_p50_us"], got["wake_p99_us"]), (3, 2.0, 4.0))

    def test_kept(self) -> None:
        self.assertEqual([good for _, good in bench.judged(rows(50, 60, 10))], [True, True])

    def test_missed(self) -> None:
        self.assertEqual([good for _, good in bench.judged(rows(49, 60, 10))], [False, True])
        self.assertEqual([good for _, good in bench.judged(rows(50, 49, 10))], [True, False])

    def test_table(self) -> None:
        self.assertEqual(len(bench.table(rows(1, 2, 3)).splitlines()), 4)


if __name__ == "__main__":
    unittest.main()
