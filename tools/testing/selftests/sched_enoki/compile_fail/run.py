#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Checks that what libEnoki forbids does not build.

Each .rs file here says in a line "//@ expect: WHAT" how it must fail: with an
error's code, a lint's name or a message in quotes; "ok" must build. All are
compiled against the user-space libEnoki as Kbuild compiles policies: without
std and with unsafe code forbidden. Files given as arguments are policies,
which must build and pass the lints. Output is TAP.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOP = HERE.parents[4]
LIBRARY = TOP / "tools/enoki-replay/libenoki.rs"
LINTS = [
    "clippy::disallowed_types",
    "clippy::disallowed_methods",
]
# Where zerocopy was built for user space.
CRATES = ["-L", os.environ.get("ENOKI_CRATES", "."), "--extern", "zerocopy", "--extern", "zerocopy_derive"]
ENV = {**os.environ, "CLIPPY_CONF_DIR": str(HERE), "RUSTC_BOOTSTRAP": "1"}


def diagnostics(command):
    """The errors a compiler reports, as a list of (code, message)."""
    done = subprocess.run(command, env=ENV, capture_output=True, text=True, check=False)
    errors = []
    for line in done.stderr.splitlines():
        try:
            report = json.loads(line)
        except ValueError:
            continue
        if report.get("level") == "error":
            code = report.get("code") or {}
            errors.append((code.get("code", ""), report["message"]))
    if done.returncode and not errors:
        errors.append(("", done.stderr.strip()[-500:] or f"exit status {done.returncode}"))
    return errors


def compile_policy(source, work):
    """The errors of the compiler for a policy, or else those of the lints."""
    flags = [
        "--edition=2021", "--crate-type=lib", "--error-format=json", "-Zcrate-attr=no_std",
        "-Funsafe_code", "-Clink-dead-code", *CRATES, "--extern", f"enoki={work}/libenoki.rlib", "--out-dir", str(work),
    ]
    # The compiler proper as well, because lints need no code to be generated.
    errors = diagnostics(["rustc", *flags, "--emit=obj", str(source)])
    if errors:
        return errors
    lints = [f"-F{lint}" for lint in LINTS]
    return diagnostics(["clippy-driver", *flags, "--emit=metadata", *lints, str(source)])


def matches(expected, errors):
    if expected == "ok":
        return not errors
    if expected.startswith('"'):
        return any(expected.strip('"') in message for _, message in errors)
    return any(code == expected for code, _ in errors)


def main():
    cases = []
    for source in sorted(HERE.glob("*.rs")):
        found = re.search(r"^//@ expect: (.*)$", source.read_text(), re.M)
        cases.append((source, found[1].strip() if found else "no expectation"))
    cases += [(Path(name).resolve(), "ok") for name in sys.argv[1:]]

    print("TAP version 13")
    print(f"1..{len(cases)}")
    failed = 0
    with tempfile.TemporaryDirectory() as work:
        errors = diagnostics([
            "rustc", "--edition=2021", "--crate-name=enoki", "--crate-type=rlib", *CRATES,
            "--error-format=json", "--out-dir", work, str(LIBRARY),
        ])
        if errors:
            print(f"Bail out! libEnoki does not build: {errors}")
            return 1
        for number, (source, expected) in enumerate(cases, 1):
            errors = compile_policy(source, work)
            good = matches(expected, errors)
            failed += not good
            print(f"{'ok' if good else 'not ok'} {number} {source.stem}: {expected}")
            if not good:
                for code, message in errors or [("", "it builds")]:
                    print(f"# {code} {message}".replace("\n", "\n# "))
    print(f"# Totals: pass:{len(cases) - failed} fail:{failed}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
