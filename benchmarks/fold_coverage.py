"""Simulate studies on folds, and count how often their intervals hold the truth.

python benchmarks/fold_coverage.py

Two learners are trained and compared on K folds of n drawn examples, 2,000 times a row. The truth
is their expected difference on new data for training sets of n (K - 1) / K examples, by fresh
draws of both. Writes results/fold_coverage.json and docs/images/fold_coverage.png, in some three
minutes of one core. Shapes: R studies, S splits, K folds, M examples of a fold, D features.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trials import ROOT, keep
from trickbag.study.analysis.statistics import ALPHA, t_quantile

STUDIES, CHUNK = 2000, 50
TRUTH_SETS, TRUTH_TESTS, TRUTH_CHUNK = 6000, 500, 200
"""The training sets, and the new examples for each, by which the truth is known."""

SIZES = (60, 300)
SHAPES = ((3, 1), (5, 1), (10, 1), (3, 3), (5, 3), (5, 10), (10, 3))
"""Folds and splits."""

FEATURES = 10
PLACES = np.arange(FEATURES)
CORRELATED = np.linalg.cholesky(0.6 ** np.abs(PLACES[:, None] - PLACES)).T
"""What makes independent normal features correlated ones."""

Array = NDArray[np.float64]
Examples = tuple[Array, Array]
"""Features (R, N, D) and labels -1 or 1, (R, N): the first half of the examples, and the others."""


def draw(rng: np.random.Generator, studies: int, examples: int) -> Examples:
    """Draw two classes of equal size: correlated normal features around two means."""
    labels = np.repeat([-1.0, 1.0], examples // 2)
    # Neighbouring features are correlated, so that a learner which knows that wins with many.
    noise = rng.normal(size=(studies, examples, FEATURES)) @ CORRELATED
    features = noise + 0.35 * labels[:, None] * np.resize([1.0, 0.5, 0.0, -0.5], FEATURES)
    return features, np.broadcast_to(labels, (studies, examples))


def draw_symmetric(rng: np.random.Generator, studies: int, examples: int) -> Examples:
    """Draw two classes in which each feature tells as much as each other one."""
    labels = np.repeat([-1.0, 1.0], examples // 2)
    noise = rng.normal(size=(studies, examples, FEATURES))
    return noise + 0.35 * labels[:, None], np.broadcast_to(labels, (studies, examples))


@dataclass(frozen=True, kw_only=True)
class Ridge:
    """Least squares on the labels with a penalty, on some of the features.

    `width` random ReLU features take the place of the features where it is there: a seed draws
    them.
    """

    penalty: float
    columns: tuple[int, int] = (0, FEATURES)
    width: int | None = None

    def features(self, rng: np.random.Generator, x: Array) -> Callable[[Array], Array]:
        """Return what makes inputs (R, ..., D) of features, of a new seed for each study."""
        if self.width is None:
            return lambda values: _with_one(values[..., slice(*self.columns)])
        weights = rng.normal(size=(len(x), FEATURES, self.width)) / FEATURES**0.5
        shifts = rng.normal(size=(len(x), 1, self.width))
        return lambda values: _with_one(np.maximum(values @ weights + shifts, 0.0))

    def weights(self, gram: Array, products: Array, examples: int) -> Array:
        """Return the coefficients of sums of products (..., D, D) and (..., D)."""
        penalty = self.penalty * examples * np.eye(gram.shape[-1])
        penalty[-1, -1] = 1e-9  # the intercept
        solved: Array = np.linalg.solve(gram + penalty, products[..., None])[..., 0]
        return solved


@dataclass(frozen=True, kw_only=True)
class Centroid(Ridge):
    """The nearest of two class means, as a linear classifier."""

    def weights(self, gram: Array, products: Array, examples: int) -> Array:
        """Return the hyperplane between the means, which follow from the sums."""
        # The last feature is 1: its row of the Gram matrix has the sums of the features.
        total = gram[..., -1, :-1]
        first, second = ((total + sign * products[..., :-1]) / examples for sign in (1, -1))
        shift = ((second**2).sum(-1) - (first**2).sum(-1)) / 2
        return np.concatenate([first - second, shift[..., None]], -1)


def _with_one(values: Array) -> Array:
    return np.concatenate([values, np.ones((*values.shape[:-1], 1))], -1)


def top1(outputs: Array, labels: Array) -> Array:
    """Return the share of right answers over the last axis, in percent."""
    right: Array = 100.0 * (outputs * labels > 0).mean(-1)
    return right


def loss(outputs: Array, labels: Array) -> Array:
    """Return the mean squared error over the last axis."""
    error: Array = ((outputs - labels) ** 2).mean(-1)
    return error


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two learners, and what is compared."""

    name: str
    first: Ridge
    second: Ridge
    outcome: str = "top-1"
    seeds: int = 1
    null: bool = False
    draw: Callable[[np.random.Generator, int, int], Examples] = draw

    @property
    def score(self) -> Callable[[Array, Array], Array]:
        """What scores outputs (..., M) against labels."""
        return top1 if self.outcome == "top-1" else loss


WIDE, NARROW = Ridge(penalty=0.01, width=24), Ridge(penalty=0.01, width=8)
HALVES = (0, FEATURES // 2), (FEATURES // 2, FEATURES)
COMPARISONS = (
    Comparison(
        name="least squares, nearest centroid",
        first=Ridge(penalty=0.001),
        second=Centroid(penalty=0.0),
    ),
    Comparison(
        name="two penalties",
        first=Ridge(penalty=0.5),
        second=Ridge(penalty=0.001),
        outcome="loss",
    ),
    Comparison(
        name="equally good",
        first=Ridge(penalty=0.01, columns=HALVES[0]),
        second=Ridge(penalty=0.01, columns=HALVES[1]),
        null=True,
        draw=draw_symmetric,
    ),
    Comparison(name="24 or 8 random features", first=WIDE, second=NARROW),
    Comparison(name="24 or 8 random features", first=WIDE, second=NARROW, seeds=3),
)


def fold_means(
    comparison: Comparison, rng: np.random.Generator, examples: Examples, folds: int, splits: int
) -> Array:
    """Return the differences (R, S K) of studies, averaged over the seeds in each fold."""
    x, y = examples
    studies, n = y.shape
    arms = [
        learner
        for learner in (comparison.first, comparison.second)
        for _ in range(comparison.seeds)
    ]
    means = []
    for _ in range(splits):
        # Stratified, as the folds of a study are: each class is shuffled, and dealt out.
        halves = [
            start + rng.permuted(np.tile(np.arange(n // 2), (studies, 1)), axis=1)
            for start in (0, n // 2)
        ]
        dealt = np.concatenate([half.reshape(studies, -1, folds) for half in halves], axis=1)
        order = dealt.transpose(0, 2, 1).reshape(studies, n)
        shape = studies, folds, n // folds
        x_RKMD = np.take_along_axis(x, order[..., None], 1).reshape(*shape, -1)
        y_RKM = np.take_along_axis(y, order, 1).reshape(shape)
        values = [
            comparison.score(_outputs(learner, rng, x_RKMD, y_RKM), y_RKM) for learner in arms
        ]
        half = comparison.seeds
        means.append(np.mean(values[:half], 0) - np.mean(values[half:], 0))
    return np.concatenate(means, 1)


def _outputs(learner: Ridge, rng: np.random.Generator, x_RKMD: Array, y_RKM: Array) -> Array:
    """Return the outputs (R, K, M) on each fold of a learner that was trained on the others."""
    studies, folds, size, width = x_RKMD.shape
    flat = x_RKMD.reshape(studies, folds * size, width)
    outputs = np.empty((studies, folds, size))
    features = None
    for fold in range(folds):
        # As in a study each fold of each split has seeds of its own.
        if features is None or learner.width is not None:
            mapped = learner.features(rng, flat)
            features = mapped(flat).reshape(studies, folds, size, -1)
            grams = features.swapaxes(-1, -2) @ features
            products = (y_RKM[..., None, :] @ features)[..., 0, :]
        # Sums over all folds but one.
        gram, product = (part.sum(1) - part[:, fold] for part in (grams, products))
        weights = learner.weights(gram, product, (folds - 1) * size)
        outputs[:, fold] = (features[:, fold] @ weights[..., None])[..., 0]
    return outputs


def truth(comparison: Comparison, size: int, rng: np.random.Generator) -> tuple[float, float]:
    """Return the expected difference for training sets of a size, and its standard error."""
    if comparison.null:
        return 0.0, 0.0
    differences = []
    for _ in range(TRUTH_SETS // TRUTH_CHUNK):
        x, y = comparison.draw(rng, TRUTH_CHUNK, size)
        new_x, new_y = comparison.draw(rng, TRUTH_CHUNK, TRUTH_TESTS)
        scores = []
        for learner in (comparison.first, comparison.second):
            features = learner.features(rng, x)
            inputs = features(x)
            gram, products = inputs.swapaxes(-1, -2) @ inputs, (y[:, None] @ inputs)[:, 0]
            weights = learner.weights(gram, products, size)
            scores.append(comparison.score((features(new_x) @ weights[..., None])[..., 0], new_y))
        differences.append(scores[0] - scores[1])
    values = np.concatenate(differences)
    return float(values.mean()), float(values.std() / len(values) ** 0.5)


def row(
    comparison: Comparison, size: int, folds: int, splits: int, true: tuple[float, float], seed: Any
) -> dict[str, Any]:
    """Simulate the studies of one row."""
    rng = np.random.default_rng(seed)
    tables = [
        fold_means(comparison, rng, comparison.draw(rng, CHUNK, size), folds, splits)
        for _ in range(STUDIES // CHUNK)
    ]
    table = np.concatenate(tables)
    count = folds * splits
    mean, sd = table.mean(1), table.std(1, ddof=1)
    with_interval = np.ptp(table, 1) > 1e-9
    error, sd = np.abs(mean - true[0])[with_interval], sd[with_interval]
    quantile = t_quantile(1 - ALPHA / 2, count - 1)
    corrected = quantile * sd * (1 / count + 1 / (folds - 1)) ** 0.5
    plain = quantile * sd / count**0.5
    fewer = t_quantile(1 - ALPHA / 2, folds - 1) * sd * (1 / count + 1 / (folds - 1)) ** 0.5
    spread = 1.96 * mean.std()
    return {
        "learners": comparison.name,
        "outcome": comparison.outcome,
        "examples": size,
        "folds": folds,
        "splits": splits,
        "seeds": comparison.seeds,
        "truth": round(true[0], 4),
        "truth_error": round(true[1], 4),
        "held": percent(error <= corrected),
        "width": round(float(np.median(corrected) / spread), 2),
        "held_plain": percent(error <= plain),
        "plain_width": round(float(np.median(plain) / spread), 2),
        "held_freedom_of_folds": percent(error <= fewer),
        "without_interval": percent(~with_interval),
    }


def percent(values: Any) -> float:
    return round(100 * float(np.mean(values)), 1)


def picture(rows: list[dict[str, Any]]) -> None:
    """Draw how often the corrected and the plain interval hold the truth, by folds and splits."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.4), layout="constrained")
    axes = figure.add_subplot()
    shapes = list(dict.fromkeys((r["folds"], r["splits"]) for r in rows))
    for key, marker, color, label in (
        ("held", "o", "#0b62a8", "corrected"),
        ("held_plain", "x", "#c4560a", "plain t interval"),
    ):
        points = [(shapes.index((r["folds"], r["splits"])), r[key]) for r in rows]
        places = [x + (i % 15 - 7) / 40 for i, (x, _) in enumerate(points)]
        axes.scatter(places, [y for _, y in points], s=16, marker=marker, color=color, label=label)
    axes.axhline(95, color="#333333", linewidth=1)
    names = [f"{k} folds\n{s} split{'s' * (s > 1)}" for k, s in shapes]
    axes.set_xticks(range(len(names)), names, fontsize=8)
    axes.set_ylabel("intervals that hold the truth, %")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower left")
    figure.savefig(ROOT / "docs" / "images" / "fold_coverage.png", dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, help="the first rows alone; nothing is written")
    most = parser.parse_args().rows
    rows: list[dict[str, Any]] = []
    for i, comparison in enumerate(COMPARISONS):
        for size in SIZES:
            known: dict[int, tuple[float, float]] = {}
            for folds, splits in SHAPES:
                if most is not None and len(rows) >= most:
                    return
                if folds not in known:
                    rng = np.random.default_rng((7, i, size, folds))
                    known[folds] = truth(comparison, size - size // folds, rng)
                seed = (20, i, size, folds, splits)
                rows.append(row(comparison, size, folds, splits, known[folds], seed))
                print(rows[-1], flush=True)
    keep(
        "fold_coverage",
        "intervals of differences between learners on folds, simulated",
        "benchmarks/fold_coverage.py",
        studies=STUDIES,
        fold_coverage=rows,
    )
    picture(rows)


if __name__ == "__main__":
    main()
