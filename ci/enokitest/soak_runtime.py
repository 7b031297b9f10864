"""In the guest: a runtime that asks enoki_arachne for cores, and puts tasks of others there.

It does not always do what it is told: of the cores that it is to give back it keeps every other one
until that is taken, and now and then it gives one back unasked.
"""

import errno
import random
import sys
from collections.abc import Callable

from enokici.common import CHECKOUT

sys.path.insert(0, str(CHECKOUT / "userspace/enoki-client/python"))

from enoki_client import Client, Layout  # noqa: E402

ASK = Layout("arachne_ask", 1, (("op", "u32"), ("value", "u32")))
TELL = Layout("arachne_tell", 1, (("what", "u32"), ("core", "u32")))
REQUEST, ENTER, LEAVE = 1, 2, 3
GRANTED = 1
# The core has been taken, the thread has ended or is not the policy's, or is just being moved.
LATE = (errno.EPERM, errno.ESRCH, errno.EAGAIN)
ENTRIES = 64


class Runtime:
    """One that wants up to so many cores. Failures that no other one explains are OSErrors."""

    def __init__(self, client: Client, most: int, choice: random.Random) -> None:
        self.client = client
        self.most = most
        self.choice = choice
        self.cores: set[int] = set()
        client.hints(ASK, ENTRIES)
        client.messages(TELL, ENTRIES)

    def ask(self, op: int, value: int, thread: int = 0) -> int:
        """0 if the policy has done it, or why it came too late."""
        try:
            self.client.send_now({"op": op, "value": value}, thread)
        except OSError as error:
            if error.errno not in LATE:
                raise
            return error.errno
        return 0

    def told(self, what: int, core: int) -> None:
        """Takes a core, or gives it back perhaps."""
        if what == GRANTED:
            self.cores.add(core)
            return
        self.cores.discard(core)
        if self.choice.randrange(2):
            self.ask(LEAVE, core)

    def request(self, cores: int, threads: list[int]) -> None:
        """Asks for so many cores, about the first of these threads that is the policy's."""
        for thread in threads:
            if self.ask(REQUEST, cores, thread) == 0:
                return

    def enter(self, core: int, threads: list[int]) -> bool:
        """Puts the first of these threads on a core that is the policy's."""
        for thread in threads:
            match self.ask(ENTER, core, thread):
                case 0:
                    return True
                case errno.EPERM:
                    self.cores.discard(core)
                    return False
        return False

    def step(self, threads: Callable[[], list[int]]) -> bool:
        """Goes on. Returns whether one of those threads has gone to a core."""
        if message := self.client.wait(self.choice.randrange(10, 200)):
            self.told(message["what"], message["core"])
            return False
        action = self.choice.randrange(8)
        some = threads()
        self.choice.shuffle(some)
        if action < 2 or not self.cores:
            self.request(self.choice.randrange(self.most + 1), some)
            return False
        core = self.choice.choice(sorted(self.cores))
        if action < 3:
            self.cores.discard(core)
            self.ask(LEAVE, core)
            return False
        return self.enter(core, some)
