"""Simulate studies that are looked at while they grow: false verdicts, and trials that are saved.

python benchmarks/looks.py

Writes results/looks.json: 2,000 studies a row, in seconds. All tricks are compared with the runs of
one full recipe, as in a leave-one-out study. Shapes: R studies, T tricks, N seeds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from trials import keep
from trickbag.study.analysis.looks import spent
from trickbag.study.analysis.statistics import ALPHA

STUDIES, SEEDS = 2000, 30
LOOKS = (1, 2, 5, 10)
TRICKS = (1, 5, 9)
EFFECTS = (0.0, 0.5, 1.0, 1.5, 2.5)
"""Effects in standard deviations of a paired difference."""
Array = NDArray[np.float64]
Spending = Callable[[float], float]


def pocock(share: float) -> float:
    """Return what may be spent by the function that resembles Pocock's bounds."""
    return ALPHA * math.log(1 + (math.e - 1) * share)


def adjusted(p_RT: Array) -> Array:
    """Adjust p-values by Holm in each study."""
    order = np.argsort(p_RT, axis=1)
    factors = p_RT.shape[1] - np.arange(p_RT.shape[1])
    steps = np.minimum(1, np.take_along_axis(p_RT, order, 1) * factors)
    holm = np.empty_like(p_RT)
    np.put_along_axis(holm, order, np.maximum.accumulate(steps, axis=1), 1)
    return holm


def differences(rng: np.random.Generator, effects: Array) -> Array:
    """Draw paired differences (R, T, N) with a standard deviation of 1, of one full recipe."""
    full = rng.normal(size=(STUDIES, 1, SEEDS))
    return (full - rng.normal(size=(STUDIES, len(effects), SEEDS))) / math.sqrt(2) + effects[
        :, None
    ]


def p_values(differences_RTn: Array) -> tuple[Array, Array]:
    """Return the p of the paired t tests, and the direction of the differences."""
    n = differences_RTn.shape[-1]
    t = differences_RTn.mean(-1) / (differences_RTn.std(-1, ddof=1) / math.sqrt(n))
    return 2 * special.stdtr(n - 1, -np.abs(t)), np.sign(t)


def look(table: Array, looks: int, spending: Spending | None) -> tuple[Array, Array]:
    """Return the direction of each verdict (0 without one), and the seeds that each arm had.

    Without a spending function every look tests at 5 %, as if it were the only one.
    """
    shape = table.shape[:2]
    verdicts, stopped, before = np.zeros(shape), np.full(shape, SEEDS), 0.0
    for k in range(1, looks + 1):
        seeds = SEEDS * k // looks
        p, direction = p_values(table[..., :seeds])
        level = ALPHA
        if spending is not None:
            level, before = spending(k / looks) - before, spending(k / looks)
        new = (adjusted(p) < level) & (verdicts == 0)
        verdicts[new], stopped[new] = direction[new], seeds
    return verdicts, stopped


def null_row(tricks: int, looks: int) -> dict[str, Any]:
    """Count the studies without any effect in which a trick is called."""
    rng = np.random.default_rng((30, tricks, looks))
    table = differences(rng, np.zeros(tricks))
    planned, _ = look(table, looks, spent)
    today, _ = look(table, looks, None)
    return {
        "kind": "null",
        "tricks": tricks,
        "looks": looks,
        "helps": percent((planned > 0).any(1)),
        "either": percent((planned != 0).any(1)),
        "helps_at_5_percent": percent((today > 0).any(1)),
        "either_at_5_percent": percent((today != 0).any(1)),
    }


def saving_row(looks: int, effect: float, settled: str) -> dict[str, Any]:
    """Count trials and verdicts of a study that stops its arms; all five or one have an effect."""
    effects = np.zeros(5)
    effects[: 5 if settled == "all" else 1] = effect
    table = differences(np.random.default_rng((31, looks, round(10 * effect))), effects)
    row: dict[str, Any] = {
        "kind": "saving",
        "looks": looks,
        "effect": effect,
        "with_effect": settled,
    }
    first = slice(0, 5 if settled == "all" else 1)
    for name, spending in (("", spent), ("_pocock", pocock)):
        verdicts, stopped = look(table, looks, spending)
        # The full recipe goes on while any arm does.
        trials = stopped.sum(1) + stopped.max(1)
        row[f"trials{name}"] = percent(trials / (6 * SEEDS))
        row[f"called{name}"] = percent(verdicts[:, first] > 0)
        # Of arms that were stopped early the estimate is too large.
        early = (stopped < SEEDS)[:, first]
        means = [table[r, t, : stopped[r, t]].mean() for r, t in np.argwhere(early)[:1000].tolist()]
        row[f"estimate{name}"] = round(float(np.mean(means)), 2) if means else None
    row["called_once"] = percent(look(table, 1, spent)[0][:, first] > 0)
    return row


def percent(values: Any) -> float:
    return round(100 * float(np.mean(values)), 1)


def main() -> None:
    rows = [null_row(tricks, looks) for tricks in TRICKS for looks in LOOKS]
    rows += [
        saving_row(looks, effect, settled)
        for looks in (5, 10)
        for settled in ("all", "one")
        for effect in EFFECTS[1:]
    ]
    for row in rows:
        print(row, flush=True)
    keep(
        "looks",
        "studies that are looked at while they grow, simulated",
        "benchmarks/looks.py",
        studies=STUDIES,
        seeds=SEEDS,
        looks=rows,
    )


if __name__ == "__main__":
    main()
