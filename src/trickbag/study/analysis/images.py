"""Effects over new seeds and new images: differences by seed and image as crossed random effects.

A difference of seed s on image i is `mu + a_s + b_i + e_si`. Seeds and images are drawn from many;
the mean over both varies with a_s / S, b_i / I and e_si / (S I).

Shapes: S seeds, I images, * any number of studies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from trickbag.study.analysis.statistics import ALPHA, ROUNDING, number
from trickbag.study.units import Unit

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "BY_IMAGE",
    "Components",
    "ImageInterval",
    "ScoresByImage",
    "components",
    "differences_by_image",
    "image_interval",
    "squared_half_width",
]

BY_IMAGE = ("top1", "loss", "brier")
"""The outcomes that are means over images, for which each trial keeps the scores of its images."""

_LEAST_P = -100.0
"""The logarithm of the least p that is told from zero."""

ScoresByImage = Callable[[str, str, Unit], "NDArray[Any] | None"]
"""The scores of a finished trial by image: (model, variant's label, seed) -> scores (I,).

The images of all trials are the same, in one order; NaN for one that has no score. None where a
trial has no scores by image.
"""


class Components(NamedTuple):
    """The mean of differences over seeds and images, and what its variance is made of.

    `of_seeds` is the variance of the mean over new seeds on the same images, `of_images` what new
    images add to it; never negative. Each is an array of the studies' shape (*).
    """

    mean: NDArray[Any]
    of_seeds: NDArray[Any]
    of_images: NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class ImageInterval:
    """The 95 % interval of a mean difference for new seeds and new images, and its two-sided p.

    `images` are those that all trials have a score of. `p_raw` is not adjusted for the number of
    effects. `equivalence_p_raw` is that of two one-sided tests against a margin, if there is one.
    """

    images: int
    low: float
    high: float
    p_raw: float
    equivalence_p_raw: float | None = None


def components(differences_xSI: NDArray[Any]) -> Components:
    """Return the mean and the variance components of differences (*, S, I), S and I at least 2.

    They are those of a two-way analysis of variance without replication. Seeds have their mean
    square as it is, which holds the share of single differences too; images have theirs less that
    share, and at least 0.
    """
    import numpy as np

    seeds, images = differences_xSI.shape[-2:]
    mean = differences_xSI.mean((-2, -1))
    by_seed = differences_xSI.mean(-1) - mean[..., None]
    by_image = differences_xSI.mean(-2) - mean[..., None]
    residual = differences_xSI - mean[..., None, None]
    residual -= by_seed[..., None] + by_image[..., None, :]
    of_seeds = (by_seed**2).sum(-1) / (seeds * (seeds - 1))
    of_residual = (residual**2).sum((-2, -1)) / ((seeds - 1) * (images - 1) * seeds * images)
    of_images = (by_image**2).sum(-1) / (images * (images - 1)) - of_residual
    return Components(mean, of_seeds, np.maximum(of_images, 0.0))


def squared_half_width(
    parts: Components, seeds: int, images: int, level: float = ALPHA
) -> NDArray[Any]:
    """Return the square of the half width of the interval with the confidence 1 - `level`.

    Each component counts with the quantile of its own degrees of freedom. A sum of variances with
    Satterthwaite's common degrees of freedom is too short for 2 or 3 seeds; this one keeps its
    level for any ratio of the components (Banerjee 1960, "Approximate confidence interval for
    linear functions of means of k populations"), and is never shorter than that of the seeds alone.
    """
    from scipy import special

    # In the lower tail, where a small level is not rounded away.
    of_seeds = special.stdtrit(seeds - 1, level / 2) ** 2 * parts.of_seeds
    of_images = special.stdtrit(images - 1, level / 2) ** 2 * parts.of_images
    widths: NDArray[Any] = of_seeds + of_images
    return widths


def image_interval(
    differences_SI: NDArray[Any], scale: float, margin: float | None = None
) -> ImageInterval | None:
    """Return the interval of the mean of differences (S, I) of scores of magnitude `scale`.

    None with fewer than 2 seeds or 2 images, and where the means of the seeds have no spread.
    """
    seeds, images = differences_SI.shape
    if seeds < 2 or images < 2:
        return None
    unit = max(scale, 1.0)
    parts = components(differences_SI / unit)
    mean = float(parts.mean)
    means = differences_SI.mean(1) / unit
    if float(means.max() - means.min()) <= ROUNDING:
        return None
    half = float(squared_half_width(parts, seeds, images)) ** 0.5
    low, high = number((mean - half) * unit), number((mean + half) * unit)
    if low is None or high is None:
        return None
    inside = None if margin is None else margin / unit - abs(mean)
    return ImageInterval(
        images=images,
        low=low,
        high=high,
        p_raw=_p(parts, seeds, images, abs(mean)),
        equivalence_p_raw=None if inside is None else _one_sided(parts, seeds, images, inside),
    )


def _one_sided(parts: Components, seeds: int, images: int, inside: float) -> float:
    """Return the p of the mean's being so far inside a margin; above a half outside of it."""
    half = _p(parts, seeds, images, abs(inside)) / 2
    return half if inside > 0 else 1 - half


def _p(parts: Components, seeds: int, images: int, distance: float) -> float:
    """Return the level at which the interval would end at this distance from the mean."""
    from scipy import optimize

    squared = distance**2

    def surplus(logarithm: float) -> float:
        return float(squared_half_width(parts, seeds, images, 10**logarithm)) - squared

    if squared == 0:
        return 1.0
    if surplus(_LEAST_P) <= 0:
        return 10**_LEAST_P
    return float(10 ** optimize.brentq(surplus, _LEAST_P, 0.0, xtol=1e-12))


def differences_by_image(
    weights: Mapping[str, float], seeds: Sequence[Unit], model: str, scores: ScoresByImage
) -> NDArray[Any] | None:
    """Return an effect's difference for each seed and image, (S, I): the weighted sum of variants.

    Images without a score in one of the trials are left out. None where a trial has no scores, or
    scores of another number of images.
    """
    import numpy as np

    rows = []
    for seed in seeds:
        row: Any = 0.0
        for label, weight in weights.items():
            values = scores(model, label, seed)
            if values is None or np.shape(row) not in ((), np.shape(values)):
                return None
            row = row + weight * np.asarray(values, np.float64)
        rows.append(row)
    if not rows or len({np.shape(row) for row in rows}) > 1:
        return None
    table_SI = np.stack(rows)
    kept: NDArray[Any] = table_SI[:, np.isfinite(table_SI).all(0)]
    return kept
