"""What of the build root goes into a kernel: the versions of its compilers, nothing else."""

from .common import run

# Packages whose version changes the bytes of a kernel.
COMPILERS = "gcc binutils rustc rust-src bindgen clang lld llvm pahole flex bison libc6-dev libelf-dev".split()


def identity() -> str:
    """One line per compiler package with its version."""
    return run(["dpkg-query", "-W", "-f", "${Package} ${Version}\n", *COMPILERS]).decode()
