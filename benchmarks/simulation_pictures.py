"""Draw what the simulated studies came to, from benchmarks/results to docs/images.

python benchmarks/simulation_pictures.py

Reads coverage.json, looks.json and tuning.json and simulates nothing. `fold_coverage.py` draws its
own picture.
"""

from __future__ import annotations

import json
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trials import ROOT

BLUE, ORANGE, GREY = "#0b62a8", "#c4560a", "#333333"


def rows_of(name: str, key: str) -> list[dict[str, Any]]:
    """Return the rows of a result."""
    file = ROOT / "benchmarks" / "results" / f"{name}.json"
    rows: list[dict[str, Any]] = json.loads(file.read_text())[key]
    return rows


def drawn(name: str, axes: list[Axes], figure: Figure) -> None:
    """Save a picture whose axes have no frame above and to the right."""
    for each in axes:
        each.spines[["top", "right"]].set_visible(False)
        each.legend(frameon=False, fontsize=8)
    figure.savefig(ROOT / "docs" / "images" / f"{name}.png", dpi=110)


def coverage() -> None:
    """Draw how often each interval holds the truth, by seeds and images."""
    rows = rows_of("coverage", "coverage")
    shapes = sorted({(r["seeds"], r["images"]) for r in rows})
    figure = Figure(figsize=(7, 3.4), layout="constrained")
    axes = figure.add_subplot()
    for key, marker, color, label in (
        ("held", "o", BLUE, "for new seeds and new images"),
        ("held_seeds_alone", "x", ORANGE, "for new seeds alone"),
    ):
        places = [shapes.index((r["seeds"], r["images"])) + i % 7 / 14 for i, r in enumerate(rows)]
        axes.scatter(places, [r[key] for r in rows], s=16, marker=marker, color=color, label=label)
    axes.axhline(95, color=GREY, linewidth=1)
    names = [f"{seeds} seeds\n{images} images" for seeds, images in shapes]
    axes.set_xticks([i + 0.2 for i in range(len(names))], names, fontsize=8)
    axes.set_ylabel("intervals that hold the truth, %")
    drawn("coverage", [axes], figure)


def looks() -> None:
    """Draw false verdicts by the number of looks, and what an effect needs to be called."""
    rows = rows_of("looks", "looks")
    figure = Figure(figsize=(7, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    null = [r for r in rows if r["kind"] == "null" and r["tricks"] == 5]
    for key, color, label in (
        ("either", BLUE, "planned looks"),
        ("either_at_5_percent", ORANGE, "each look at 5 %"),
    ):
        places = [r["looks"] for r in null]
        left.plot(places, [r[key] for r in null], marker="o", color=color, label=label)
    left.axhline(5, color=GREY, linewidth=1)
    left.set_xlabel("looks")
    left.set_ylabel("studies of 5 tricks without effect\nthat call one, %")
    power = [r for r in rows if r["kind"] == "saving" and r["with_effect"] == "all"]
    for count, color in ((5, BLUE), (10, ORANGE)):
        chosen = [r for r in power if r["looks"] == count]
        places = [r["effect"] for r in chosen]
        called, trials = ([r[key] for r in chosen] for key in ("called", "trials"))
        right.plot(places, called, marker="o", color=color, label=f"called, {count} looks")
        right.plot(places, trials, marker="x", ls="--", color=color, label=f"trials, {count} looks")
    right.set_xlabel("effect, standard deviations of a pair")
    right.set_ylabel("%")
    drawn("looks", [left, right], figure)


def tuning() -> None:
    """Draw how often a trick that brings nothing is said to help, untuned and tuned."""
    rows = [r for r in rows_of("tuning", "tuned") if not r["effect"] and r["curvature"]]
    figure = Figure(figsize=(7, 3.2), layout="constrained")
    panels: list[Axes] = list(figure.subplots(1, 2, sharey=True))
    for axes, curvature in zip(panels, sorted({r["curvature"] for r in rows}), strict=True):
        for shift, color in zip((0.0, 0.5, 1.0), (GREY, ORANGE, BLUE), strict=True):
            chosen = [r for r in rows if (r["curvature"], r["shift"]) == (curvature, shift)]
            seeds = [0, *(r["tune_seeds"] for r in chosen)]
            helps = [chosen[0]["helps_untuned"], *(r["helps_tuned"] for r in chosen)]
            axes.plot(seeds, helps, marker="o", color=color, label=f"shift {shift:g}")
        axes.axhline(2.5, color=GREY, linewidth=1)
        axes.set_title(f"curvature {curvature:g}", fontsize=9)
        axes.set_xlabel("tuning seeds (0: untuned)")
    panels[0].set_ylabel('"helps" without any effect, %')
    drawn("tuning", panels, figure)


if __name__ == "__main__":
    coverage()
    looks()
    tuning()
