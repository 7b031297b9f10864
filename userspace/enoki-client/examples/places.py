#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0 OR MIT
"""Four threads in two places: run it under enoki_locality, and see where they run.

    places.py [ROUNDS]
"""

import sys
import threading
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "python"))

from enoki_client import Client, Layout  # noqa: E402

LOCALITY = 4
PLACE = Layout("locality_place", 1, (("place", "u64"),))


def cpu() -> int:
    """The CPU that the thread runs on."""
    with open("/proc/thread-self/stat", encoding="ascii") as stat:
        return int(stat.read().rpartition(")")[2].split()[36])


def work(rounds: int, seen: Counter[int]) -> None:
    """Sleeps and wakes up."""
    for _ in range(rounds):
        time.sleep(0.001)
        seen[cpu()] += 1


def run(rounds: int, say: str, client: Client | None = None) -> None:
    """Runs the threads; with a client it is said which of them belong together."""
    seen: list[Counter[int]] = [Counter() for _ in range(4)]
    threads = [threading.Thread(target=work, args=(rounds, count)) for count in seen]
    for number, thread in enumerate(threads):
        thread.start()
        if client is not None:
            client.send_now({"place": 1 + number % 2}, thread.native_id or 0)
    for thread in threads:
        thread.join()
    print(say)
    for number, count in enumerate(seen):
        where = ", ".join(f"{times} times on CPU {cpu}" for cpu, times in sorted(count.items()))
        print(f"  thread {number}, place {1 + number % 2}: {where}")


def main() -> None:
    """The command line."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    run(rounds, "Without hints:")
    with Client(LOCALITY) as client:
        client.hints(PLACE, 64)
        run(rounds, "With hints:", client)


main()
