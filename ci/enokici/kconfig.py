"""Merges configuration fragments and checks that the kernel gave what was asked for."""

import re
from pathlib import Path

from .common import Failure

# Symbols of Enoki's own; a pristine tree has none of them.
ENOKI = re.compile(r"^(SCHED_ENOKI|ENOKI|DEBUG_ENOKI|SAMPLE_ENOKI)")

Options = dict[str, str]


def parse(text: str) -> Options:
    """Reads NAME=value pairs of a fragment or .config; 'is not set' is the value n."""
    options: Options = {}
    for line in text.splitlines():
        if found := re.match(r"CONFIG_(\w+)=(.*)$", line):
            options[found[1]] = found[2].strip()
        elif found := re.match(r"# CONFIG_(\w+) is not set", line):
            options[found[1]] = "n"
    return options


def merge(files: list[Path], *, enoki: bool) -> Options:
    """One set of options from several fragments, the later ones winning."""
    options: Options = {}
    for path in files:
        options |= parse(path.read_text())
    return options if enoki else {k: v for k, v in options.items() if not ENOKI.match(k)}


def render(options: Options) -> str:
    """The options as a fragment that Kconfig reads."""
    return "".join(
        f"# CONFIG_{name} is not set\n" if value == "n" else f"CONFIG_{name}={value}\n"
        for name, value in sorted(options.items())
    )


def check(wanted: Options, config: str) -> None:
    """Fails with the list of options that did not end up as asked."""
    got = parse(config)
    wrong = [
        f"CONFIG_{name} is {got.get(name, 'n')}, wanted {value}"
        for name, value in sorted(wanted.items())
        if got.get(name, "n") != value
    ]
    if wrong:
        raise Failure(
            "the kernel's configuration is not what was asked (a missing dependency, or a symbol "
            "that this tree does not have):\n  " + "\n  ".join(wrong)
        )
