"""Simulate studies whose arms are tuned first: false verdicts without and with tuning, and power.

python benchmarks/tuning.py

Writes results/tuning.json: 10,000 studies a row, in seconds. The score of an arm falls with the
square of the distance from its best learning rate, on a logarithmic scale whose unit is the step of
a grid `0.3x,1x,3x`; `curvature` is the loss at one step. The recipe is at its best with the trick,
and `shift` steps off without it: tuned to the trick, as recipes are. Numbers are in standard
deviations of a paired difference. Shapes: R studies, G values of the grid, N seeds.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from looks import Array, p_values, percent
from trials import keep
from trickbag.study.analysis.statistics import ALPHA, t_quantile

STUDIES, SEEDS = 10_000, 5
GRID = np.array([-1.0, 0.0, 1.0])
UNTUNED = 1
SHIFTS = (0.0, 0.5, 1.0)
CURVATURES = (0.0, 1.0, 3.0)
TUNE_SEEDS = (1, 2, 3, 5)
EFFECTS = (0.0, 1.5)
"""What the trick brings where both arms have their best rate."""


def trials(rng: np.random.Generator, levels_RG: Array, seeds: int) -> Array:
    """Draw scores (R, G, N) of which two differ with a standard deviation of 1."""
    shape = (*levels_RG.shape, seeds)
    return levels_RG[..., None] + rng.normal(size=shape) / np.sqrt(2)


def verdicts(scores_RN: Array, bare_RN: Array) -> Array:
    """Return the direction of each verdict of the paired t test at 5 %, 0 without one."""
    p_R, direction_R = p_values(scores_RN - bare_RN)
    return np.where(p_R < ALPHA, direction_R, 0.0)


def flagged(with_RN: Array, bare_RN: Array) -> Array:
    """Say whether the tuning trials of the untuned arms show that the trick helps."""
    differences_RN = with_RN - bare_RN
    seeds = differences_RN.shape[1]
    half_R = t_quantile(1 - ALPHA / 2, seeds - 1) * differences_RN.std(1, ddof=1) / np.sqrt(seeds)
    return differences_RN.mean(1) - half_R > 0


def row(shift: float, curvature: float, effect: float, tune_seeds: int) -> dict[str, Any]:
    """Simulate the studies of one row."""
    key = (40, round(10 * shift), round(10 * curvature), round(10 * effect), tune_seeds)
    rng = np.random.default_rng(key)
    curve = {"with": effect - curvature * GRID**2, "bare": -curvature * (GRID - shift) ** 2}
    levels = {arm: np.broadcast_to(each, (STUDIES, len(GRID))) for arm, each in curve.items()}
    tuning = {arm: trials(rng, levels[arm], tune_seeds) for arm in levels}
    chosen = {arm: tuning[arm].mean(2).argmax(1) for arm in levels}
    fresh = {arm: trials(rng, levels[arm], SEEDS) for arm in levels}
    studies = np.arange(STUDIES)
    tuned = {arm: fresh[arm][studies, chosen[arm]] for arm in levels}
    untuned = {arm: fresh[arm][:, UNTUNED] for arm in levels}
    before = verdicts(untuned["with"], untuned["bare"])
    after = verdicts(tuned["with"], tuned["bare"])
    # Both arms as they were: the comparison is the untuned one, and nothing is flagged.
    changed = (chosen["with"] != UNTUNED) | (chosen["bare"] != UNTUNED)
    marks = None
    if tune_seeds > 1:
        shown = flagged(tuning["with"][:, UNTUNED], tuning["bare"][:, UNTUNED])
        marks = percent(shown & changed & (after <= 0))
    best = {arm: each.max() for arm, each in curve.items()}
    return {
        "shift": shift,
        "curvature": curvature,
        "effect": effect,
        "tune_seeds": tune_seeds,
        "difference_untuned": round(float(curve["with"][UNTUNED] - curve["bare"][UNTUNED]), 2),
        "difference_best_on_grid": round(float(best["with"] - best["bare"]), 2),
        "helps_untuned": percent(before > 0),
        "helps_tuned": percent(after > 0),
        "hurts_tuned": percent(after < 0),
        "flagged": marks,
    }


def main() -> None:
    rows = [
        row(shift, curvature, effect, tune_seeds)
        for effect in EFFECTS
        for shift in SHIFTS
        for curvature in CURVATURES
        if curvature or not shift
        for tune_seeds in TUNE_SEEDS
    ]
    for each in rows:
        print(each, flush=True)
    keep(
        "tuning",
        "studies whose arms are tuned first, simulated",
        "benchmarks/tuning.py",
        studies=STUDIES,
        seeds=SEEDS,
        tuned=rows,
    )


if __name__ == "__main__":
    main()
