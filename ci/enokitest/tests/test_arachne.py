"""How the figures of make bench-arachne are read and judged."""

import unittest

from enokitest import bench_arachne as bench
from enokitest import classes

EEVDF, CPUSETS, ARACHNE = classes.EEVDF.name, bench.CPUSETS.name, bench.ARACHNE.name


def load(name: str, begin: int, rate: int, served: int, p99_us: float) -> bench.Row:
    latency = {"count": 9, "p99_ns": 1000 * p99_us}
    return {"class": name, "begin_ns": begin, "rate": rate, "sent": rate, "served": served, "latency": latency}


def probe(name: str, us: int) -> bench.Row:
    return {"class": name, "request_to_core": {"count": 20, "p50_ns": 1000 * us}}


def cores(at: int, number: int) -> bench.Row:
    return {"class": ARACHNE, "at_ns": at, "cores": number}


def rows(ours_us: float = 100, probed_us: int = 10, cores_after: int = 2) -> list[bench.Row]:
    found = []
    for name, us in ((EEVDF, 200), (CPUSETS, 110), (ARACHNE, ours_us)):
        found += [load(name, 0, 100, 100, 5), load(name, 100, 900, 900, us)]
        found += [load(name, 200, 2000, 1800, 9000), load(name, 300, 100, 100, 5)]
    found += [probe(CPUSETS, 50), probe(ARACHNE, probed_us)]
    return found + [cores(50, 2), cores(150, 3), cores(250, 5), cores(350, cores_after)]


class Judged(unittest.TestCase):
    def verdicts(self, found: list[bench.Row]) -> list[bool]:
        return [good for _, good in bench.judged(found)]

    def test_sustained(self) -> None:
        self.assertEqual(bench.sustained(rows(), EEVDF), 900)
        self.assertEqual(bench.judged([load(EEVDF, 0, 100, 90, 5)])[0][1], False)

    def test_kept(self) -> None:
        self.assertEqual(self.verdicts(rows()), [True] * 4)

    def test_missed(self) -> None:
        self.assertEqual(self.verdicts(rows(ours_us=101)), [False, True, True, True])
        self.assertEqual(self.verdicts(rows(ours_us=111)), [False, False, True, True])
        self.assertEqual(self.verdicts(rows(probed_us=11)), [True, True, False, True])
        self.assertEqual(self.verdicts(rows(cores_after=5)), [True, True, True, False])

    def test_each_time(self) -> None:
        found = [load(EEVDF, 0, 100, 100, 5), load(EEVDF, 1, 900, 900, 5), load(EEVDF, 2, 900, 800, 5)]
        self.assertEqual(bench.sustained(found, EEVDF), 100)

    def test_ours_does_not_keep_up(self) -> None:
        found = [row | ({"served": 1} if row["class"] == ARACHNE and "served" in row else {}) for row in rows()]
        self.assertIn(("enoki_arachne sustains 0 of EEVDF's 900 requests/s", False), bench.judged(found))

    def test_not_probed(self) -> None:
        found = [row for row in rows() if "request_to_core" not in row]
        self.assertEqual(self.verdicts(found), [True, True, False, True])

    def test_lines(self) -> None:
        said = [bench.line_of(row) for row in rows()]
        self.assertIn("p99", said[0])
        self.assertIn("from request to core", said[-5])
        self.assertEqual(said[-1], "")


if __name__ == "__main__":
    unittest.main()
