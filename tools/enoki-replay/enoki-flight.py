#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Prints the records of Enoki's flight recorder in the order of their times.

  enoki-flight.py /sys/kernel/debug/sched_enoki/incident   what led to the last ejection or rescue
  enoki-flight.py /sys/kernel/debug/sched_enoki/flight     what happened until now

include/uapi/linux/enoki.h describes the file.
"""

import argparse
import struct
import sys
from pathlib import Path
from typing import NamedTuple

MAGIC = 0x434552494B4F4E45
VERSION = 1
HEADER = struct.Struct("=QIIQQ")
RECORD = struct.Struct("=QQQHHBBH")

# enum enoki_record_event: each name with what its argument is.
EVENTS = (
    ("task_new", ""),
    ("task_wakeup", "flags {}"),
    ("task_preempt", ""),
    ("task_yield", ""),
    ("task_migrated", "from CPU {}"),
    ("task_blocked", ""),
    ("task_dead", ""),
    ("task_departed", ""),
    ("select_task_rq", "CPU {}"),
    ("pick_next_task", "slice {} ns"),
    ("pnt_err", "error {}"),
    ("task_tick", "pick again: {}"),
    ("wakeup_preempt", "pick again: {}"),
    ("balance", "from CPU {}"),
    ("balance_err", "error {}"),
    ("migrate_task_rq", "why {}"),
    ("task_rescued", "waited {} ns"),
    ("task_prio_changed", "weight {}"),
    ("task_affinity_changed", "{} CPUs"),
    ("cpu_online", "CPU {}"),
    ("cpu_offline", "CPU {}"),
    ("timer_fired", "timer {}"),
    ("nr_queued", "{} queued"),
)
LEAVES = {1: "migrate", 2: "boost", 3: "detach", 4: "override", 5: "rescue"}
CAME = 1 << 8
NOT_COUNTED = 2**64 - 1


class Record(NamedTuple):
    """struct enoki_record."""

    time_ns: int
    task: int
    arg: int
    cpu: int
    on: int
    event: int
    policy: int
    reserved: int

    def __str__(self) -> str:
        name, form = EVENTS[self.event] if self.event < len(EVENTS) else (f"event {self.event}", "{}")
        words = form.format(self.arg)
        if name == "migrate_task_rq":
            why = LEAVES.get(self.arg & 0xFF, str(self.arg & 0xFF))
            words = f"{why}, {'given back' if self.arg & CAME else 'lost'}"
        if name == "nr_queued" and self.arg == NOT_COUNTED:
            words = "does not count"
        task = f"task {self.task}" if self.task else "no task"
        where = f"CPU {self.cpu}" + (f" (by {self.on})" if self.on != self.cpu else "")
        return f"{self.time_ns / 1e9:16.6f}  {where:14} policy {self.policy:2}  {name:21} {task:10} {words}".rstrip()


def records(data: bytes) -> list[Record]:
    """The records of a file, by time. Raises ValueError with what is wrong with it."""
    if not data:
        raise ValueError("it is empty: nothing has been recorded yet")
    if len(data) < HEADER.size:
        raise ValueError("it is too short to have a header")
    magic, version, size, count, _ = HEADER.unpack_from(data)
    if magic != MAGIC:
        raise ValueError("it has no records of Enoki, or is from a machine of another byte order")
    if version != VERSION or size != RECORD.size:
        raise ValueError(f"it has version {version} with {size} bytes a record; this program knows {VERSION} and {RECORD.size}")
    if len(data) != HEADER.size + count * size:
        raise ValueError(f"it should have {count} records, but has {(len(data) - HEADER.size) / size:g}")
    found = [Record(*fields) for fields in RECORD.iter_unpack(data[HEADER.size :])]
    return sorted(found, key=lambda record: record.time_ns)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--last", type=int, metavar="N", help="only the last N records")
    args = parser.parse_args()
    try:
        found = records(args.file.read_bytes())
    except (OSError, ValueError) as error:
        print(f"enoki-flight: {args.file}: {error}", file=sys.stderr)
        return 1
    for record in found[-args.last :] if args.last else found:
        print(record)
    return 0


if __name__ == "__main__":
    sys.exit(main())
