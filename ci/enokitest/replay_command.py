"""ci/replay: builds enoki-replay and what it needs, and becomes it."""

import os
import sys

from enokici.common import main_wrapper

from . import userspace


def main() -> int:
    """Does not return."""
    program = userspace.replayer()
    os.execv(program, [str(program), *sys.argv[1:]])


if __name__ == "__main__":
    main_wrapper(main)
