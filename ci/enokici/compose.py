"""Composes the tree to build: pristine source, the patches of patches/series, the overlay.

The tree is made in a temporary index of the shared repository, so composing touches no
work tree, two runs at once do not meet, and the same content always has the same id.
"""

import argparse
import os
import re
import tempfile
from pathlib import Path

from . import pristine
from .common import CHECKOUT, Failure, main_wrapper, run, say
from .pristine import git

# Directories of the checkout that the kernel does not know are never overlay, and neither are these.
NOT_OVERLAY = {"ci", "patches", "userspace", "linux", "out"}


def patches() -> list[Path]:
    """The patches in the order of patches/series; a missing file is a Failure."""
    series = CHECKOUT / "patches/series"
    text = series.read_text() if series.exists() else ""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    listed = [CHECKOUT / "patches" / line for line in lines if line]
    for path in listed:
        if not path.is_file():
            raise Failure(f"patches/series lists {path.name}, but there is no patches/{path.name}")
    unlisted = sorted({p.name for p in (CHECKOUT / "patches").glob("*.patch")} - {p.name for p in listed})
    if unlisted:
        raise Failure(f"patches/{unlisted[0]} is not listed in patches/series: add it there or remove it")
    return listed


def overlay(top_directories: set[str]) -> list[str]:
    """The checkout's files that belong into the kernel tree, tracked or new but not ignored."""
    listed = run(["git", "-C", CHECKOUT, "ls-files", "-coz", "--exclude-standard"])
    names = sorted({os.fsdecode(name) for name in listed.split(b"\0") if name})
    return [
        name
        for name in names
        if "/" in name and name.split("/", 1)[0] in top_directories and os.path.lexists(CHECKOUT / name)
    ]


def reasons(failure: Failure) -> str:
    """What git says of a patch that does not apply, without the rest."""
    return "; ".join((re.findall(r"^error: (.*)$", str(failure), re.M) or [str(failure)])[:4])


def apply(patch: Path, index: Path) -> None:
    """Applies one patch to the index; says what does not fit when it does not."""
    try:
        git("apply", "--cached", "--whitespace=nowarn", patch, index=index)
    except Failure as failure:
        raise Failure(
            f"patches/{patch.name} does not apply: {reasons(failure)}. "
            "Fix it in linux/ (make linux) and run ci/refresh-patches."
        ) from None


def apply_bug(diff: str | Path, index: Path, *options: str) -> None:
    """Applies a diff of ci/bugs, wherever its place has gone, to the index."""
    git("apply", "--cached", "-C1", "--whitespace=nowarn", *options, diff, index=index)


def _mode(path: Path) -> str:
    if path.is_symlink():
        return "120000"
    return "100755" if os.access(path, os.X_OK) else "100644"


def add_overlay(names: list[str], index: Path) -> None:
    """Adds the overlay's files to the index, all in two git calls."""
    entries = []
    plain = [name for name in names if not (CHECKOUT / name).is_symlink()]
    ids = dict(
        zip(
            plain,
            git(
                "hash-object", "-w", "--no-filters", "--stdin-paths",
                data="".join(f"{CHECKOUT / name}\n" for name in plain).encode(),
            ).decode().split(),
            strict=True,
        )
    )  # fmt: skip
    for name in names:
        path = CHECKOUT / name
        if path.is_symlink():
            ids[name] = git("hash-object", "-w", "--stdin", data=os.readlink(path).encode()).decode().strip()
        entries.append(f"{_mode(path)} {ids[name]}\t{name}\0")
    git("update-index", "-z", "--index-info", data="".join(entries).encode(), index=index)


def compose(with_overlay: bool = True) -> str:
    """Makes the tree and returns its id. ENOKI_BUG names a diff that goes on top, see ci/bugs."""
    base = pristine.commit()
    if not with_overlay:
        return pristine.text("rev-parse", f"{base}^{{tree}}")
    with tempfile.TemporaryDirectory(prefix="enoki-compose-") as scratch:
        index = Path(scratch) / "index"
        git("read-tree", base, index=index)
        for patch in patches():
            apply(patch, index)
        present = git("ls-files", "-z", index=index).split(b"\0")
        there = {os.fsdecode(name) for name in present}
        tops = {name.split("/", 1)[0] for name in there if "/" in name} - NOT_OVERLAY
        names = overlay(tops)
        if clash := [name for name in names if name in there]:
            raise Failure(
                f"{clash[0]} of the checkout exists in the kernel already: "
                "edits to existing files belong into patches/, not into the overlay"
            )
        add_overlay(names, index)
        if bug := os.environ.get("ENOKI_BUG"):
            apply_bug(bug, index)
        return git("write-tree", index=index).decode().strip()


def misfits(tree: str, diffs: list[Path]) -> list[str]:
    """Which of the diffs do not apply to the tree, and why."""
    found = []
    with tempfile.TemporaryDirectory(prefix="enoki-compose-") as scratch:
        index = Path(scratch) / "index"
        git("read-tree", tree, index=index)
        for diff in diffs:
            try:
                apply_bug(diff, index, "--check")
            except Failure as failure:
                found.append(f"{diff.relative_to(CHECKOUT)} does not apply: {reasons(failure)}")
    return found


def export(tree: str, directory: Path, paths: list[str]) -> None:
    """Writes the tree, or some paths of it, into a directory; unchanged files keep their times."""
    if paths:
        listed = git("ls-tree", "-rz", tree, "--", *paths)
        if not listed:
            raise Failure(f"the composed tree has none of: {' '.join(paths)}")
        with tempfile.TemporaryDirectory(prefix="enoki-export-") as scratch:
            part = Path(scratch) / "index"
            git("update-index", "-z", "--index-info", data=listed, index=part)
            tree = git("write-tree", index=part).decode().strip()
    directory.mkdir(parents=True, exist_ok=True)
    index = directory.parent / f".{directory.name}.index"
    index.with_name(index.name + ".lock").unlink(missing_ok=True)  # of a run that was killed
    work = {
        "GIT_DIR": str(pristine.REPO),
        "GIT_INDEX_FILE": str(index),
        "GIT_WORK_TREE": str(directory),
    }
    run(["git", "read-tree", "--reset", "-u", tree], env=work, cwd=directory)


def main() -> int:
    """The command line of ci/compose."""
    parser = argparse.ArgumentParser(
        prog="ci/compose",
        description="Composes pristine source + patches/ + overlay and prints the id of the tree. "
        "LINUX_TREE=/path builds on the HEAD of that 7.3.x git tree.",
    )
    parser.add_argument("--pristine", action="store_true", help="without patches and overlay")
    parser.add_argument("--export", metavar="DIR", type=Path, help="also write the tree into DIR")
    parser.add_argument("paths", nargs="*", help="with --export: only these paths of the tree")
    args = parser.parse_args()
    tree = compose(with_overlay=not args.pristine)
    if args.export:
        export(tree, args.export.absolute(), args.paths)
        say(f"wrote tree {tree[:12]} to {args.export}")
    print(tree)
    return 0


if __name__ == "__main__":
    main_wrapper(main)
