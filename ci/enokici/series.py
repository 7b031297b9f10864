"""The RFC series: the overlay and patches/ as mails under out/series/, in a reviewable order.

patches/series-order says which commits there are: each is an edit patch, or a message of its
own, and the overlay files that come with it. The mails are then checked as a maintainer would:
git am on a pristine checkout, the resulting tree, checkpatch and, if asked, a build of each.
"""

import argparse
import email
import email.policy
import json
import os
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from . import compose, kconfig, pristine
from .common import CACHE, CHECKOUT, OUT, Failure, locked, main_wrapper, run, say
from .pristine import git

PATCHES = CHECKOUT / "patches"
ORDER = PATCHES / "series-order"
COVER = PATCHES / "cover-letter.txt"
SERIES = OUT / "series"
WORK = CACHE / "build/series"
NAME, MAIL = "Enoki developers", "enoki@localhost"
# Whoever submits the series signs it off and says who or what assisted
# (Documentation/process/coding-assistants.rst); MAINTAINERS is a patch of its own.
IGNORED = ("MISSING_SIGN_OFF", "FILE_PATH_CHANGES")
# What --build compiles of each commit; what a commit does not have yet is left out.
BUILT = ("kernel/sched/", "rust/", "samples/rust/")


@dataclass
class Commit:
    """A commit of the series: a patch or a message, and globs of overlay files."""

    source: str
    globs: list[str] = field(default_factory=list)

    @property
    def is_patch(self) -> bool:
        """Whether it edits files that are in the kernel already."""
        return self.source.endswith(".patch")


@dataclass(frozen=True)
class Entry:
    """A file of the overlay, as git has it."""

    mode: str
    blob: str
    path: str


def parse_order(text: str) -> list[Commit]:
    """Reads series-order: a line names a commit's source, indented ones below it are globs."""
    commits: list[Commit] = []
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.partition("#")[0].rstrip()
        if not line:
            continue
        if not line[0].isspace():
            commits.append(Commit(line))
        elif commits:
            commits[-1].globs.append(line.strip())
        else:
            raise Failure(f"patches/series-order:{number}: a file before any commit")
    for commit in commits:
        if not commit.is_patch and not commit.globs:
            raise Failure(f"patches/series-order: {commit.source} has no files, so its commit would be empty")
    return commits


def check_patches(commits: list[Commit], series: list[str]) -> None:
    """Each patch of patches/series must be a commit, once."""
    counts = Counter(commit.source for commit in commits)
    if twice := [source for source, n in counts.items() if n > 1]:
        raise Failure(f"patches/series-order names {twice[0]} {counts[twice[0]]} times")
    ordered = [commit.source for commit in commits if commit.is_patch]
    if missing := [name for name in series if name not in ordered]:
        raise Failure(f"patches/{missing[0]} is in patches/series but not in patches/series-order: say where it goes")
    if unknown := [name for name in ordered if name not in series]:
        raise Failure(f"patches/series-order names {unknown[0]}, which is not in patches/series")


def distribute(commits: list[Commit], overlay: list[Entry]) -> list[list[Entry]]:
    """The overlay files of each commit; every file must be in exactly one."""
    owners: dict[str, list[str]] = {entry.path: [] for entry in overlay}
    groups: list[list[Entry]] = []
    for commit in commits:
        group: list[Entry] = []
        for glob in commit.globs:
            found = [entry for entry in overlay if PurePosixPath(entry.path).full_match(glob)]
            if not found:
                raise Failure(f"patches/series-order: {glob} (in {commit.source}) matches no file of the overlay")
            group += found
            for entry in found:
                owners[entry.path].append(commit.source)
        groups.append(group)
    if missing := [path for path, sources in owners.items() if not sources]:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise Failure(f"patches/series-order: no commit has {missing[0]}{more}: say where it goes")
    if twice := [(path, sources) for path, sources in owners.items() if len(sources) > 1]:
        raise Failure(f"patches/series-order: {twice[0][0]} is in {' and in '.join(twice[0][1])}")
    return groups


def message_of_patch(text: bytes) -> str:
    """Subject and body of a patch file, without its prefix and diff."""
    mail = email.message_from_bytes(text, policy=email.policy.default)
    subject = re.sub(r"^\s*(\[[^]]*\]\s*)*", "", re.sub(r"\s*\n\s*", " ", str(mail["Subject"] or ""))).strip()
    if not subject:
        raise Failure("a patch has no Subject: make it with git format-patch")
    body = mail.get_payload(decode=True)
    assert isinstance(body, bytes)
    words = re.split(r"^(?:---|diff --git .*)$", body.decode(), maxsplit=1, flags=re.M)[0]
    return f"{subject}\n\n{words.strip()}\n"


def message(commit: Commit) -> str:
    """The message of a commit, as it will be sent."""
    path = PATCHES / commit.source
    if not path.is_file():
        raise Failure(f"patches/series-order names {commit.source}, but there is no patches/{commit.source}")
    text = message_of_patch(path.read_bytes()) if commit.is_patch else path.read_text().strip() + "\n"
    lines = text.splitlines()
    if len(lines) < 3 or lines[1]:
        raise Failure(f"the message of {commit.source} needs a subject, an empty line and a body")
    return text


def added(base: str, tree: str) -> list[Entry]:
    """The files that the composed tree has and the pristine one has not."""
    raw = git("diff-tree", "-r", "-z", "--no-renames", "--diff-filter=A", f"{base}^{{tree}}", tree)
    words = [os.fsdecode(word) for word in raw.split(b"\0") if word]
    return [
        Entry(mode=meta.split()[1], blob=meta.split()[3], path=path)
        for meta, path in zip(words[::2], words[1::2], strict=True)
    ]


def identity(base: str) -> dict[str, str]:
    """Author and committer: nobody's name, and the base's date, so that the same input makes the same mails."""
    date = pristine.text("show", "-s", "--format=%ct +0000", base)
    return {
        f"GIT_{role}_{key}": value
        for role in ("AUTHOR", "COMMITTER")
        for key, value in {"NAME": NAME, "EMAIL": MAIL, "DATE": date}.items()
    }


def make_commits(base: str, commits: list[Commit], groups: list[list[Entry]]) -> str:
    """Makes the commits in the shared repository; returns the last one."""
    WORK.mkdir(parents=True, exist_ok=True)
    index = WORK / f"index.{os.getpid()}"
    env = {"GIT_DIR": str(pristine.REPO), **identity(base)}
    parent = base
    try:
        git("read-tree", base, index=index)
        for commit, group in zip(commits, groups, strict=True):
            words = message(commit)
            if commit.is_patch:
                try:
                    compose.apply(PATCHES / commit.source, index)
                except Failure as failure:
                    raise Failure(f"{failure} (Or patches/series-order has it in the wrong place.)") from None
            lines = "".join(f"{entry.mode} {entry.blob}\t{entry.path}\0" for entry in group)
            git("update-index", "-z", "--index-info", data=lines.encode(), index=index)
            tree = git("write-tree", index=index).decode().strip()
            made = run(["git", "commit-tree", tree, "-p", parent], data=words.encode(), env=env)
            parent = made.decode().strip()
    finally:
        index.unlink(missing_ok=True)
    return parent


def fill(template: str, values: dict[str, str]) -> str:
    """Puts values in for {{names}}; a paragraph with a value that is empty is left out."""
    kept = []
    for paragraph in template.strip().split("\n\n"):
        names = re.findall(r"\{\{(\w+)\}\}", paragraph)
        if unknown := [name for name in names if name not in values]:
            raise Failure(f"patches/cover-letter.txt has {{{{{unknown[0]}}}}}, which means nothing")
        if all(values[name] for name in names):
            kept.append(re.sub(r"\{\{(\w+)\}\}", lambda found: values[found[1]], paragraph))
    return "\n\n".join(kept) + "\n"


def pipe_table(path: Path) -> str:
    """The measured cost of a switch, from the benchmark's file; empty if it was not run.

    It begins with an empty line, so that in the template it is of its introduction's paragraph.
    """
    if not path.exists():
        return ""
    figures = [f for f in json.loads(path.read_text()) if f.get("bench") == "pipe"]
    if not figures:
        return ""
    cpus = sorted({f["cpus"] for f in figures})
    names = list(dict.fromkeys(f["class"] for f in figures))
    values = {(f["class"], f["cpus"]): f"{f['value']:.2f} ({f['spread']:.2f})" for f in figures}
    lines = ["  " + "class".ljust(14) + "".join(f"{n} CPU{'s' * (n > 1)}".rjust(16) for n in cpus)]
    for name in names:
        lines.append("  " + name.ljust(14) + "".join(values.get((name, n), "-").rjust(16) for n in cpus))
    return "\n" + "\n".join(lines)


def counted_lines() -> str:
    """What ci/count-lines prints, if there is such a script; like pipe_table()."""
    script = CHECKOUT / "ci/count-lines"
    if not script.exists():
        return ""
    printed = run([script]).decode().rstrip()
    return "\n" + "\n".join(f"  {line}".rstrip() for line in printed.splitlines()) if printed else ""


def base_words(base: str) -> str:
    """What the series stands on, in words that a tool can use where there is something to use."""
    version, tree = pristine.version(base), pristine.text("rev-parse", f"{base}^{{tree}}")
    if os.environ.get("LINUX_TREE"):
        return f"Linux {version}\n\nbase-commit: {base}"
    return f"Linux {version}, as Debian's linux-source package has it (tree {tree[:12]})."


def write_mails(base: str, tip: str) -> list[Path]:
    """Writes out/series/, the cover letter first; returns the patches."""
    values = {
        "version": pristine.version(base),
        "base": base_words(base),
        "pipe": pipe_table(OUT / "bench/pipe.json"),
        "lines": counted_lines(),
    }
    if not COVER.exists():
        raise Failure("there is no patches/cover-letter.txt to make the cover letter of")
    cover = WORK / f"cover.{os.getpid()}"
    cover.write_text(fill(COVER.read_text(), values))
    shutil.rmtree(SERIES, ignore_errors=True)
    SERIES.mkdir(parents=True)
    try:
        run(
            [
                "git", "format-patch", "-q", "--rfc", "--no-signature", "--zero-commit", "--no-renames",
                "--diff-algorithm=histogram", "--cover-letter", "--cover-from-description=subject",
                f"--description-file={cover}", "-o", SERIES, f"{base}..{tip}",
            ],
            env={"GIT_DIR": str(pristine.REPO), **identity(base)},
        )  # fmt: skip
    finally:
        cover.unlink(missing_ok=True)
    return sorted(path for path in SERIES.glob("*.patch") if not path.name.startswith("0000-"))


class Pristine:
    """A checkout of the pristine source of its own, kept in the cache from run to run."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.path = WORK / "linux"

    def git(self, *args: str | Path) -> str:
        """Runs git there, with nobody's configuration but its own."""
        who = {"GIT_COMMITTER_NAME": NAME, "GIT_COMMITTER_EMAIL": MAIL, "GIT_CONFIG_GLOBAL": "/dev/null"}
        return run(["git", "-C", self.path, *args], env=who).decode().strip()

    def reset(self) -> None:
        """Brings it back to the pristine commit."""
        if not (self.path / ".git/HEAD").exists():
            say("making a pristine checkout for the series (once, about a minute)")
            shutil.rmtree(self.path, ignore_errors=True)
            run(["git", "clone", "-q", "--shared", "--no-checkout", pristine.REPO, self.path])
            self.git("config", "gc.auto", "0")
        (self.path / ".git/index.lock").unlink(missing_ok=True)
        shutil.rmtree(self.path / ".git/rebase-apply", ignore_errors=True)
        self.git("checkout", "-q", "-f", "--detach", self.base)
        self.git("clean", "-fdxq")

    def tree(self) -> str:
        """The tree that is checked out."""
        return self.git("rev-parse", "HEAD^{tree}")


def check_am(checkout: Pristine, mails: Sequence[Path], tree: str) -> None:
    """Applies the mails with git am, and compares what comes out with the composed tree."""
    checkout.reset()
    for mail in mails:
        try:
            checkout.git("am", "-q", mail)
        except Failure as failure:
            reasons = re.findall(r"^error: (.*)$", str(failure), re.M)
            raise Failure(f"git am of {mail.name} fails: {'; '.join(reasons[:4]) or failure}") from None
    if checkout.tree() != tree:
        differs = checkout.git("diff", "--name-only", "HEAD", tree).splitlines()
        raise Failure(f"git am of the series gives another tree than ci/compose; {differs[0]} differs, for one")
    say(f"git am of {len(mails)} patches gives the composed tree {tree[:12]}")


def checkpatch(checkout: Pristine, mails: Sequence[Path]) -> None:
    """Runs checkpatch --strict over each mail; an error is one too many, the rest is reported."""
    checkout.reset()
    argv = ["perl", "scripts/checkpatch.pl", "--strict", "--terse", "--show-types", f"--ignore={','.join(IGNORED)}"]
    counts: Counter[str] = Counter()
    log: list[str] = []
    errors: list[str] = []
    for mail in mails:
        done = subprocess.run([*argv, str(mail)], cwd=checkout.path, capture_output=True, text=True, check=False)
        for line in done.stdout.splitlines():
            if found := re.search(r"\b(ERROR|WARNING|CHECK):(\w+):", line):
                log.append(line.replace(f"{SERIES}/", ""))
                counts[f"{found[1]} {found[2]}"] += 1
                errors += [log[-1]] * (found[1] == "ERROR")
        # Its status is 1 when it has something to say; what it cannot do it says on stderr.
        if done.returncode > 1 or (done.returncode and not done.stdout):
            raise Failure(f"checkpatch did not read {mail.name}: {done.stderr.strip() or done.returncode}")
    path = OUT / "log/series-checkpatch.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in log))
    if errors:
        raise Failure(f"checkpatch --strict has {len(errors)} errors, the first one: {errors[0]}")
    rest = ", ".join(f"{n} {kind}" for kind, n in counts.most_common())
    say(f"checkpatch --strict: no errors{f'; {rest} (see out/log/series-checkpatch.log)' if rest else ''}")


class Builds:
    """Compiles what the series touches, with Enoki and without, at each commit."""

    def __init__(self, checkout: Pristine, jobs: str) -> None:
        self.checkout = checkout
        self.jobs = jobs

    def make(self, objects: Path, *targets: str, **env: str) -> str:
        """Runs make; its errors become a Failure."""
        argv = ["make", "-s", f"-j{self.jobs}", "-C", self.checkout.path, f"O={objects}", "CC=ccache gcc", *targets]
        whole = {
            "KBUILD_BUILD_TIMESTAMP": "Thu Jan  1 00:00:00 UTC 2026",
            "CCACHE_DIR": str(CACHE / "ccache"),
            "CCACHE_NOHASHDIR": "1",
            **env,
        }
        return run(argv, env=whole).decode()

    def configure(self, enoki: bool) -> tuple[Path, bool]:
        """The object directory of one configuration; and whether Enoki is on in it."""
        objects = WORK / f"objects-{'y' if enoki else 'n'}"
        objects.mkdir(parents=True, exist_ok=True)
        wanted = kconfig.parse((CHECKOUT / "Kconfig.fragment").read_text())
        # What meets the class in kernel/sched, and nothing more: this is about objects.
        wanted |= dict.fromkeys(("64BIT", "SCHED_CORE", "SCHED_SMT", "CGROUPS", "CGROUP_SCHED", "UCLAMP_TASK"), "y")
        wanted |= dict.fromkeys(("DEBUG_KERNEL", "DEBUG_FS", "PROC_FS", "NO_HZ_FULL", "HOTPLUG_CPU", "KALLSYMS"), "y")
        wanted |= {"WERROR": "y", "DEBUG_ENOKI": "y", "RUST_DEBUG_ASSERTIONS": "n"}
        if not enoki:
            wanted |= {name: "n" for name in wanted if "ENOKI" in name}
        fragment = objects / "fragment"
        fragment.write_text(kconfig.render(wanted))
        self.make(objects, "allnoconfig", KCONFIG_ALLCONFIG=str(fragment))
        has = kconfig.parse((objects / ".config").read_text())
        if has.get("RUST") != "y":
            raise Failure("the series' build configuration has no CONFIG_RUST: is the build root whole?")
        return objects, has.get("SCHED_ENOKI") == "y"

    def one(self) -> str:
        """Builds the commit that is checked out; returns what was built."""
        done = []
        for enoki in (False, True):
            objects, is_on = self.configure(enoki)
            if enoki and not is_on:
                continue  # the option is not there yet, so the same was built already
            self.make(objects, "prepare")
            self.make(objects, *BUILT)
            done.append("y" if enoki else "n")
        return " and ".join(f"={value}" for value in done)


def build_each(checkout: Pristine, base: str, tip: str, first: int) -> None:
    """Builds every commit from the first one on; the first that fails ends it."""
    commits = pristine.text("rev-list", "--reverse", f"{base}..{tip}").split()
    builds = Builds(checkout, os.environ.get("ENOKI_JOBS") or str(len(os.sched_getaffinity(0))))
    checkout.reset()
    for number, commit in enumerate(commits, 1):
        if number < first:
            continue
        subject = pristine.text("show", "-s", "--format=%s", commit)
        checkout.git("checkout", "-q", "--detach", commit)
        try:
            built = builds.one()
        except Failure as failure:
            raise Failure(f"commit {number} of the series ({subject}) does not build: {failure}") from None
        say(f"{number}/{len(commits)} builds {built}: {subject}")


def main() -> int:
    """The command line of ci/series."""
    parser = argparse.ArgumentParser(
        prog="ci/series",
        description="Makes the RFC series in out/series/ and checks it: git am on a pristine checkout, "
        "the tree that comes out, checkpatch --strict.",
    )
    parser.add_argument("--build", action="store_true", help="also build each commit, with Enoki and without (slow)")
    parser.add_argument("--from", dest="first", type=int, default=1, metavar="N", help="with --build: start at patch N")
    parser.add_argument("--no-check", action="store_true", help="leave git am and checkpatch out")
    args = parser.parse_args()

    base, tree = pristine.commit(), compose.compose()
    if not ORDER.exists():
        raise Failure("there is no patches/series-order to say what the series is made of")
    commits = parse_order(ORDER.read_text())
    check_patches(commits, [path.name for path in compose.patches()])
    groups = distribute(commits, added(base, tree))
    with locked(CACHE / "build/series.lock", "making the series"):
        tip = make_commits(base, commits, groups)
        if (made := pristine.text("rev-parse", f"{tip}^{{tree}}")) != tree:
            differs = pristine.text("diff-tree", "-r", "--name-only", made, tree).splitlines()
            raise Failure(f"the series' tree is not the composed one; {differs[0]} differs (edited just now? try again)")
        mails = write_mails(base, tip)
        checkout = Pristine(base)
        if not args.no_check:
            check_am(checkout, mails, tree)
            checkpatch(checkout, mails)
        if args.build:
            build_each(checkout, base, tip, args.first)
    say(f"the series is in {SERIES.relative_to(CHECKOUT)}: {len(mails)} patches and 0000-cover-letter.patch")
    print(SERIES)
    return 0


if __name__ == "__main__":
    main_wrapper(main)
