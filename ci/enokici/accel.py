"""Decides between KVM and software emulation by booting the very kernel once.

/dev/kvm may exist and be unusable: QEMU aborts, or the guest crawls. So a probe boots the
kernel with a short deadline. A yes holds for that kernel, a no for this host for a day.
"""

import contextlib
import hashlib
import io
import os
import platform
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from .common import CACHE, Failure, say

if TYPE_CHECKING:
    from .vm import Options

DEADLINE = 20.0
A_DAY = 86400


def _cpu() -> str:
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as info:
        for line in info:
            if line.startswith("model name"):
                return line
    return ""


def _fresh(path: Path, age: float) -> bool:
    return path.exists() and time.time() - path.stat().st_mtime < age


def choose(options: "Options") -> bool:
    """Whether to use KVM for this kernel on this host."""
    forced = os.environ.get("ENOKI_ACCEL", "")
    if forced not in ("", "tcg", "kvm"):
        raise Failure(f"ENOKI_ACCEL={forced} is neither tcg nor kvm")
    if forced == "tcg":
        return False
    usable = os.access("/dev/kvm", os.R_OK | os.W_OK)
    if forced == "kvm":
        if not usable:
            raise Failure("ENOKI_ACCEL=kvm, but /dev/kvm is not there or not accessible: join the group kvm")
        return True
    if not usable:
        return False
    host = hashlib.sha256(f"{platform.release()} {_cpu()}".encode()).hexdigest()[:12]
    answers = CACHE / "accel"
    no, yes = answers / f"no-{host}", answers / f"yes-{host}-{options.kernel.name}"
    if yes.exists() or _fresh(no, A_DAY):
        return yes.exists()
    answers.mkdir(parents=True, exist_ok=True)
    say(f"trying whether KVM boots this kernel (at most {DEADLINE:.0f} s, once)")
    works = probe(options)
    (yes if works else no).touch()
    say("KVM works and is used" if works else "KVM does not boot it; software emulation is used")
    return works


def probe(options: "Options") -> bool:
    """Boots the kernel with KVM and looks whether it came up, and under KVM."""
    from .vm import Vm

    words = io.StringIO()
    with contextlib.redirect_stderr(words):
        vm = Vm(replace(options, command=["true"], timeout=DEADLINE, verbose=False, append=()), use_kvm=True)
        status = vm.run()
    return status == 0 and "Hypervisor detected: KVM" in vm.log.read_text(errors="replace")
