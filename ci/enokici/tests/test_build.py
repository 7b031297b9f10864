"""A failed build shows the compiler's words, not the end of make's."""

import tempfile
import unittest
from pathlib import Path

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

    def test_objects_of_other_trees_are_left(self) -> None:
        """What was built where this tree is built, but is not of it, is not kept."""
        with tempfile.TemporaryDirectory() as scratch:
            objects, source, target = (Path(scratch) / name for name in ("objects", "source", "target"))
            for name in ("samples/rust/enoki_old.o", "samples/rust/enoki_new.o", "rust/enoki.o", "gate/a.o"):
                (objects / name).parent.mkdir(parents=True, exist_ok=True)
                (objects / name).touch()
            (source / "rust/enoki").mkdir(parents=True)
            (source / "samples/rust").mkdir(parents=True)
            (source / "samples/rust/enoki_new.rs").touch()
            build.install_objects(objects, build.GATED, target, source)
            kept = sorted(str(path.relative_to(target / "objects")) for path in target.rglob("*.o"))
        self.assertEqual(kept, ["gate/a.o", "rust/enoki.o", "samples/rust/enoki_new.o"])
