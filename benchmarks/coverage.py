"""Simulate studies, and count how often intervals for new seeds and new images hold the truth.

python benchmarks/coverage.py

Writes results/coverage.json: 2,000 studies a row, in a minute of one core. Shapes: R studies, S
seeds, I images.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from trials import keep
from trickbag.study.analysis.images import Components, components, squared_half_width
from trickbag.study.analysis.statistics import ALPHA, t_quantile

STUDIES, CHUNK = 2000, 100
RESAMPLED, DRAWS, FEWEST_SEEDS = 500, 499, 10
"""The studies of a row that are bootstrapped, and the draws of each: resampling takes long."""
SHAPES = ((2, 500), (3, 500), (3, 50), (5, 50), (5, 500), (10, 50), (10, 200))
Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Scores:
    """How differences of single images are drawn, (R, S, I), and what their mean is."""

    name: str
    draw: Callable[[np.random.Generator, int, int, int, float], Array]
    truth: Callable[[float], float]
    image_effects: tuple[float, float]


def smooth(rng: np.random.Generator, studies: int, seeds: int, images: int, size: float) -> Array:
    """Draw normal differences, as of a score without steps and tails."""
    by_image = size * rng.normal(size=(studies, 1, images))
    return (
        0.05 * rng.normal(size=(studies, seeds, 1)) + by_image + noise(rng, studies, seeds, images)
    )


def noise(rng: np.random.Generator, studies: int, seeds: int, images: int) -> Array:
    return rng.normal(size=(studies, seeds, images))


def loss(rng: np.random.Generator, studies: int, seeds: int, images: int, size: float) -> Array:
    """Draw skewed differences: a lognormal effect of the image, as losses have."""
    by_image = size * (np.exp(rng.normal(size=(studies, 1, images))) - math.exp(0.5))
    by_seed = 0.05 * rng.normal(size=(studies, seeds, 1))
    return by_seed + by_image + rng.laplace(size=(studies, seeds, images))


TOP1 = {"base": 1.0, "image": 2.0, "seed": 0.05, "noise": 0.5}
"""The latent score of a right answer: its mean, and the deviations of its parts."""


def top1(rng: np.random.Generator, studies: int, seeds: int, images: int, size: float) -> Array:
    """Draw differences of right answers in percent: -100, 0 or 100.

    The effect of the trick on the latent score of an image has this deviation.
    """
    latent = TOP1["base"] + TOP1["image"] * rng.normal(size=(studies, 1, images))
    effect = size * (1 + rng.normal(size=(studies, 1, images)))
    right = []
    for shift in (effect, 0.0):
        by_seed = TOP1["seed"] * rng.normal(size=(studies, seeds, 1))
        right.append(
            latent + shift + by_seed + TOP1["noise"] * noise(rng, studies, seeds, images) > 0
        )
    return 100.0 * (right[0].astype(float) - right[1])


def top1_truth(size: float) -> float:
    """Return the difference over all seeds and images, in percent."""
    variance = TOP1["image"] ** 2 + TOP1["seed"] ** 2 + TOP1["noise"] ** 2
    with_trick = special.ndtr((TOP1["base"] + size) / math.sqrt(variance + size**2))
    return float(100 * (with_trick - special.ndtr(TOP1["base"] / math.sqrt(variance))))


SCORES = (
    Scores(name="normal", draw=smooth, truth=lambda _: 0.0, image_effects=(0.0, 1.0)),
    Scores(name="loss", draw=loss, truth=lambda _: 0.0, image_effects=(0.0, 0.5)),
    Scores(name="top-1", draw=top1, truth=top1_truth, image_effects=(0.0, 1.0)),
)


def bootstrap(rng: np.random.Generator, table_SI: Array) -> tuple[float, float]:
    """Return the interval of the pigeonhole bootstrap: seeds and images are drawn again apart.

    Source: Owen 2007, "The pigeonhole bootstrap".
    """
    seeds, images = table_SI.shape
    of_seeds = rng.multinomial(seeds, np.full(seeds, 1 / seeds), DRAWS)
    of_images = rng.multinomial(images, np.full(images, 1 / images), DRAWS)
    means = ((of_seeds @ table_SI) * of_images).sum(1) / table_SI.size
    low, high = np.quantile(means, [ALPHA / 2, 1 - ALPHA / 2])
    return float(low), float(high)


def satterthwaite(table_RSI: Array, parts: Components) -> Array:
    """Return half widths by one variance with common degrees of freedom, which we do not use."""
    _, seeds, images = table_RSI.shape
    total = parts.of_seeds + parts.of_images
    mean = table_RSI.mean((1, 2), keepdims=True)
    residual = (
        table_RSI - table_RSI.mean(2, keepdims=True) - table_RSI.mean(1, keepdims=True) + mean
    )
    freedom_of_rest = (seeds - 1) * (images - 1)
    rest = (residual**2).sum((1, 2)) / freedom_of_rest / (seeds * images)
    squares = parts.of_seeds**2 / (seeds - 1) + (parts.of_images + rest) ** 2 / (images - 1)
    squares += rest**2 / freedom_of_rest
    freedom = np.maximum(1.0, total**2 / np.maximum(squares, 1e-300))
    half: Array = special.stdtrit(freedom, 1 - ALPHA / 2) * np.sqrt(total)
    return half


def row(
    scores: Scores, seeds: int, images: int, size: float, rng: np.random.Generator
) -> dict[str, Any]:
    """Simulate the studies of one row."""
    truth = scores.truth(size)
    means, ours, of_seeds, sums, resampled = [], [], [], [], []
    for _ in range(STUDIES // CHUNK):
        table = scores.draw(rng, CHUNK, seeds, images, size)
        parts = components(table)
        means.append(parts.mean)
        ours.append(np.sqrt(squared_half_width(parts, seeds, images)))
        of_seeds.append(t_quantile(1 - ALPHA / 2, seeds - 1) * np.sqrt(parts.of_seeds))
        sums.append(satterthwaite(table, parts))
        if seeds >= FEWEST_SEEDS and len(resampled) < RESAMPLED:
            resampled += [bootstrap(rng, each) for each in table]
    mean = np.concatenate(means)
    # A study whose seeds all agree has no interval, here as in the product.
    with_interval = np.concatenate(of_seeds) > 0
    error = np.abs(mean - truth)[with_interval]
    half = np.concatenate(ours)[with_interval]
    entry = {
        "scores": scores.name,
        "seeds": seeds,
        "images": images,
        "image_effect": "strong" if size else "none",
        "held": percent(error <= half),
        "held_seeds_alone": percent(error <= np.concatenate(of_seeds)[with_interval]),
        "held_satterthwaite": percent(error <= np.concatenate(sums)[with_interval]),
        "width": round(float(np.median(half) / (1.96 * mean.std())), 2),
        "without_interval": percent(~with_interval),
        "held_bootstrap": None,
        "bootstrap_width": None,
    }
    if resampled:
        low, high = np.array(resampled).T
        entry["held_bootstrap"] = percent((low <= truth) & (truth <= high))
        entry["bootstrap_width"] = round(float(np.median(high - low) / (2 * 1.96 * mean.std())), 2)
    return entry


def percent(values: Any) -> float:
    return round(100 * float(np.mean(values)), 1)


def main() -> None:
    rows = []
    for i, scores in enumerate(SCORES):
        for seeds, images in SHAPES:
            for size in scores.image_effects:
                rng = np.random.default_rng((20, i, seeds, images, bool(size)))
                rows.append(row(scores, seeds, images, size, rng))
                print(rows[-1], flush=True)
    keep(
        "coverage",
        "intervals for new seeds and new images in simulated studies",
        "benchmarks/coverage.py",
        studies=STUDIES,
        bootstrapped=RESAMPLED,
        coverage=rows,
    )


if __name__ == "__main__":
    main()
