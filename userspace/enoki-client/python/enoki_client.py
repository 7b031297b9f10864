# SPDX-License-Identifier: GPL-2.0 OR MIT
"""Hints to Enoki CPU schedulers, and messages from them.

    place = Layout("locality_place", 1, (("place", "u64"),))
    with Client(4) as client:
        client.hints(place, 64)
        client.send({"place": 7}, threading.get_native_id())

Needs libenoki_client.so, from where ENOKI_CLIENT_LIBRARY or the linker says.
"""

import contextlib
import ctypes
import errno
import os
import select
import struct
import threading
import time
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_CODES = {
    "u8": "B", "i8": "b", "u16": "H", "i16": "h", "u32": "I", "i32": "i", "u64": "Q", "i64": "q",
}  # fmt: skip
# As long as poll() waits at a time.
_LONG_MS = 1_000_000_000


@dataclass(frozen=True)
class Layout:
    """A type of hints or messages: its name, its version, and its fields with their Rust types."""

    name: str
    version: int
    fields: tuple[tuple[str, str], ...]

    def text(self) -> str:
        """What is hashed of it."""
        return "".join(f"{name}:{kind}," for name, kind in self.fields)

    def _struct(self) -> struct.Struct:
        # Native alignment; what has gaps has another size than its fields and is refused.
        packed = struct.Struct("=" + "".join(_CODES[kind] for _, kind in self.fields))
        if packed.size != struct.Struct("@" + "".join(_CODES[kind] for _, kind in self.fields)).size:
            raise ValueError(f"{self.name} has gaps between its fields")
        return packed

    @property
    def size(self) -> int:
        """In bytes."""
        return self._struct().size

    def pack(self, values: Mapping[str, int]) -> bytes:
        """The bytes of a value."""
        return self._struct().pack(*(values[name] for name, _ in self.fields))

    def unpack(self, data: bytes) -> dict[str, int]:
        """The value that the bytes are."""
        return dict(zip((name for name, _ in self.fields), self._struct().unpack(data), strict=True))


def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(os.environ.get("ENOKI_CLIENT_LIBRARY", "libenoki_client.so"))
    client, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint
    queue = [client, text, number, text, ctypes.c_size_t, number]
    for name, arguments, *result in (
        ("open", [ctypes.POINTER(client), number]),
        ("hints", queue),
        ("messages", queue),
        ("send", [client, ctypes.c_int, text]),
        ("send_now", [client, ctypes.c_int, text]),
        ("doorbell", [client]),
        ("receive", [client, ctypes.c_void_p]),
        ("wait", [client, ctypes.c_void_p, ctypes.c_int]),
        ("fd", [client]),
        ("refused", [client], number),
        ("dropped", [client], number),
        ("close", [client], None),
    ):
        function = getattr(library, f"enoki_client_{name}")
        function.argtypes, function.restype = arguments, result[0] if result else ctypes.c_int
    return library


def _last_error() -> str:
    try:
        with open("/sys/kernel/sched_enoki/last_error", encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return ""


def _failure(error: int, what: str) -> OSError:
    if error == errno.ECHILD:
        return OSError(error, f"cannot {what}: the client was opened before fork(): a child has to open its own")
    return OSError(error, f"cannot {what}: {os.strerror(error)} ({_last_error()})")


def _check(result: int, what: str) -> int:
    if result < 0:
        raise _failure(-result, what)
    return result


class Client:
    """A client of the policy of that number. Failures are OSErrors.

    Threads may use it at once; who waits for a message keeps nobody from sending. When it is closed
    all further use is a ValueError, and so is what still waits. It is of the process that opened it:
    in a child of fork() all but close() is a ChildProcessError (ECHILD), and the parent goes on
    undisturbed.
    """

    def __init__(self, policy: int) -> None:
        self._library = _library()
        # The library takes one thread at a time. A handler of a signal may come in between.
        self._lock = threading.RLock()
        # The last one of them to leave frees what is closed.
        self._users = 0
        self._closed = self._inherited = False
        self._client = ctypes.c_void_p()
        self._hint: Layout | None = None
        self._message: Layout | None = None
        # Readable once it is closed, for those that wait.
        self._ended = os.eventfd(0)
        try:
            _check(self._library.enoki_client_open(ctypes.byref(self._client), policy), "open a client")
        except OSError:
            os.close(self._ended)
            raise
        self._fd = self._library.enoki_client_fd(self._client)
        _clients.add(self)

    def close(self) -> None:
        """Ends it, and its queues. In a child, what the child has of its parent's."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            if self._users > 0:
                os.eventfd_write(self._ended, 1)
            else:
                self._free()

    def _free(self) -> None:
        client, self._client = self._client, ctypes.c_void_p()
        if not client:
            return
        if self._inherited:
            # A thread of the parent may have been at work on the rest of it.
            os.close(self._fd)
        else:
            self._library.enoki_client_close(client)
        os.close(self._ended)

    def _inherit(self) -> None:
        """We are a child, without the threads that used it in the parent, and perhaps had the lock."""
        self._lock = threading.RLock()
        self._users = 0
        self._inherited = True
        if self._closed:
            self._free()

    @contextlib.contextmanager
    def _used(self) -> Iterator[None]:
        """It is not freed as long as this lasts."""
        with self._lock:
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if self._closed and self._users <= 0:
                    self._free()

    def _ready(self, what: str) -> None:
        if self._closed:
            raise ValueError(f"cannot {what}: the client is closed")
        if self._inherited:
            raise _failure(errno.ECHILD, what)

    def _call(self, what: str, name: str, *arguments: object) -> int:
        """A function of the library, which does not block."""
        with self._used(), self._lock:
            self._ready(what)
            return _check(getattr(self._library, f"enoki_client_{name}")(self._client, *arguments), what)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _queue(self, kind: str, layout: Layout, entries: int) -> None:
        about = layout.name.encode(), layout.version, layout.text().encode(), layout.size
        self._call(f"set up the queue of {kind}", kind, *about, entries)

    def hints(self, layout: Layout, entries: int) -> None:
        """Sets up the queue of hints, with room for that many, a power of 2."""
        self._queue("hints", layout, entries)
        self._hint = layout

    def messages(self, layout: Layout, entries: int) -> None:
        """Sets up the queue of messages, with room for that many, a power of 2."""
        self._queue("messages", layout, entries)
        self._message = layout

    def _packed(self, values: Mapping[str, int]) -> bytes:
        if self._hint is None:
            raise ValueError("there is no queue of hints")
        return self._hint.pack(values)

    def send(self, values: Mapping[str, int], tid: int = 0) -> None:
        """Sends a hint about a thread, or about none, without a system call."""
        self._call("send a hint", "send", tid, self._packed(values))

    def send_now(self, values: Mapping[str, int], tid: int = 0) -> None:
        """Sends a hint by a system call; fails as the policy says."""
        self._call("send a hint", "send_now", tid, self._packed(values))

    def doorbell(self) -> int:
        """Has the policy look at the hints now. Returns how many it took."""
        return self._call("ring the doorbell", "doorbell")

    def receive(self) -> dict[str, int] | None:
        """The next message, if there is one."""
        return self._received("receive")

    def wait(self, timeout_ms: int = -1) -> dict[str, int] | None:
        """The next message; waits for it. None when the time is over."""
        end = time.monotonic() + timeout_ms / 1000
        with self._used():
            poll = select.poll()
            poll.register(self._fd, select.POLLIN)
            poll.register(self._ended, select.POLLIN)
            # Another thread may be the first to take what there is.
            while (message := self._received("wait", 0)) is None:
                left_ms = (end - time.monotonic()) * 1000 if timeout_ms >= 0 else _LONG_MS
                if left_ms <= 0:
                    return None
                poll.poll(min(left_ms, _LONG_MS))
            return message

    def _received(self, name: str, *arguments: int) -> dict[str, int] | None:
        if self._message is None:
            raise ValueError("there is no queue of messages")
        buffer = ctypes.create_string_buffer(self._message.size)
        if not self._call("receive a message", name, buffer, *arguments):
            return None
        return self._message.unpack(buffer.raw)

    def refused(self) -> int:
        """How many hints were refused of those that were sent without a system call."""
        return self._call("count hints", "refused")

    def dropped(self) -> int:
        """How many more messages there would have been if there had been room."""
        return self._call("count messages", "dropped")

    def fileno(self) -> int:
        """For select and its like: readable when there is a message."""
        with self._lock:
            self._ready("say what file it is")
            return self._fd


_clients: "weakref.WeakSet[Client]" = weakref.WeakSet()


def _after_fork() -> None:
    for client in list(_clients):
        client._inherit()


os.register_at_fork(after_in_child=_after_fork)
