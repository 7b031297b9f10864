"""The series' manifest, its messages and its commits, on a kernel of two files."""

import json
import os
import subprocess
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from enokici import pristine, series
from enokici.common import Failure
from enokici.series import Commit, Entry

ORDER = """\
# words
0001-a.patch
\tdir/new.h
messages/b.txt    # more words
\tdir/b/*.c
\ttools/**
"""
PATCH = b"""\
From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001
From: Somebody <somebody@localhost>
Date: Thu, 1 Jan 2026 00:00:00 +0000
Subject: [PATCH 3/7] dir: Edit a file that has a name so long that the subject
 is folded

Say why.

And more.
---
 dir/old.h | 2 +-
 1 file changed, 1 insertion(+), 1 deletion(-)

diff --git a/dir/old.h b/dir/old.h
--- a/dir/old.h
+++ b/dir/old.h
@@ -1 +1 @@
-old
+edited
"""


def entries(*paths: str) -> list[Entry]:
    """Overlay files of those names."""
    return [Entry("100644", "0" * 40, path) for path in paths]


class ManifestTest(unittest.TestCase):
    """patches/series-order must cover everything once, and says what it does not."""

    def test_parse(self) -> None:
        """Commits, their globs, and comments."""
        commits = series.parse_order(ORDER)
        self.assertEqual(
            commits, [Commit("0001-a.patch", ["dir/new.h"]), Commit("messages/b.txt", ["dir/b/*.c", "tools/**"])]
        )
        self.assertEqual([commit.is_patch for commit in commits], [True, False])
        with self.assertRaisesRegex(Failure, "before any commit"):
            series.parse_order("\tdir/new.h\n")
        with self.assertRaisesRegex(Failure, "would be empty"):
            series.parse_order("messages/b.txt\n")

    def test_patches(self) -> None:
        """Every patch of patches/series is there once, and no other."""
        commits = series.parse_order(ORDER)
        series.check_patches(commits, ["0001-a.patch"])
        with self.assertRaisesRegex(Failure, "0002-b.patch is in patches/series but not"):
            series.check_patches(commits, ["0001-a.patch", "0002-b.patch"])
        with self.assertRaisesRegex(Failure, "0001-a.patch, which is not in patches/series"):
            series.check_patches(commits, [])
        with self.assertRaisesRegex(Failure, "names 0001-a.patch 2 times"):
            series.check_patches([*commits, Commit("0001-a.patch")], ["0001-a.patch"])

    def test_distribute(self) -> None:
        """A star stays in its directory, two do not."""
        files = entries("dir/new.h", "dir/b/x.c", "tools/a", "tools/deep/down/b")
        groups = series.distribute(series.parse_order(ORDER), files)
        self.assertEqual([[entry.path for entry in group] for group in groups], [["dir/new.h"], [
            "dir/b/x.c", "tools/a", "tools/deep/down/b",
        ]])  # fmt: skip

    def test_distribute_refuses(self) -> None:
        """What is in no commit, in two, or matched by nothing is named."""
        files = entries("dir/new.h", "dir/b/x.c", "tools/a")
        commits = series.parse_order(ORDER)
        with self.assertRaisesRegex(Failure, "no commit has dir/b/deep/y.c"):
            series.distribute(commits, [*files, *entries("dir/b/deep/y.c")])
        with self.assertRaisesRegex(Failure, "dir/new.h is in 0001-a.patch and in messages/c.txt"):
            series.distribute([*commits, Commit("messages/c.txt", ["dir/*.h"])], files)
        with self.assertRaisesRegex(Failure, r"tools/\*\* \(in messages/b.txt\) matches no file"):
            series.distribute(commits, files[:2])

    def test_the_real_one(self) -> None:
        """Every patch and message that is named exists and has a proper message."""
        for commit in series.parse_order(series.ORDER.read_text()):
            with self.subTest(commit.source):
                self.assertTrue(series.message(commit))


class WordsTest(unittest.TestCase):
    """Messages and the cover letter."""

    def test_message_of_patch(self) -> None:
        """The subject is unfolded and without its prefix, the diff is gone."""
        subject = "dir: Edit a file that has a name so long that the subject is folded"
        self.assertEqual(series.message_of_patch(PATCH), f"{subject}\n\nSay why.\n\nAnd more.\n")
        with self.assertRaisesRegex(Failure, "no Subject"):
            series.message_of_patch(b"diff --git a/x b/x\n")

    def test_fill(self) -> None:
        """Values go in, paragraphs without a value out, and unknown names are refused."""
        template = "subject\n\nIt is {{a}}.\n\nFigures:\n{{b}}\n\nend\n"
        self.assertEqual(
            series.fill(template, {"a": "1", "b": "\n  x 2"}), "subject\n\nIt is 1.\n\nFigures:\n\n  x 2\n\nend\n"
        )
        self.assertEqual(series.fill(template, {"a": "1", "b": ""}), "subject\n\nIt is 1.\n\nend\n")
        with self.assertRaisesRegex(Failure, "{{b}}, which means nothing"):
            series.fill(template, {"a": "1"})

    def test_pipe_table(self) -> None:
        """A row a class, a column a number of CPUs; nothing without figures."""
        figures = [
            {"bench": "pipe", "class": name, "cpus": cpus, "value": value, "spread": 0.02}
            for name, cpus, value in (("EEVDF", 1, 8.1), ("EEVDF", 2, 9.2), ("fifo", 1, 6.1))
        ]
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "pipe.json"
            self.assertEqual(series.pipe_table(path), "")
            path.write_text(json.dumps(figures))
            rows = [line.split() for line in series.pipe_table(path).splitlines()]
        self.assertEqual(rows[2:], [["EEVDF", "8.10", "(0.02)", "9.20", "(0.02)"], ["fifo", "6.10", "(0.02)", "-"]])

    def test_the_real_cover_letter(self) -> None:
        """It takes the values it is given, and its lines fit."""
        values = dict.fromkeys(("version", "base", "pipe", "lines"), "x")
        for line in series.fill(series.COVER.read_text(), values).splitlines():
            self.assertLessEqual(len(line), 75, line)


class CommitsTest(unittest.TestCase):
    """The commits, made in a repository of two files."""

    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.top = Path(scratch.name)
        for name, value in {
            "REPO": self.top / "repo", "WORK": self.top / "work", "PATCHES": self.top / "patches",
        }.items():  # fmt: skip
            patcher = mock.patch.object(pristine if name == "REPO" else series, name, value)
            patcher.start()
            self.addCleanup(patcher.stop)
        subprocess.run(["git", "init", "-q", "--bare", pristine.REPO], check=True)
        (self.top / "patches/messages").mkdir(parents=True)
        (self.top / "patches/0001-a.patch").write_bytes(PATCH)
        (self.top / "patches/messages/b.txt").write_text("dir: Add files\n\nThey are needed.\n")
        old, new = self.blob(b"old\n"), self.blob(b"new\n")
        base_tree = self.tree(f"100644 {old}\tdir/old.h\n")
        who = {
            f"GIT_{role}_{key}": value
            for role in ("AUTHOR", "COMMITTER")
            for key, value in {"NAME": "x", "EMAIL": "x@localhost", "DATE": "1700000000 +0000"}.items()
        }
        with mock.patch.dict(os.environ, who):
            self.base = pristine.text("commit-tree", base_tree, "-m", "base")
        edited = self.blob(b"edited\n")
        self.want = self.tree(
            f"100644 {edited}\tdir/old.h\n100644 {new}\tdir/new.h\n100755 {new}\tdir/b/x.c\n100644 {new}\ttools/a\n"
        )

    def blob(self, content: bytes) -> str:
        """Stores a file's content."""
        return pristine.git("hash-object", "-w", "--stdin", data=content).decode().strip()

    def tree(self, lines: str) -> str:
        """Stores a tree of those files."""
        index = self.top / "index"
        index.unlink(missing_ok=True)
        pristine.git("update-index", "--index-info", data=lines.encode(), index=index)
        return pristine.git("write-tree", index=index).decode().strip()

    def make(self) -> str:
        """The commits of ORDER."""
        commits = series.parse_order(ORDER)
        groups = series.distribute(commits, series.added(self.base, self.want))
        return series.make_commits(self.base, commits, groups)

    def test_commits(self) -> None:
        """They give the composed tree, each has its message, and the same input the same commits."""
        tip = self.make()
        self.assertEqual(pristine.text("rev-parse", f"{tip}^{{tree}}"), self.want)
        self.assertEqual(pristine.text("rev-parse", f"{tip}~2"), self.base)
        self.assertEqual(pristine.text("show", "-s", "--format=%s|%an|%ad", "--date=raw", tip),
                         "dir: Add files|Enoki developers|1700000000 +0000")  # fmt: skip
        listed = pristine.text("show", "--format=", "--name-only", f"{tip}~1").split()
        self.assertEqual(listed, ["dir/new.h", "dir/old.h"])
        self.assertEqual(self.make(), tip)

    def test_mails_apply(self) -> None:
        """The mails, applied to a checkout of the base by git am, give the composed tree."""
        cover = self.top / "cover"
        cover.write_text("dir: Everything\n\nOf {{version}}.\n\nTable:\n{{pipe}}\n")
        with (
            mock.patch.object(series, "SERIES", self.top / "series"),
            mock.patch.object(series, "COVER", cover),
            mock.patch.object(pristine, "version", return_value="7.3.4"),
            mock.patch.object(series, "counted_lines", return_value=""),
            mock.patch.object(series, "OUT", self.top / "out"),
            mock.patch.object(series, "say"),
        ):
            mails = series.write_mails(self.base, self.make())
            self.assertEqual([mail.name for mail in mails][1:], ["0002-dir-Add-files.patch"])
            letter = (self.top / "series/0000-cover-letter.patch").read_text()
            self.assertIn("[RFC PATCH 0/2] dir: Everything", letter)
            self.assertIn("Of 7.3.4.", letter)
            self.assertNotIn("Table:", letter)
            checkout = series.Pristine(self.base)
            series.check_am(checkout, mails, self.want)
            with self.assertRaisesRegex(Failure, "another tree than ci/compose; dir/b/x.c differs"):
                series.check_am(checkout, mails, pristine.text("rev-parse", f"{self.base}^{{tree}}"))


if __name__ == "__main__":
    unittest.main()
