"""What bench-upgrade promises."""

import unittest

from enokitest.bench_upgrade import judged


def row(mode: str, p99_ns: int, replaced: int = 0) -> dict[str, object]:
    return {"mode": mode, "done": replaced, "wake": {"p99_ns": p99_ns}}


class Judged(unittest.TestCase):
    def verdicts(self, upgraded: int, replaced: int = 20) -> list[bool]:
        rows = [row("quiet", 1000), row("upgrades", upgraded, replaced), row("quiet", 1010), row("upgrades", upgraded, 30)]
        return [good for _, good in judged(rows)]

    def test_good(self) -> None:
        self.assertEqual(self.verdicts(1050), [True, True])

    def test_too_long(self) -> None:
        self.assertEqual(self.verdicts(1080), [False, True])

    def test_too_few(self) -> None:
        self.assertEqual(self.verdicts(1000, replaced=4), [True, False])


if __name__ == "__main__":
    unittest.main()
