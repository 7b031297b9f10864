"""ci/watch: a policy runs in a virtual machine, and each save of its source becomes an upgrade of it.

What does not compile, or could panic, is said, and the policy goes on as it was; so it does if
the kernel refuses the new version. The guest's side is watch_guest.
"""

import argparse
import os
import queue
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from enokici import build as kernels
from enokici.common import CHECKOUT, OUT, Failure, main_wrapper, say

from . import machine, userspace
from .suite import Outcome
from .tap import Results

# How often the source is looked at, and how long it must have been the same, s: an editor may
# write it in two parts.
LOOK, SETTLED = 0.2, 0.3
MODULE = re.compile(r'(module_enoki_scheduler!\s*\{.*?^\s*name:\s*")(\w+)(")', re.S | re.M)
POLICY = re.compile(r'const NAME: &\'static str = "([\w-]+)"')


@dataclass
class Event:
    """What has happened: ready, upgraded, refused, broken (it does not build), or ended."""

    what: str
    words: str = ""
    seconds: float = 0


def module_of(source: str) -> str:
    """The name of the module that a source makes."""
    found = MODULE.search(source)
    if not found:
        raise Failure("the source has no module_enoki_scheduler! with a name")
    return found[2]


def policy_of(source: str) -> str:
    """The name by which its policy is registered."""
    found = POLICY.search(source)
    if not found:
        raise Failure("the source has no line const NAME: &'static str = \"…\", which names the policy")
    return found[1]


def renamed(source: str, number: int) -> str:
    """The source with a module name that none of the versions before has had."""
    module_of(source)
    return MODULE.sub(rf"\g<1>\g<2>_w{number}\g<3>", source, count=1)


def compiled(source: Path, number: int, builder: kernels.Modules) -> Path:
    """Builds the module of a source; Failure has the compiler's words, or the panic gate's."""
    text = source.read_text(encoding="utf-8")
    name = f"{module_of(text)}_w{number}"
    place = OUT / "watch/build"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    (place / f"{name}.rs").write_text(renamed(text, number), encoding="utf-8")
    (place / "Kbuild").write_text(f"obj-m := {name}.o\nrustflags-y := --extern enoki -Funsafe_code\n")
    try:
        builder.build(place)
    except Failure as failure:
        raise Failure(compilers_words(str(failure), f"{name}.rs", source)) from None
    libraries = [str(builder.kernel / f"objects/rust/{name}.o") for name in ("enoki", "kernel")]
    gate = [str(CHECKOUT / "ci/panic-gate"), str(place / f"{name}.o"), "--with", *libraries]
    done = subprocess.run(gate, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failure((done.stdout + done.stderr).strip())
    return place / f"{name}.ko"


def compilers_words(text: str, compiled_as: str, source: Path) -> str:
    """What the compiler said of a source, without what make says around it."""
    shown = source.relative_to(CHECKOUT) if source.is_relative_to(CHECKOUT) else source
    lines = [line for line in text.splitlines() if not re.match(r"make\b|  [A-Z]+ ", line)]
    return "\n".join(lines).replace(compiled_as, str(shown)).strip()


class Watch:
    """The source, the machine, and what happens, in a queue."""

    def __init__(self, source: Path, command: str, show: Callable[[str], None]) -> None:
        self.source = source
        self.command = command
        self.show = show
        self.events: queue.Queue[Event] = queue.Queue()
        self.inbox = OUT / f"watch/inbox-{os.getpid()}"
        self.number = 0
        self.saved = 0.0
        self.thread: threading.Thread | None = None
        self.said: list[str] = []
        text = source.read_text(encoding="utf-8")
        self.module, self.policy = module_of(text), policy_of(text)
        # A change of the source is none of the kernel's.
        self.builder = kernels.Modules("release")
        self.text = text

    def start(self) -> None:
        """Boots the machine."""
        shutil.rmtree(self.inbox, ignore_errors=True)
        self.inbox.mkdir(parents=True)
        self.thread = threading.Thread(target=self._boot, daemon=True)
        self.thread.start()

    def stop(self) -> None:
        """Has the guest end; if it was interrupted, too, it is gone before."""
        (self.inbox / "stop").touch()

    def wait(self) -> None:
        """Until it has."""
        if self.thread:
            self.thread.join(timeout=30)

    def _boot(self) -> None:
        enokictl = userspace.BUILT / "release/enokictl"
        ended = machine.boot(
            ["python3", "-m", "enokitest.watch_guest", self.module, self.inbox, enokictl, self.command],
            log="watch.log",
            options=["--kernel", "release", "--timeout", os.environ.get("TIMEOUT") or "86400"],
            show=self._line,
            env={"PYTHONPATH": str(CHECKOUT / "ci"), "PYTHONDONTWRITEBYTECODE": "1"},
        )
        self.events.put(Event("ended", ended.failure))

    def _line(self, line: str) -> None:
        """Takes a line of the guest's."""
        if line == "@ready":
            self.events.put(Event("ready"))
        elif found := re.fullmatch(r"@(upgraded|refused)", line):
            words, self.said = "\n".join(self.said), []
            self.events.put(Event(found[1], words, time.monotonic() - self.saved))
        elif line.startswith("@ "):
            self.said.append(line[2:])
        else:
            self.show(line)

    def look(self) -> None:
        """If the source has changed, builds it and sends it in."""
        try:
            text = self.source.read_text(encoding="utf-8")
            if text == self.text or time.time() - self.source.stat().st_mtime < SETTLED:
                return
        except FileNotFoundError:
            return  # Some editors write another file and rename it.
        self.saved = time.monotonic() - (time.time() - self.source.stat().st_mtime)
        self.text = text
        self.number += 1
        try:
            module = compiled(self.source, self.number, self.builder)
        except Failure as failure:
            self.events.put(Event("broken", str(failure), time.monotonic() - self.saved))
            return
        fresh = self.inbox / f"{self.number}.new"
        shutil.copy(module, fresh)
        fresh.rename(self.inbox / f"{self.number}-{module.name}")


    def next(self) -> Event | None:
        """Looks at the source, and gives what has happened, if that comes soon."""
        self.look()
        try:
            return self.events.get(timeout=LOOK)
        except queue.Empty:
            return None


def prepared(source: Path, command: str, show: Callable[[str], None]) -> Watch:
    """Builds all that is needed."""
    if not source.exists():
        raise Failure(f"there is no {source}: POLICY is the name of a file in samples/rust, without .rs")
    userspace.build()
    return Watch(source, command, show)


def tell(event: Event, watch: Watch) -> None:
    """Says on the terminal what has happened."""
    where = watch.source.relative_to(CHECKOUT) if watch.source.is_relative_to(CHECKOUT) else watch.source
    if event.what == "ready":
        say(f"policy {watch.policy} is in office: edit {where} and save; Ctrl-C ends")
    elif event.what == "upgraded":
        print(event.words, flush=True)
        say(f"saved and running after {event.seconds:.1f} s")
    elif event.what == "refused":
        print(event.words, flush=True)
        say("the kernel refused that; the policy goes on as it was")
    elif event.what == "broken":
        print(event.words, flush=True)
        say("that does not build; the policy goes on as it was")


def check() -> Outcome:
    """The loop with a policy of its own: an edit, one that does not compile, one that is mended."""
    place = OUT / "watch/enoki_fifo.rs"
    place.parent.mkdir(parents=True, exist_ok=True)
    source = (CHECKOUT / "samples/rust/enoki_fifo.rs").read_text(encoding="utf-8")
    place.write_text(source, encoding="utf-8")
    results = Results()
    watch = prepared(place, "", lambda _line: None)
    watch.start()

    def expect(name: str, wanted: str, text: str = "", words: str = "") -> None:
        if text:
            place.write_text(text, encoding="utf-8")
        deadline = time.monotonic() + 600
        while time.monotonic() < deadline:
            event = watch.next()
            if not event:
                continue
            if event.what == wanted and words in event.words:
                results.passed += 1
                say(f"watch: {name}: {event.seconds:.1f} s")
            else:
                results.failed.append(f"{name}: {event.what}: {event.words[:200]}")
            return
        results.failed.append(f"{name}: nothing happened")

    version = "const ID: u32"
    pick = "let cpu = ctx.cpu();"
    another = source.replace(version, f'const VERSION: &\'static str = "edited";\n    {version}', 1)
    expect("the policy is loaded", "ready")
    expect("an edit is running", "upgraded", another, "replaced by version edited")
    expect("what does not compile is said", "broken", source.replace("fn pick_next_task", "fn pick_next_tsk", 1), "pick_next_tsk")
    panics = source.replace(pick, f"{pick}\n        assert!(cpu.now() > Ns::ZERO);", 1)
    expect("what may panic is said", "broken", panics, "pick_next_task")
    expect("and mended", "upgraded", source, "version edited")
    watch.stop()
    expect("the tasks are alive", "ended")
    return Outcome(results, "" if not results.failed else "out/log/watch.log")


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="ci/watch", description=__doc__)
    parser.add_argument("policy", nargs="?", default=os.environ.get("POLICY") or "enoki_wfq", help="a file in samples/rust, without .rs")
    policy = parser.parse_args().policy
    watch = prepared(CHECKOUT / f"samples/rust/{policy}.rs", os.environ.get("CMD", ""), lambda line: print(line, flush=True))
    say("booting a virtual machine in which the policy runs")
    watch.start()
    try:
        while True:
            event = watch.next()
            if event and event.what == "ended":
                if event.words:
                    raise Failure(f"{event.words}; everything it said is in out/log/watch.log")
                return 0
            if event:
                tell(event, watch)
    except KeyboardInterrupt:
        watch.stop()
        watch.wait()
        return 0


if __name__ == "__main__":
    main_wrapper(main)
