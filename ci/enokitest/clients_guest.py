"""Runs in the guest: senders in three languages are served, refused and cleaned up. Prints TAP.

    python3 -m enokitest.clients_guest ECHO.ko BUILT

What each sender does userspace/enoki-client/examples/sender.rs says.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

POLICY = Path("/sys/kernel/sched_enoki/echo")
# Hints that a thread without privileges may send in a second; so few that any sender gets there.
QUOTA = 200
NOBODY = 65534
SECONDS = 120


def clients() -> int:
    """How many the policy has."""
    return len((POLICY / "clients").read_text().splitlines())


def nobody_left() -> bool:
    """Have all gone, within reason?"""
    deadline = time.monotonic() + SECONDS
    while clients():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def does(sender: Path, *args: str, user: int = 0) -> bool:
    """Does the sender say that all went as it should?"""
    done = subprocess.run([sender, *args], user=user, group=user, extra_groups=[], timeout=SECONDS, check=False)
    return done.returncode == 0


def killed(sender: Path) -> bool:
    """Is it cleaned up when it ends in the middle of sending?"""
    with subprocess.Popen([sender, "forever"], stdout=subprocess.PIPE) as sending:
        assert sending.stdout is not None
        began = sending.stdout.readline() == b"sending\n" and clients() == 1
        sending.kill()
    return began and nobody_left()


def main() -> int:
    """The command line."""
    module, built = sys.argv[1:]
    # Where it was built perhaps not everybody may read it.
    work = Path(tempfile.mkdtemp()) / "built"
    shutil.copytree(built, work)
    work.parent.chmod(0o755)
    os.environ["ENOKI_CLIENT_LIBRARY"] = str(work / "release/libenoki_client.so")
    subprocess.run(["insmod", module], check=True)
    (POLICY / "hint_quota").write_text(str(QUOTA))

    tests: list[tuple[str, Callable[[Path], bool]]] = [
        ("is served", lambda sender: does(sender, "well")),
        ("with another type", lambda sender: does(sender, "type")),
        ("about a stranger", lambda sender: does(sender, "stranger", str(os.getpid()), user=NOBODY)),
        ("over the quota", lambda sender: does(sender, "quota", str(QUOTA), user=NOBODY)),
        ("in a child that was forked", lambda sender: does(sender, "fork")),
        ("is killed", killed),
        ("leaves nothing", lambda _: nobody_left()),
    ]
    senders = [work / "examples" / name for name in ("sender", "sender_c", "sender.py")]
    runs = [(sender, name, test) for sender in senders for name, test in tests]
    # In the other languages a client is for one thread at a time.
    runs.append((senders[-1], "in threads that share it", lambda sender: does(sender, "threads")))
    print("TAP version 13", f"1..{len(runs)}", sep="\n", flush=True)
    failures = 0
    for number, (sender, name, test) in enumerate(runs, 1):
        good = test(sender)
        failures += not good
        print(f"{'ok' if good else 'not ok'} {number} {sender.name} {name}", flush=True)
    subprocess.run(["rmmod", "enoki_echo"], check=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
