"""ci/run-demo: builds what is needed, boots, and lets demo_guest show what happens."""

import os

from enokici import build as kernels
from enokici.common import CHECKOUT, Failure, main_wrapper, say

from . import machine, prepare


def main() -> int:
    """POLICY and CMD come from the environment, as make passes them."""
    command = os.environ.get("CMD", "")
    policy = os.environ.get("POLICY") or "enoki_wfq"
    kernel = kernels.build("release")
    prepare.selftests(kernel)
    say("booting the release kernel in a virtual machine" + ("" if command else "; this takes some minutes"))
    words = ["python3", "-m", "enokitest.demo_guest"]
    if command:
        words += ["--policy", policy, "--command", command]
    cpus = os.environ.get("CPUS") or "2"
    ended = machine.boot(
        words,
        log="run-demo.log",
        options=["--kernel", "release", "--cpus", cpus, "--timeout", os.environ.get("TIMEOUT") or "1800"],
        show=lambda line: print(line, flush=True),
        env={"PYTHONPATH": str(CHECKOUT / "ci"), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    if ended.problem:
        raise Failure(f"{ended.problem}; everything it said is in {ended.log.relative_to(CHECKOUT)}")
    return ended.status


if __name__ == "__main__":
    main_wrapper(main)
