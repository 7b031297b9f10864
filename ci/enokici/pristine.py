"""The kernel source everything stands on, as commits in a bare repository in the cache."""

import os
import re
import subprocess
import tarfile
from pathlib import Path
from typing import BinaryIO

from .common import CACHE, Failure, locked, run, say

REPO = CACHE / "linux.git"
SERIES = "7.3"
TARBALL = Path(f"/usr/src/linux-source-{SERIES}.tar.xz")


def git(*args: str | Path, data: bytes | None = None, index: Path | None = None) -> bytes:
    """Runs git on the shared repository, with an index of the caller's own if given."""
    env = {"GIT_DIR": str(REPO)}
    if index:
        env["GIT_INDEX_FILE"] = str(index)
    return run(["git", *args], data=data, env=env)


def text(*args: str | Path) -> str:
    """The first line of what git prints."""
    return git(*args).decode().strip()


def ensure_repo() -> None:
    """Makes the empty shared repository, or finishes one that was left half made."""
    if (REPO / "HEAD").exists() and text("config", "--default", "", "--get", "gc.auto") == "0":
        return
    with locked(CACHE / "linux.lock", "making the shared repository"):
        run(["git", "init", "-q", "--bare", REPO])
        # Composed trees are reachable from no ref on purpose: nothing may collect them.
        git("config", "gc.auto", "0")


def version_of(makefile: str) -> str:
    """The version that a kernel's top Makefile states, e.g. 7.3.4."""
    found = dict(re.findall(r"^(VERSION|PATCHLEVEL|SUBLEVEL) = (\d+)", makefile, re.M))
    if len(found) != 3:
        raise Failure("the kernel source has no top Makefile that states a version")
    return f"{found['VERSION']}.{found['PATCHLEVEL']}.{found['SUBLEVEL']}"


def _feed(source: tarfile.TarFile, sink: BinaryIO) -> None:
    """Writes the tarball as one commit in git fast-import's language."""
    sink.write(b"commit refs/heads/importing\ncommitter Enoki <enoki@localhost> 0 +0000\ndata 0\n")
    for member in source:
        name = member.name.partition("/")[2]
        if not name or member.isdir():
            continue
        path = name.encode()
        if member.issym():
            mode, content = b"120000", member.linkname.encode()
        else:
            opened = source.extractfile(member)
            assert opened is not None
            mode = b"100755" if member.mode & 0o100 else b"100644"
            content = opened.read()
        sink.write(b"M %s inline %s\ndata %d\n" % (mode, path, len(content)))
        sink.write(content)
        sink.write(b"\n")
    sink.write(b"done\n")


def _import_tarball(ref: str) -> None:
    say(f"importing {TARBALL.name} into {REPO} (once, about a minute)")
    xz = subprocess.Popen(["xz", "-dcT0", str(TARBALL)], stdout=subprocess.PIPE)
    importer = subprocess.Popen(
        ["git", "-c", "pack.compression=1", "fast-import", "--quiet", "--done", "--depth=0", "--force"],
        stdin=subprocess.PIPE,
        env={**os.environ, "GIT_DIR": str(REPO)},
    )
    assert xz.stdout is not None and importer.stdin is not None
    try:
        with tarfile.open(fileobj=xz.stdout, mode="r|") as source:
            _feed(source, importer.stdin)
        importer.stdin.close()
    finally:
        xz.stdout.close()
        failed = importer.wait() | (xz.wait() not in (0, -13))
    if failed:
        raise Failure(f"{TARBALL.name} could not be imported into {REPO}: is the disk full?")
    version = version_of(git("show", "refs/heads/importing:Makefile").decode())
    tree = text("rev-parse", "refs/heads/importing^{tree}")
    stamp = int(TARBALL.stat().st_mtime)
    who = {"NAME": "Enoki", "EMAIL": "enoki@localhost", "DATE": f"{stamp} +0000"}
    commit = run(
        ["git", "commit-tree", tree, "-m", f"Linux {version}, pristine", "-m",
         f"The content of {TARBALL.name} as Debian ships it."],
        env={"GIT_DIR": str(REPO), **{f"GIT_{r}_{k}": v for r in ("AUTHOR", "COMMITTER") for k, v in who.items()}},
    ).decode().strip()  # fmt: skip
    git("update-ref", ref, commit)
    git("update-ref", "-d", "refs/heads/importing")


def _debian() -> str:
    if not TARBALL.exists():
        raise Failure(f"the build root has no {TARBALL}: is linux-source-{SERIES} in ci/packages.txt?")
    stat = TARBALL.stat()
    ref = f"refs/heads/pristine-{SERIES}-{stat.st_size:x}-{int(stat.st_mtime):x}"
    if not git("for-each-ref", ref):
        with locked(CACHE / "linux.lock", "importing the kernel source"):
            if not git("for-each-ref", ref):
                _import_tarball(ref)
    return text("rev-parse", ref)


def _callers_tree(path: str) -> str:
    tree = Path(path)
    if not tree.is_dir():
        raise Failure(f"LINUX_TREE={path} is not a directory: give the path of a {SERIES}.x kernel git tree")
    try:
        head = run(["git", "-C", tree, "rev-parse", "--verify", "HEAD^{commit}"]).decode().strip()
        makefile = run(["git", "-C", tree, "show", "HEAD:Makefile"]).decode()
    except Failure as failure:
        raise Failure(f"LINUX_TREE={path} is not a git tree of the kernel: {failure}") from None
    version = version_of(makefile)
    if not version.startswith(f"{SERIES}."):
        raise Failure(f"LINUX_TREE={path} is Linux {version}; Enoki needs {SERIES}.x")
    if run(["git", "-C", tree, "status", "--porcelain", "-uno"]):
        say(f"LINUX_TREE={path} has uncommitted changes; its HEAD is used without them")
    ref = f"refs/heads/caller-{head}"
    if not git("for-each-ref", ref):
        say(f"fetching HEAD of {path} (Linux {version})")
        git("fetch", "-q", "--depth=1", f"file://{tree}", f"HEAD:{ref}")
    return head


def commit() -> str:
    """The commit to build on: LINUX_TREE's HEAD if the caller set it, else Debian's source."""
    ensure_repo()
    path = os.environ.get("LINUX_TREE", "")
    return _callers_tree(path) if path else _debian()


def version(tree: str) -> str:
    """The kernel version of a tree or commit in the shared repository."""
    return version_of(git("show", f"{tree}:Makefile").decode())
