# SPDX-License-Identifier: GPL-2.0 OR MIT
"""Hints to Enoki CPU schedulers, and messages from them.

    place = Layout("locality_place", 1, (("place", "u64"),))
    with Client(4) as client:
        client.hints(place, 64)
        client.send({"place": 7}, threading.get_native_id())

Needs libenoki_client.so, from where ENOKI_CLIENT_LIBRARY or the linker says.
"""

import ctypes
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass

_CODES = {
    "u8": "B", "i8": "b", "u16": "H", "i16": "h", "u32": "I", "i32": "i", "u64": "Q", "i64": "q",
}  # fmt: skip


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
    for name, arguments in (
        ("open", [ctypes.POINTER(client), number]),
        ("hints", queue),
        ("messages", queue),
        ("send", [client, ctypes.c_int, text]),
        ("send_now", [client, ctypes.c_int, text]),
        ("doorbell", [client]),
        ("receive", [client, ctypes.c_void_p]),
        ("wait", [client, ctypes.c_void_p, ctypes.c_int]),
        ("fd", [client]),
        ("refused", [client]),
        ("dropped", [client]),
    ):
        function = getattr(library, f"enoki_client_{name}")
        function.argtypes, function.restype = arguments, ctypes.c_int
    library.enoki_client_close.argtypes, library.enoki_client_close.restype = [client], None
    return library


def _last_error() -> str:
    try:
        with open("/sys/kernel/sched_enoki/last_error", encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return ""


class Client:
    """A client of the policy of that number. Failures are OSErrors."""

    def __init__(self, policy: int) -> None:
        self._library = _library()
        self._client = ctypes.c_void_p()
        self._hint: Layout | None = None
        self._message: Layout | None = None
        self._check(self._library.enoki_client_open(ctypes.byref(self._client), policy), "open a client")

    @staticmethod
    def _check(result: int, what: str) -> int:
        if result < 0:
            raise OSError(-result, f"cannot {what}: {os.strerror(-result)} ({_last_error()})")
        return result

    def close(self) -> None:
        """Ends it, and its queues."""
        client, self._client = self._client, ctypes.c_void_p()
        self._library.enoki_client_close(client)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _queue(self, kind: str, layout: Layout, entries: int) -> None:
        function = getattr(self._library, f"enoki_client_{kind}")
        result = function(
            self._client, layout.name.encode(), layout.version, layout.text().encode(), layout.size, entries
        )
        self._check(result, f"set up the queue of {kind}")

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
        self._check(self._library.enoki_client_send(self._client, tid, self._packed(values)), "send a hint")

    def send_now(self, values: Mapping[str, int], tid: int = 0) -> None:
        """Sends a hint by a system call; fails as the policy says."""
        self._check(self._library.enoki_client_send_now(self._client, tid, self._packed(values)), "send a hint")

    def doorbell(self) -> int:
        """Has the policy look at the hints now. Returns how many it took."""
        return self._check(self._library.enoki_client_doorbell(self._client), "ring the doorbell")

    def receive(self) -> dict[str, int] | None:
        """The next message, if there is one."""
        return self._received(lambda buffer: self._library.enoki_client_receive(self._client, buffer))

    def wait(self, timeout_ms: int = -1) -> dict[str, int] | None:
        """The next message; waits for it. None when the time is over."""
        return self._received(lambda buffer: self._library.enoki_client_wait(self._client, buffer, timeout_ms))

    def _received(self, receive) -> dict[str, int] | None:  # noqa: ANN001
        if self._message is None:
            raise ValueError("there is no queue of messages")
        buffer = ctypes.create_string_buffer(self._message.size)
        if not self._check(receive(buffer), "receive a message"):
            return None
        return self._message.unpack(buffer.raw)

    def refused(self) -> int:
        """How many hints were refused of those that were sent without a system call."""
        return self._library.enoki_client_refused(self._client)

    def dropped(self) -> int:
        """How many more messages there would have been if there had been room."""
        return self._library.enoki_client_dropped(self._client)

    def fileno(self) -> int:
        """For select and its like: readable when there is a message."""
        return self._library.enoki_client_fd(self._client)
