"""Runs a command in a virtual machine and keeps what it said."""

import re
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from enokici.common import CHECKOUT, OUT, say
from enokici.vm import NO_STATUS, REPORTED, TIMED_OUT

GUEST = CHECKOUT / "ci/enokitest/guest"
# Machines for one run: what errs twice is no accident.
BOOTS = 2


@dataclass
class Ended:
    """How a run ended."""

    status: int
    log: Path
    lines: list[str] = field(default_factory=list)

    @property
    def problem(self) -> str:
        """What was wrong with the machine itself, empty if nothing was."""
        words = {
            REPORTED: "the kernel reported a bug",
            TIMED_OUT: "the machine took too long",
            NO_STATUS: "the machine did not come to the end",
        }
        problem = words.get(self.status, "")
        # Mostly the first report is the cause and the others are its effects.
        reports = re.findall(r"the kernel reports: (?:\[ *[\d.]+\] )?(.*)", "\n".join(self.lines))
        if not reports or not self.status:
            return problem
        return f"{problem or words[REPORTED]}: {reports[0][:150]}"

    @property
    def failure(self) -> str:
        """Why the run is no good: the machine's fault or the command's. Empty if it is."""
        return self.problem or (f"the guest ended with status {self.status}" if self.status else "")


def stale_breakpoint(lines: Sequence[str]) -> bool:
    """Did the emulator execute a breakpoint that was not in the guest's memory any more?

    The kernel puts one into its text for a moment when it flips a static key. QEMU has been seen
    to run it later than that, from code translated before; then the first report is an int3,
    while the code that it shows has no 0xcc at that place.
    """
    text = "\n".join(lines)
    first = re.search(r"the kernel reports: .*", text)
    if not first or "Oops: int3" not in first[0]:
        return False
    code = re.search(r"Code: .*?([0-9a-f]{2}) <", text[first.end() :])
    return bool(code) and code[1] != "cc"


def stalled_at_boot(lines: Sequence[str]) -> bool:
    """Did the emulator lose a timer interrupt, so that a CPU slept before anything was run?

    Then the first words are the kernel's on a stall, and there is nothing of the guest's command
    before them.
    """
    return bool(lines) and "the kernel reports:" in lines[0] and "detected stalls on CPUs" in lines[0]


def _run(
    argv: Sequence[str], path: Path, show: Callable[[str], None] | None, until: re.Pattern[str] | None
) -> Ended:
    """Runs ci/vm once."""
    ended = Ended(NO_STATUS, path)
    with open(path, "w", encoding="utf-8", errors="replace") as out:
        print("$", *argv, file=out, flush=True)
        with subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as machine:
            assert machine.stdout is not None
            try:
                for line in machine.stdout:
                    out.write(line)
                    out.flush()
                    ended.lines.append(line.rstrip("\r\n"))
                    if show:
                        show(ended.lines[-1])
                    if (until and until.search(line)) or (
                        len(ended.lines) == 1 and stalled_at_boot(ended.lines)
                    ):
                        machine.terminate()
                        until = None
            except BaseException:
                machine.terminate()
                raise
        ended.status = machine.returncode
    return ended


def emulator_erred(ended: Ended) -> str:
    """What the emulator did wrong, empty if nothing is known."""
    if ended.status == REPORTED and stale_breakpoint(ended.lines):
        return "ran a breakpoint that was gone from memory"
    if stalled_at_boot(ended.lines):
        return "lost a timer interrupt while the kernel came up"
    return ""


def boot(
    command: Sequence[str | Path],
    *,
    log: str,
    options: Sequence[str] = (),
    show: Callable[[str], None] | None = None,
    until: re.Pattern[str] | None = None,
    env: dict[str, str] | None = None,
) -> Ended:
    """Runs ci/vm OPTIONS -- COMMAND, its output and messages into out/log/LOG.

    To its end, or until a line matches. Again if the emulator erred, but not for ever.
    """
    path = OUT / "log" / log
    path.parent.mkdir(parents=True, exist_ok=True)
    words = [f"{name}={value}" for name, value in (env or {}).items()]
    guest = ["env", *words, *map(str, command)]
    argv = [str(CHECKOUT / "ci/vm"), *options, "--", *guest]
    for boots in range(1, BOOTS + 1):
        ended = _run(argv, path, show, until)
        erred = emulator_erred(ended)
        if not erred or boots == BOOTS:
            break
        kept = path.rename(path.with_suffix(f".stale{boots}.log"))
        say(f"QEMU {erred} ({kept.name}): booting once more")
    return ended


def sections(lines: Sequence[str]) -> dict[str, tuple[list[str], int | None]]:
    """What guest/selftests.sh marked: for each program its lines and its exit status."""
    found: dict[str, tuple[list[str], int | None]] = {}
    name = ""
    for line in lines:
        if begin := re.match(r"# enoki-begin (\S+)", line):
            name = begin[1]
            found[name] = ([], None)
        elif end := re.match(r"# enoki-end (\S+) (\d+)", line):
            found[end[1]] = (found.get(end[1], ([], None))[0], int(end[2]))
            name = ""
        elif name:
            found[name][0].append(line)
    return found
