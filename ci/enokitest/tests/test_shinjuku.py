"""How the figures of make bench-shinjuku are read and judged."""

import unittest

from enokitest import bench_shinjuku as bench


def row(name: str, p999: float, batch: bool = False, share: float = 0.3, unserved: int = 0) -> bench.Row:
    return {
        "class": name, "batch": batch, "load": bench.AT, "get_p999_us": p999, "batch_share": share, "unserved": unserved,
    }  # fmt: skip


class Judged(unittest.TestCase):
    def test_rate(self) -> None:
        # 4 us for nearly all, 10 ms for 1 in 200, of 4 of the guest's each: 54 us and 216 ns of them.
        self.assertAlmostEqual(bench.rate(1), 1e6 / (53.98 * 4))

    def test_row(self) -> None:
        summary = {"count": 10, "p50_ns": 4000, "p99_ns": 8000, "p999_ns": 16000, "max_ns": 20000}
        got = bench.row(
            {"class": "EEVDF", "rate": bench.rate(0.7), "served_rate": 1.0, "unserved": 0, "get": summary,
             "range": summary, "sender": summary, "batch_share": 0.25}, True,
        )  # fmt: skip
        self.assertEqual((got["load"], got["get_p999_us"], got["requests"]), (0.7, 4.0, 20))
        self.assertIn("70% + batch", bench.line_of(got))

    def test_kept(self) -> None:
        rows = [row("EEVDF", 500), row("enoki_fifo", 900), row("enoki_shinjuku", 100)]
        self.assertEqual([good for _, good in bench.judged(rows)], [True, True])

    def test_missed(self) -> None:
        rows = [row("EEVDF", 499), row("enoki_fifo", 199), row("enoki_shinjuku", 100)]
        self.assertEqual([good for _, good in bench.judged(rows)], [False, False])

    def test_unserved(self) -> None:
        rows = [row("EEVDF", 500, unserved=9), row("enoki_shinjuku", 100, unserved=1)]
        self.assertEqual(bench.judged(rows)[0], ("1 requests were not served", False))

    def test_batch(self) -> None:
        rows = [row("EEVDF", 500, True, 0.30), row("enoki_fifo", 900, True), row("enoki_shinjuku", 100, True, 0.26)]
        self.assertEqual([good for _, good in bench.judged(rows)], [True, True, False])

    def test_nothing_measured(self) -> None:
        self.assertEqual(bench.judged([row("EEVDF", 500)]), [])


if __name__ == "__main__":
    unittest.main()
