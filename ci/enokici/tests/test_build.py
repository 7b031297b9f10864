"""A failed build shows the compiler's words, not the end of make's."""

import unittest

from enokici import build

LOG = """\
  CC      kernel/sched/enoki.o
kernel/sched/enoki.c: In function 'x':
kernel/sched/enoki.c:3:2: error: 'y' undeclared
    3 |  y();
make[3]: *** [scripts/Makefile.build:1: kernel/sched/enoki.o] Error 1
  CC      kernel/fork.o
make: *** [Makefile:1: __sub-make] Error 2
"""


class BuildTest(unittest.TestCase):
    """The parts of ci/build that need no compiler."""

    def test_error_lines(self) -> None:
        """The compiler's message is among the lines shown."""
        shown = "\n".join(build.error_lines(LOG))
        self.assertIn("'y' undeclared", shown)
        self.assertIn("In function 'x'", shown)

    def test_every_flavour_has_its_configurations(self) -> None:
        """No flavour names a file that is not there."""
        for name, flavour in build.FLAVOURS.items():
            with self.subTest(name):
                self.assertTrue(build.fragments(name, flavour))
