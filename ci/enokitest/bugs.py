"""ci/bugs: puts the bugs of ci/enokitest/bugs in, one at a time, and sees the tests fail.

A test that passes on a broken kernel tests nothing. Each diff there goes on top of the composed
tree; its first lines say what is wrong with it, which selftest must notice, on how many CPUs and,
if not the debug one, on which kernel.
"""

import argparse
import os
import re
from dataclasses import dataclass
from pathlib import Path

from enokici.common import CHECKOUT, Failure, main_wrapper

from . import levels
from .suite import Outcome, Suite
from .tap import Results

BUGS = CHECKOUT / "ci/enokitest/bugs"
# With a bug in, many tests wait for their whole time; the first that fails is enough. Where a bug
# makes the whole machine stand still that is what is seen, after so many seconds.
FAILURE = re.compile(r"^not ok |the kernel reports: ")
LIMIT = 600


@dataclass(frozen=True)
class Bug:
    """One bug and the test that must see it."""

    path: Path
    what: str
    test: str
    cpus: int
    kernel: str


def read(path: Path) -> Bug:
    """Reads the head of a diff."""
    head = path.read_text().partition("\ndiff --git ")[0]
    fields = dict(re.findall(r"^(Test|CPUs|Kernel): (\S+)$", head, re.M))
    if not {"Test", "CPUs"} <= set(fields):
        raise Failure(f"{path.relative_to(CHECKOUT)} does not say Test: and CPUs: before its diff")
    return Bug(path, head.splitlines()[0], fields["Test"], int(fields["CPUs"]), fields.get("Kernel", "debug"))


def seen(bug: Bug) -> Outcome:
    """Passes if the test fails with the bug in."""
    os.environ["ENOKI_BUG"] = str(bug.path)
    try:
        if alone := levels.LOSING.get(bug.test):
            outcome = alone()
        elif bug.test in levels.STEADY:
            outcome = levels.steady(bug.test, bug.cpus)
        elif bug.test in levels.SHAPED:
            outcome = levels.shaped(bug.kernel, (bug.test,), f"bug-{bug.path.stem}", FAILURE, LIMIT)
        else:
            outcome = levels.selftests(
                bug.kernel, bug.cpus, [bug.test], f"bug-{bug.path.stem}", until=FAILURE, seconds=LIMIT
            )
    finally:
        del os.environ["ENOKI_BUG"]
    failed = outcome.results.failed
    if not failed:
        return Outcome(Results(failed=[f"{bug.test} passes although: {bug.what}"]), outcome.note)
    # What ends the run early is more to the point than what did not run any more.
    first = next((name for name in failed if "did not run" not in name), failed[0])
    return Outcome(Results(passed=1), first.partition("\n")[0][:100])


def main() -> int:
    """The command line of ci/bugs."""
    parser = argparse.ArgumentParser(
        prog="ci/bugs",
        description="Builds the kernel with each known bug put in and sees the selftests fail.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="only the bugs whose file name begins so")
    args = parser.parse_args()
    suite = Suite()
    for path in sorted(BUGS.glob("*.diff")):
        if not args.names or path.stem.startswith(tuple(args.names)):
            bug = read(path)
            suite.group(path.stem, lambda b=bug: seen(b))
    return suite.finish()


if __name__ == "__main__":
    main_wrapper(main)
