"""The Python client, on a library that watches how it is called: threads, close() and fork()."""

import errno
import os
import signal
import sys
import threading
import time
import traceback
import unittest
import warnings
from collections import deque
from collections.abc import Callable
from unittest import mock

from enokici.common import CHECKOUT

sys.path.insert(0, str(CHECKOUT / "userspace/enoki-client/python"))

import enoki_client  # noqa: E402
from enoki_client import Client, Layout  # noqa: E402

NUMBER = Layout("number", 1, (("number", "u64"),))
SECONDS = 60


class Library:
    """Takes hints and has messages. Notes two calls at once, and calls after it was closed."""

    def __init__(self) -> None:
        self.inside = threading.Lock()
        self.faults: list[str] = []
        self.sent: list[int] = []
        self.waiting: deque[int] = deque()
        # As many are in it as there are messages.
        self.file = os.eventfd(0, os.EFD_SEMAPHORE | os.EFD_NONBLOCK)
        self.closed = 0
        self.in_send: Callable[[], None] = lambda: time.sleep(0)

    def put(self, number: int) -> None:
        """Sends a message."""
        self.waiting.append(number)
        os.eventfd_write(self.file, 1)

    def __getattr__(self, name: str) -> Callable[..., int]:
        does = getattr(type(self), "do_" + name.removeprefix("enoki_client_"))

        def call(*arguments: object) -> int:
            if not self.inside.acquire(blocking=False):
                self.faults.append(f"{name} while another call lasts")
                return 0
            try:
                if self.closed:
                    self.faults.append(f"{name} after it was closed")
                return does(self, *arguments)
            finally:
                self.inside.release()

        return call

    def do_open(self, client, _policy: int) -> int:  # noqa: ANN001
        client._obj.value = 1
        return 0

    def do_close(self, _client: object) -> int:
        self.closed += 1
        return 0

    def do_nothing(self, *_: object) -> int:
        return 0

    do_hints = do_messages = do_doorbell = do_refused = do_dropped = do_nothing

    def do_fd(self, _client: object) -> int:
        return self.file

    def do_send(self, _client: object, _tid: int, hint: bytes) -> int:
        self.in_send()
        self.sent.append(NUMBER.unpack(hint)["number"])
        return 0

    def do_receive(self, _client: object, buffer) -> int:  # noqa: ANN001
        if not self.waiting:
            return 0
        os.eventfd_read(self.file)
        buffer[:] = NUMBER.pack({"number": self.waiting.popleft()})
        return 1

    def do_wait(self, client: object, buffer: object, timeout_ms: int) -> int:
        if timeout_ms:
            self.faults.append("the library was to wait")
        return self.do_receive(client, buffer)


class Clients(unittest.TestCase):
    def setUp(self) -> None:
        self.library = Library()
        with mock.patch.object(enoki_client, "_library", lambda: self.library):
            self.client = Client(1)
        self.client.hints(NUMBER, 64)
        self.client.messages(NUMBER, 64)
        self.addCleanup(self.check)

    def check(self) -> None:
        self.join(self.start(self.client.close))
        self.assertEqual((self.library.faults, self.library.closed), ([], 1))

    def start(self, *functions: Callable[[], object]) -> list[threading.Thread]:
        threads = [threading.Thread(target=function, daemon=True) for function in functions]
        for thread in threads:
            thread.start()
        return threads

    def join(self, threads: list[threading.Thread]) -> None:
        for thread in threads:
            thread.join(SECONDS)
            self.assertFalse(thread.is_alive(), "a thread hangs")

    def until(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + SECONDS
        while not condition():
            self.assertLess(time.monotonic(), end, "it does not come to that")
            time.sleep(0.001)

    def send(self, *numbers: int) -> None:
        for number in numbers:
            self.client.send({"number": number})


class Threads(Clients):
    def test_two_send(self) -> None:
        parts = range(500), range(500, 1000)
        self.join(self.start(*(lambda part=part: self.send(*part) for part in parts)))
        for part in parts:
            self.assertEqual([number for number in self.library.sent if number in part], list(part))

    def test_who_waits_keeps_nobody_from_sending(self) -> None:
        got: list[object] = []
        waiting = self.start(lambda: got.append(self.client.wait()))
        self.until(lambda: self.client._users == 1)
        self.join(self.start(lambda: self.send(7)))
        self.assertEqual((self.library.sent, got), ([7], []))
        self.library.put(8)
        self.join(waiting)
        self.assertEqual(got, [{"number": 8}])

    def test_one_message_for_two(self) -> None:
        got: list[object] = []
        waiting = self.start(*[lambda: got.append(self.client.wait())] * 2)
        for number in (1, 2):
            self.library.put(number)
        self.join(waiting)
        self.assertCountEqual(got, [{"number": 1}, {"number": 2}])

    def test_time(self) -> None:
        self.assertIsNone(self.client.wait(0))
        began = time.monotonic()
        self.assertIsNone(self.client.wait(50))
        self.assertGreaterEqual(time.monotonic() - began, 0.05)


class Close(Clients):
    def fails(self) -> None:
        client = self.client
        for use in (client.receive, client.wait, client.doorbell, client.refused, client.dropped, client.fileno):
            with self.assertRaisesRegex(ValueError, "the client is closed"):
                use()
        with self.assertRaisesRegex(ValueError, "the client is closed"):
            self.send(1)

    def test_afterwards(self) -> None:
        self.client.close()
        self.fails()

    def both_end(self, use: Callable[[], object], begun: Callable[[], bool]) -> None:
        """Fails unless two threads that do that are told when it is closed."""
        told: list[str] = []

        def run() -> None:
            try:
                use()
            except ValueError as error:
                told.append(str(error))

        threads = self.start(run, run)
        self.until(begun)
        self.client.close()
        self.join(threads)
        self.assertEqual(len(told), 2)
        self.fails()

    def test_while_others_send(self) -> None:
        self.both_end(lambda: self.send(*range(10_000_000)), lambda: len(self.library.sent) > 100)

    def test_while_others_wait(self) -> None:
        self.both_end(self.client.wait, lambda: self.client._users == 2)

    def test_by_a_signal_in_a_call(self) -> None:
        before = signal.signal(signal.SIGUSR1, lambda *_: self.client.close())
        self.addCleanup(signal.signal, signal.SIGUSR1, before)
        self.library.in_send = lambda: signal.raise_signal(signal.SIGUSR1)
        self.send(1)
        self.assertEqual((self.library.sent, self.library.closed), ([1], 1))
        self.fails()


class Fork(Clients):
    def in_child(self, test: Callable[[], None]) -> None:
        """Fails unless that ends well there."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if not pid:
            status = 1
            try:
                signal.alarm(SECONDS)
                test()
                status = 0
            except Exception:
                traceback.print_exc()
            finally:
                os._exit(status)
        self.assertEqual(os.waitpid(pid, 0)[1], 0)

    def inherited(self) -> None:
        client = self.client
        for use in (client.receive, client.wait, client.doorbell, client.refused, client.dropped, client.fileno):
            with self.assertRaisesRegex(ChildProcessError, "a child has to open its own"):
                use()
        with self.assertRaisesRegex(ChildProcessError, "a child has to open its own"):
            self.send(1)
        client.close()
        for fd in (self.library.file, client._ended):
            with self.assertRaises(OSError):
                os.fstat(fd)
        self.assertEqual((self.library.sent, self.library.closed, self.library.faults), ([], 0, []))

    def test_child(self) -> None:
        self.in_child(self.inherited)
        self.send(1)
        self.assertEqual(self.library.sent, [1])

    def test_while_others_use_it(self) -> None:
        begun, end = threading.Event(), threading.Event()
        self.library.in_send = lambda: (begun.set(), end.wait(SECONDS))[0]
        got: list[object] = []
        threads = self.start(lambda: got.append(self.client.wait()))
        self.until(lambda: self.client._users == 1)
        threads += self.start(lambda: self.send(1))
        begun.wait(SECONDS)
        # Its thread has the lock, and is not in the child.
        self.in_child(self.inherited)
        end.set()
        self.library.put(2)
        self.join(threads)
        self.assertEqual((self.library.sent, got), ([1], [{"number": 2}]))

    def test_errno_of_the_library(self) -> None:
        with mock.patch.object(Library, "do_send", lambda *_: -errno.ECHILD):
            with self.assertRaisesRegex(ChildProcessError, "a child has to open its own"):
                self.send(1)


if __name__ == "__main__":
    unittest.main()
