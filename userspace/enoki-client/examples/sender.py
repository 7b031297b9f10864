#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0 OR MIT
"""The same as sender.rs, in Python."""

import errno
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "python"))

from enoki_client import Client, Layout  # noqa: E402

CALL = Layout("echo_call", 1, (("op", "u32"), ("tag", "u32"), ("value", "u64")))
LATER = Layout("echo_call", 99, CALL.fields)
ANSWER = Layout("echo_answer", 2, (("tag", "u32"), ("about", "u32"), ("value", "u64")))
NOTHING = {"op": 0, "tag": 0, "value": 0}


def refused(error: int, call, *args) -> None:
    """Fails unless the call does, with that error."""
    try:
        call(*args)
    except OSError as failure:
        if failure.errno != error:
            raise
    else:
        sys.exit("sender: it was not refused")


def well(client: Client) -> None:
    """Hints and their answers."""
    client.hints(CALL, 64)
    client.messages(ANSWER, 64)
    for tag in range(1000):
        call = {"op": 1, "tag": tag, "value": ~tag & (1 << 64) - 1}
        if tag % 10:
            client.send(call)
            client.doorbell()
        else:
            client.send_now(call)
        answer = client.wait()
        if answer is None or answer["tag"] != tag or answer["value"] != call["value"]:
            sys.exit(f"sender: {answer} to {call}")


def stranger(client: Client, tid: int) -> None:
    """About another's thread."""
    client.hints(CALL, 64)
    refused(errno.EPERM, client.send_now, NOTHING, tid)
    client.send(NOTHING, tid)
    client.doorbell()
    if client.refused() != 1:
        sys.exit(f"sender: {client.refused()} were refused")


def quota(client: Client, number: int) -> None:
    """More than that many in a second."""
    client.hints(CALL, 64)
    for _ in range(number):
        client.send_now(NOTHING)
    refused(errno.EDQUOT, client.send_now, NOTHING)


def forever(client: Client) -> None:
    """Until it is killed."""
    client.hints(CALL, 64)
    print("sending", flush=True)
    while True:
        try:
            client.send(NOTHING)
        except BlockingIOError:
            client.doorbell()


def main() -> None:
    """The command line of sender.rs."""
    what, number = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0
    with Client(70) as client:
        match what:
            case "well":
                well(client)
            case "type":
                refused(errno.EPROTO, client.hints, LATER, 64)
            case "stranger":
                stranger(client, number)
            case "quota":
                quota(client, number)
            case "forever":
                forever(client)
            case _:
                sys.exit(__doc__)


main()
