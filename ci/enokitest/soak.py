"""ci/soak MINUTES: everything at once, on the debug kernel or another one, until the time is over."""

import argparse
import os
from collections.abc import Sequence

from enokici import build as kernels
from enokici.common import CHECKOUT, Failure, main_wrapper, say

from . import machine, prepare, userspace

# Kernels without Enoki, for another machine, or whose detector has to be switched on.
NOT_FOR_THIS = {"n", "arm64", "kcsan"}
FLAVOURS = [
    name for name, flavour in kernels.FLAVOURS.items() if flavour.enoki and NOT_FOR_THIS.isdisjoint(flavour.configs)
]


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="ci/soak", description=__doc__)
    parser.add_argument("minutes", metavar="MINUTES", type=float, nargs="?", default=30)
    parser.add_argument("--cpus", type=int, default=4)
    parser.add_argument("--kernel", default="debug", help=f"one of {', '.join(FLAVOURS)} (default: debug)")
    args = parser.parse_args(words)
    if args.minutes <= 0:
        parser.error("MINUTES is a positive number")
    if args.kernel not in FLAVOURS:
        parser.error(f"there is no kernel {args.kernel} to soak: give one of {', '.join(FLAVOURS)}")
    return args


def main() -> int:
    """Boots and lets soak_guest do it; the machine must report nothing."""
    args = arguments()
    kernel = kernels.build(args.kernel)
    prepare.selftests(kernel)
    library = userspace.build() / "release/libenoki_client.so"
    say(f"soaking the {args.kernel} kernel for {args.minutes:g} minutes on {args.cpus} CPUs")
    seed = os.environ.get("SEED") or str(int.from_bytes(os.urandom(4), "little"))
    ended = machine.boot(
        ["python3", "-m", "enokitest.soak_guest", str(args.minutes * 60), seed],
        log="soak.log",
        # Ending takes a while when everything is busy.
        options=[
            "--kernel", args.kernel, "--cpus", str(args.cpus), "--mem", "3G",
            "--timeout", str(args.minutes * 60 + 900),
        ],  # fmt: skip
        show=lambda line: print(line, flush=True),
        env={
            "PYTHONPATH": str(CHECKOUT / "ci"), "PYTHONDONTWRITEBYTECODE": "1",
            "TEST_MODULES": str(kernel / "test_modules"), "ENOKI_CLIENT_LIBRARY": str(library),
        },  # fmt: skip
    )
    if ended.problem:
        raise Failure(f"{ended.problem}; everything it said is in {ended.log.relative_to(CHECKOUT)}")
    if ended.status:
        raise Failure(f"the soak found something (above); SEED={seed}")
    say(f"soaked for {args.minutes:g} minutes: every task ended, no policy kept one, the kernel reported nothing")
    return 0


if __name__ == "__main__":
    main_wrapper(main)
