"""Speaks to QEMU's monitor: asks for a guest that does not answer where it is."""

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

# l: what each CPU runs; w: blocked tasks; d: locks held; q: timers; t: all tasks.
KEYS = "lwdqt"


def ask_for_tasks(path: Path) -> None:
    """Has the guest kernel print where its CPUs and tasks are; silent when QEMU does not answer."""
    with contextlib.suppress(OSError, ValueError), _monitor(path) as stream:
        for key in KEYS:
            keys = [{"type": "qcode", "data": name} for name in ("alt", "sysrq", key)]
            _send(stream, "send-key", {"keys": keys})
            time.sleep(1.5)
        time.sleep(2)


def registers(path: Path) -> str:
    """Those of all CPUs, of a guest that cannot print anything; empty when QEMU does not answer."""
    with contextlib.suppress(OSError, ValueError), _monitor(path) as stream:
        return str(_send(stream, "human-monitor-command", {"command-line": "info registers -a"}))
    return ""


@contextlib.contextmanager
def _monitor(path: Path) -> Iterator[IO[str]]:
    with socket.socket(socket.AF_UNIX) as qmp:
        qmp.settimeout(5)
        qmp.connect(str(path))
        stream = qmp.makefile("rw", encoding="utf-8")
        stream.readline()
        _send(stream, "qmp_capabilities")
        yield stream


def _send(stream: IO[str], command: str, arguments: dict[str, object] | None = None) -> object:
    request: dict[str, object] = {"execute": command}
    if arguments:
        request["arguments"] = arguments
    stream.write(json.dumps(request) + "\n")
    stream.flush()
    while line := stream.readline():
        reply = json.loads(line)
        # Events may come before it.
        if "return" in reply:
            return reply["return"]
        if "error" in reply:
            raise ValueError(reply["error"])
    raise ValueError("QEMU does not answer")
