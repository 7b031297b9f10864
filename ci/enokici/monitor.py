"""Speaks to QEMU's monitor: presses the magic SysRq keys of a guest that does not answer."""

import json
import socket
import time
from pathlib import Path

# l: what each CPU runs; w: blocked tasks; d: locks held; q: timers; t: all tasks.
KEYS = "lwdqt"


def ask_for_tasks(path: Path) -> None:
    """Has the guest kernel print where its CPUs and tasks are; silent when QEMU does not answer."""
    try:
        with socket.socket(socket.AF_UNIX) as qmp:
            qmp.settimeout(5)
            qmp.connect(str(path))
            stream = qmp.makefile("rw", encoding="utf-8")
            stream.readline()
            _send(stream, "qmp_capabilities")
            for key in KEYS:
                keys = [{"type": "qcode", "data": name} for name in ("alt", "sysrq", key)]
                _send(stream, "send-key", {"keys": keys})
                time.sleep(1.5)
            time.sleep(2)
    except (OSError, ValueError):
        pass


def _send(stream: "object", command: str, arguments: dict[str, object] | None = None) -> None:
    request: dict[str, object] = {"execute": command}
    if arguments:
        request["arguments"] = arguments
    stream.write(json.dumps(request) + "\n")  # type: ignore[attr-defined]
    stream.flush()  # type: ignore[attr-defined]
    stream.readline()  # type: ignore[attr-defined]
