"""Runs in the guest: a program in one class after the other.

    python3 -m enokitest.classes_guest CLASSES -- PROGRAM…

CLASSES is a list in JSON; see classes.py. Prints {"class": NAME, …} for each line of JSON that the
program prints.
"""

import subprocess
import sys

from .classes import Class, each, ready, show


def main() -> int:
    """The command line."""
    given, dashes, *program = sys.argv[1:]
    assert dashes == "--", __doc__

    def measure(cls: Class) -> None:
        with ready(cls) as words:
            done = subprocess.run([*words, *program, *cls.arguments], stdout=subprocess.PIPE, text=True, check=True)
        show(cls, done.stdout)

    return each(given, measure)


if __name__ == "__main__":
    sys.exit(main())
