"""Runs in the guest: a program in one class after the other.

    python3 -m enokitest.classes_guest CLASSES -- PROGRAM…

CLASSES is a list in JSON; see classes.py. Prints {"class": NAME, …} for each line of JSON that the
program prints.
"""

import json
import subprocess
import sys

from .classes import Class, from_json, ready


def lines(cls: Class, program: list[str]) -> list[dict[str, object]]:
    """What the program printed in that class."""
    with ready(cls) as words:
        done = subprocess.run([*words, *program, *cls.arguments], stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def main() -> int:
    """The command line."""
    given, dashes, *program = sys.argv[1:]
    assert dashes == "--", __doc__
    status = 0
    for words in json.loads(given):
        cls = from_json(words)
        try:
            for line in lines(cls, program):
                print(json.dumps({"class": cls.name, **line}), flush=True)
        except (OSError, subprocess.SubprocessError, TimeoutError) as error:
            print(f"{cls.name}: {error}", flush=True)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
