"""Runs in the guest for ci/watch: a policy with tasks, upgraded to each module that comes.

    python3 -m enokitest.watch_guest MODULE INBOX ENOKICTL COMMAND

Without a command there are tasks that run and tasks that sleep. Lines that begin with @ are
for the host.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

from .evidence import ENOKI, all_attached, load

HOG = "while :; do :; done"
NAP = "while :; do sleep 0.01; done"
# One that the policy starves for longer is not alive.
SECONDS = 60


def attached(number: int, command: str) -> subprocess.Popen[bytes]:
    """Starts a command under the policy of that number."""
    return subprocess.Popen(
        ["sh", "-c", command], preexec_fn=lambda: os.sched_setscheduler(0, ENOKI, os.sched_param(number))
    )


def main() -> int:
    """The command line."""
    module, inbox, enokictl, command = sys.argv[1:]
    policy = load(module)
    # Above all tasks of the policy, and so is enokictl.
    commands = [command] if command else [HOG, NAP] * (os.cpu_count() or 1)
    tasks = [attached(policy.id, line) for line in commands]
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))
    print("@ready", flush=True)
    done: set[str] = set()
    while not Path(inbox, "stop").exists():
        for path in sorted(Path(inbox).glob("*.ko")):
            if path.name in done:
                continue
            done.add(path.name)
            upgrade = [enokictl, "upgrade", policy.name, str(path)]
            said = subprocess.run(upgrade, capture_output=True, text=True, check=False)
            for line in (said.stdout + said.stderr).splitlines():
                print(f"@ {line}", flush=True)
            print("@refused" if said.returncode else "@upgraded", flush=True)
        if command and tasks[0].poll() is not None:
            return tasks[0].returncode
        time.sleep(0.1)
    return 0 if command or all_attached([task.pid for task in tasks], SECONDS) else 1


if __name__ == "__main__":
    sys.exit(main())
