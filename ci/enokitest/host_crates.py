"""The kernel tree's zerocopy for user space, which libEnoki's twin is built with.

Prints the directory that has it: libzerocopy.rlib and libzerocopy_derive.so. Built once for each
state of its source and of the compiler.
"""

import subprocess
from pathlib import Path

from enokici import compose, pristine
from enokici.common import Failure, main_wrapper

from . import prepare

# As rust/Makefile builds them, each with those before it.
CRATES = (
    ("proc_macro2", "proc-macro2/lib.rs", "rlib", ("proc-macro",), ("wrap_proc_macro",)),
    ("quote", "quote/lib.rs", "rlib", ("proc-macro",), ()),
    (
        "syn",
        "syn/lib.rs",
        "rlib",
        ("clone-impls", "derive", "full", "parsing", "printing", "proc-macro", "visit", "visit-mut"),
        (),
    ),
    ("zerocopy_derive", "zerocopy-derive/lib.rs", "proc-macro", (), ("zerocopy_unstable_linux",)),
    ("zerocopy", "zerocopy/src/lib.rs", "rlib", (), ()),
)
SOURCES = ["rust/" + path.split("/", maxsplit=1)[0] for _, path, *_ in CRATES]
ENV = {"PATH": "/usr/bin:/bin", "RUSTC_BOOTSTRAP": "1", "CARGO_PKG_VERSION": "0.8"}


def command(name: str, path: Path, kind: str, features: tuple[str, ...], cfgs: tuple[str, ...]) -> list[str]:
    """How a crate is compiled in a directory that has those which it needs."""
    argv = ["rustc", "--edition", "2021", "-O", "--cap-lints", "allow", "--crate-type", kind, "--crate-name", name]
    for cfg in (*(f'feature="{feature}"' for feature in features), *cfgs):
        argv += ["--cfg", cfg]
    for other, _, other_kind, *_ in CRATES:
        if other == name:
            break
        if other_kind == "rlib":
            argv += ["--extern", other]
    if kind == "proc-macro":
        argv += ["--extern", "proc_macro"]
    return [*argv, "-L", ".", str(path)]


def build() -> Path:
    """Builds them where they have not been, and says where they are."""
    tree = compose.compose(with_overlay=False)

    def make(scratch: Path) -> Path:
        source, made = scratch / "source", scratch / "made"
        compose.export(tree, source, SOURCES)
        made.mkdir()
        for name, path, *rest in CRATES:
            argv = command(name, source / "rust" / path, *rest)
            done = subprocess.run(argv, cwd=made, env=ENV, capture_output=True, text=True, check=False)
            if done.returncode:
                raise Failure(f"{name} does not build: {done.stderr.strip()[-2000:]}")
        return made

    made_of = pristine.text("ls-tree", "-d", tree, *SOURCES) + Path(__file__).read_text()
    return prepare.built_once("zerocopy", made_of, make)


def main() -> int:
    """The command line."""
    print(build())
    return 0


if __name__ == "__main__":
    main_wrapper(main)
