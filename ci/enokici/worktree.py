"""linux/: the composed tree for people, and the way back from it to patches/.

linux/ is a clone that shares the cache's objects. Its branch enoki stands on the pristine
commit: one commit per patch, in the order of patches/series, then one commit that holds the
overlay. Whoever changes a patch rebases there and runs ci/refresh-patches; overlay files are
edited in the checkout, where they stand at the same path.
"""

import argparse
import re
from pathlib import Path

from . import compose, pristine
from .common import CHECKOUT, Failure, main_wrapper, run, say

LINUX = CHECKOUT / "linux"
OVERLAY = "enoki: overlay"
WHO = {"GIT_AUTHOR_NAME": "Enoki", "GIT_AUTHOR_EMAIL": "enoki@localhost"}
# Committer and date are fixed, so that the same patches make the same commits.
STAMP = {"GIT_COMMITTER_NAME": "Enoki", "GIT_COMMITTER_EMAIL": "enoki@localhost"}


def git(*args: str | Path, data: bytes | None = None) -> str:
    """Runs git in linux/."""
    return run(["git", "-C", LINUX, *args], data=data, env={**STAMP}).decode().strip("\n")


def _ready() -> str:
    """linux/ exists and has nothing to lose; returns the pristine commit."""
    base = pristine.commit()
    if not (LINUX / ".git").exists():
        say("cloning the kernel into linux/")
        run(["git", "clone", "-q", "--shared", "--no-checkout", pristine.REPO, LINUX])
        for key, value in {"user.name": "Enoki", "user.email": "enoki@localhost", "gc.auto": "0"}.items():
            git("config", key, value)
    elif git("status", "--porcelain", "-uno"):
        raise Failure("linux/ has uncommitted changes: commit them (and run ci/refresh-patches) or drop them first")
    return base


def _commit_patch(patch: Path) -> None:
    if re.search(rb"^(From |From: )", patch.read_bytes()[:2000], re.M):
        try:
            git("am", "-q", "--committer-date-is-author-date", patch)
        except Failure as failure:
            git("am", "--abort")
            raise Failure(f"patches/{patch.name} does not apply: {compose.reasons(failure)}") from None
    else:
        git("apply", "--index", "--whitespace=nowarn", patch)
        run(["git", "-C", LINUX, "commit", "-q", "-m", patch.stem], env={**STAMP, **WHO})


def make() -> None:
    """Makes or renews linux/ from pristine, patches and overlay."""
    tree = compose.compose()
    base = _ready()
    git("checkout", "-q", "--detach", base)
    for patch in compose.patches():
        _commit_patch(patch)
    commit = run(
        ["git", "-C", LINUX, "commit-tree", tree, "-p", "HEAD", "-m", OVERLAY], env={**STAMP, **WHO}
    ).decode().strip("\n")  # fmt: skip
    git("checkout", "-q", "-B", "enoki", commit)
    say(f"linux/ is the composed tree: {git('describe', '--always', '--abbrev=12')}, branch enoki")


def refresh() -> None:
    """Writes one patch per commit between pristine and HEAD of linux/, the overlay's left out."""
    base = pristine.commit()
    if not (LINUX / ".git").exists():
        raise Failure("there is no linux/ yet: run make linux, edit and commit there, then come back")
    if git("status", "--porcelain", "-uno"):
        raise Failure("linux/ has uncommitted changes: commit them first")
    log = git("log", "--reverse", "--format=%H %s", f"{base}..HEAD")
    commits = [line.split(" ", 1) for line in log.splitlines()]
    kept = [commit for commit, subject in commits if subject != OVERLAY]
    patches = CHECKOUT / "patches"
    patches.mkdir(exist_ok=True)
    written: dict[str, str] = {}
    # A patch keeps the name it has; a new one gets the number after the one before it.
    names = {old.name.partition("-")[2]: old.name for old in patches.glob("*.patch")}
    number = 0
    for commit in kept:
        if added := git("diff-tree", "-r", "--no-commit-id", "--name-only", "--diff-filter=A", commit):
            raise Failure(
                f"commit {commit[:12]} of linux/ adds {added.splitlines()[0]}: "
                "new files stand in the checkout at the same path, patches only edit existing ones"
            )
        text = git(
            "format-patch", "-1", "--stdout", "--no-signature", "--zero-commit", "-N", "--no-stat",
            "--full-index", "--diff-algorithm=histogram", commit,
        )  # fmt: skip
        slug = f"{git('log', '-1', '--format=%f', commit)[:52].rstrip('-.')}.patch"
        name = names.get(slug, f"{number + 1:04d}-{slug}")
        number = int(name.partition("-")[0])
        written[name] = text + "\n"
    for old in patches.glob("*.patch"):
        if old.name not in written:
            old.unlink()
    for name, text in written.items():
        (patches / name).write_text(text)
    (patches / "series").write_text("".join(f"{name}\n" for name in written))
    say(f"patches/ holds {len(written)} patches from linux/")


def main() -> int:
    """The command lines of ci/linux and ci/refresh-patches."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("compose", "refresh"))
    if parser.parse_args().what == "compose":
        make()
    else:
        refresh()
    return 0


if __name__ == "__main__":
    main_wrapper(main)
