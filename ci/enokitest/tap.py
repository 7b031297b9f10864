"""Reads the Test Anything Protocol as kselftests and KUnit speak it, counting every subtest."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

RESULT = re.compile(r"^(?P<indent>(?:    |# )*)(?P<word>ok|not ok) (?P<number>\d+)\b[ -]*(?P<name>.*)$")
PLAN = re.compile(r"^(?P<indent>(?:    |# )*)1\.\.(?P<count>\d+)(?P<rest>.*)$")
# What a test says of why it fails: where, and what it had expected or waited for.
REASON = re.compile(r"^# (?P<words>\w+\.[ch]:\d+: ?.*)$")
REASONS = 4
STAMP = re.compile(r"^(?:<\d+>)?\[ *\d+\.\d+\](?:\[[^]]*\])? ")


@dataclass
class Results:
    """How many tests passed and were skipped, and the names of those that failed.

    What a failed test said stands below its name, in lines of its own.
    """

    passed: int = 0
    skipped: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def add(self, other: "Results", prefix: str = "") -> None:
        """Takes over the results of another run."""
        self.passed += other.passed
        self.skipped += [prefix + name for name in other.skipped]
        self.failed += [prefix + name for name in other.failed]

    @property
    def total(self) -> int:
        """Everything that was run or would have been."""
        return self.passed + len(self.skipped) + len(self.failed)


@dataclass
class _Level:
    """One level of nesting: what was planned and seen since it was opened."""

    planned: int | None = None
    seen: int = 0
    failed: bool = False
    failed_below: bool = False


def _split(name: str) -> tuple[str, str, str]:
    """A result's description: name, directive in capitals, reason."""
    bare, _, comment = name.partition("#")
    words = comment.split(maxsplit=1)
    directive = words[0].upper() if words else ""
    return bare.strip(), directive, words[1] if len(words) > 1 else ""


def parse(lines: Iterable[str]) -> Results:
    """Counts leaves: a result whose subtests were counted is not counted again."""
    results = Results()
    levels: list[_Level] = []
    said: list[str] = []

    def close(depth: int) -> None:
        """Ends the levels deeper than depth; planned tests that never came have failed."""
        while len(levels) > depth:
            level = levels.pop()
            missing = (level.planned or 0) - level.seen
            if missing > 0:
                results.failed.append(f"{missing} planned tests did not run")
            if levels and (missing > 0 or level.failed or level.failed_below):
                levels[-1].failed_below = True

    for line in lines:
        text = STAMP.sub("", line.rstrip())
        if plan := PLAN.match(text):
            depth = len(plan["indent"].replace("# ", "    ")) // 4
            close(depth)
            while len(levels) <= depth:
                levels.append(_Level())
            levels[depth].planned = int(plan["count"])
            if not int(plan["count"]):
                results.skipped.append(_split(plan["rest"])[2] or "nothing to do")
        elif found := RESULT.match(text):
            depth = len(found["indent"].replace("# ", "    ")) // 4
            nested = len(levels) > depth + 1 and any(level.seen for level in levels[depth + 1 :])
            while len(levels) <= depth:
                levels.append(_Level())
            close(depth + 1)
            level = levels[depth]
            known, level.failed_below = level.failed_below, False
            level.seen += 1
            name, directive, reason = _split(found["name"])
            bad = found["word"] == "not ok"
            level.failed |= bad
            if nested and (known or not bad):
                continue
            if directive == "SKIP":
                results.skipped.append(f"{name}: {reason}" if reason else name)
            elif bad and directive != "TODO":
                results.failed.append("\n".join([name or f"test {found['number']}", *said[:REASONS]]))
            else:
                results.passed += 1
            said = []
        elif reason_given := REASON.match(text):
            said.append(reason_given["words"])
        elif text.startswith("Bail out!"):
            results.failed.append(text)
    close(0)
    return results
