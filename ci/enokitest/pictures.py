"""Draws what benchmarks measured: a PNG and an SVG of each figure, in out/bench/."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib import rcParams
from matplotlib.figure import Figure

# The same figures give the same file.
rcParams["svg.hashsalt"] = "enoki"

# Colours that people who see few of them can tell apart (Okabe and Ito).
COLOURS = ("#000000", "#E69F00", "#56B4E9", "#009E73", "#0072B2", "#CC79A7", "#D55E00")
MARKS = "os^vDPX"


@dataclass
class Panel:
    """Lines over the same axis."""

    title: str
    across: str
    upwards: str
    lines: dict[str, Sequence[tuple[float, float]]]
    logarithmic: bool = False
    stepped: bool = False


def draw(path: Path, title: str, panels: Sequence[Panel]) -> list[Path]:
    """Draws the panels side by side into PATH.png and PATH.svg."""
    figure = Figure(figsize=(5.5 * len(panels), 4.2))
    axes = figure.subplots(1, len(panels), squeeze=False)
    names = list(dict.fromkeys(name for panel in panels for name in panel.lines))
    for axis, panel in zip(axes[0], panels, strict=True):
        for name, points in panel.lines.items():
            number = names.index(name)
            axis.plot(
                *zip(*points, strict=True), label=name, color=COLOURS[number % len(COLOURS)],
                marker=None if panel.stepped else MARKS[number % len(MARKS)], markersize=4, linewidth=1.2,
                drawstyle="steps-post" if panel.stepped else "default",
            )  # fmt: skip
        axis.set(title=panel.title, xlabel=panel.across, ylabel=panel.upwards)
        if panel.logarithmic:
            axis.set_yscale("log")
        else:
            axis.set_ylim(bottom=0)
        axis.grid(True, which="major", linewidth=0.3)
    handles = {}
    for axis in axes[0]:
        for handle, name in zip(*axis.get_legend_handles_labels(), strict=True):
            handles.setdefault(name, handle)
    figure.suptitle(title, fontsize=10)
    figure.legend(handles.values(), handles.keys(), loc="lower center", ncols=len(handles), fontsize=8, frameon=False)
    figure.tight_layout(rect=(0, 0.06, 1, 1))
    return _saved(figure, path)


def bars(path: Path, title: str, kinds: Sequence[str], unit: str, values: dict[str, Sequence[float]]) -> list[Path]:
    """Draws for each name a bar of each kind, on a logarithmic axis, into PATH.png and PATH.svg."""
    figure = Figure(figsize=(1.1 * len(values) + 2, 4.2))
    axis = figure.subplots()
    width = 0.8 / len(kinds)
    for number, kind in enumerate(kinds):
        places = [place + width * (number - (len(kinds) - 1) / 2) for place in range(len(values))]
        drawn = axis.bar(places, [v[number] for v in values.values()], width, label=kind, color=COLOURS[number + 1])
        axis.bar_label(drawn, fmt="%.0f", fontsize=7)
    axis.set_xticks(range(len(values)), list(values), rotation=20, ha="right", fontsize=8)
    axis.set(yscale="log", ylabel=unit)
    axis.grid(True, axis="y", which="major", linewidth=0.3)
    axis.legend(frameon=False, fontsize=8)
    figure.suptitle(title, fontsize=10)
    figure.tight_layout()
    return _saved(figure, path)


def _saved(figure: Figure, path: Path) -> list[Path]:
    path.parent.mkdir(parents=True, exist_ok=True)
    made = [path.with_suffix(".png"), path.with_suffix(".svg")]
    figure.savefig(made[0], dpi=150, metadata={"Software": None})
    figure.savefig(made[1], metadata={"Date": None})
    return made
