"""What cargo is to build anew."""

import os
import tempfile
import unittest
from pathlib import Path

from enokitest.userspace import renew

OLD = 1_000_000_000


class Renew(unittest.TestCase):
    def test_only_what_another_tree_may_have_left(self) -> None:
        """A tree that was built last is left alone; another one is newer than what was built of that."""
        with tempfile.TemporaryDirectory() as place:
            target, trees = Path(place, "target"), [Path(place, name) for name in ("here", "there")]
            for tree, text in zip(trees, ("one", "two"), strict=True):
                tree.mkdir()
                (tree / "main.rs").write_text(text)

            def renewed(tree: Path) -> bool:
                source = tree / "main.rs"
                os.utime(source, (OLD, OLD))
                renew(target, [source])
                return source.stat().st_mtime != OLD

            here, there = trees
            self.assertEqual([renewed(tree) for tree in (here, here, there, there, here)], [True, False, True, False, True])
            (there / "main.rs").write_text("one")
            self.assertFalse(renewed(there))


if __name__ == "__main__":
    unittest.main()
