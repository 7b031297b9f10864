#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0 OR MIT
"""The same as sender.rs, in Python; and `sender.py threads`, as threads may share a client here."""

import errno
import os
import sys
import threading
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


def queues(client: Client) -> None:
    """Sets both of them up."""
    client.hints(CALL, 64)
    client.messages(ANSWER, 4096)


def call(tag: int) -> dict[str, int]:
    """A hint that is answered."""
    return {"op": 1, "tag": tag, "value": ~tag & (1 << 64) - 1}


def answered(client: Client, tags: range) -> None:
    """Hints with those tags and their answers."""
    for tag in tags:
        hint = call(tag)
        if tag % 10:
            client.send(hint)
            client.doorbell()
        else:
            client.send_now(hint)
        answer = client.wait()
        if answer is None or answer["tag"] != tag or answer["value"] != hint["value"]:
            sys.exit(f"sender: {answer} to {hint}")


def well(client: Client) -> None:
    """Hints and their answers."""
    queues(client)
    answered(client, range(1000))


def child(client: Client) -> None:
    """What a child does with its parent's client, and then with its own."""
    for use in (client.doorbell, client.receive, client.wait, client.refused, client.dropped, client.fileno):
        refused(errno.ECHILD, use)
    refused(errno.ECHILD, client.send, NOTHING)
    refused(errno.ECHILD, client.send_now, NOTHING)
    refused(errno.ECHILD, client.hints, CALL, 64)
    client.close()
    with Client(70) as own:
        queues(own)
        answered(own, range(10))


def fork(client: Client) -> None:
    """And in a child."""
    queues(client)
    answered(client, range(10))
    pid = os.fork()
    if not pid:
        child(client)
        return
    if status := os.waitpid(pid, 0)[1]:
        sys.exit(f"sender: the child ended with status {status:#x}")
    answered(client, range(10, 20))


def send_all(client: Client, tags: range) -> None:
    """Sends hints with those tags, by whichever way there is room."""
    for tag in tags:
        while True:
            try:
                client.send(call(tag))
                break
            except BlockingIOError:
                client.doorbell()
        client.doorbell()


def wait_for_end(client: Client, ended: list[str]) -> None:
    """Waits until the client is closed."""
    try:
        client.wait()
    except ValueError as error:
        ended.append(str(error))


def threads(client: Client) -> None:
    """Two threads send, and one waits for what is answered to both; then it is closed while one waits."""
    queues(client)
    parts = range(1000), range(1000, 2000)
    senders = [threading.Thread(target=send_all, args=(client, tags)) for tags in parts]
    for thread in senders:
        thread.start()
    answers = [client.wait(60_000) for _ in range(2000)]
    for thread in senders:
        thread.join()
    tags = [answer["tag"] for answer in answers if answer is not None]
    for part in parts:
        if [tag for tag in tags if tag in part] != list(part):
            sys.exit(f"sender: {len(tags)} answers, not those to {part} in order")
    if client.refused() or client.dropped():
        sys.exit(f"sender: {client.refused()} were refused, {client.dropped()} dropped")
    ended: list[str] = []
    waiting = threading.Thread(target=wait_for_end, args=(client, ended))
    waiting.start()
    client.close()
    waiting.join(60)
    if not ended:
        sys.exit("sender: the client was closed, and who waited still waits")


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
            case "fork":
                fork(client)
            case "threads":
                threads(client)
            case "forever":
                forever(client)
            case _:
                sys.exit(__doc__)


main()
