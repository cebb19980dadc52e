"""How often predictions change along a perturbation sequence, beside AlexNet: FP, FR and mFR.

Hendrycks & Dietterich 2019, "Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations" (arXiv 1903.12261), section 4.2. Probabilities are in percent.

Shapes: N images, F frames of a sequence, P = F - 1 pairs of frames, 5 classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "ALEXNET_FLIPS",
    "EXTRA_PERTURBATIONS",
    "NOISE_PERTURBATIONS",
    "TEST_PERTURBATIONS",
    "flip_rate",
    "flips",
    "mean_flip_probability",
    "mfr",
    "top5_distances",
]

TEST_PERTURBATIONS = (
    "gaussian_noise",
    "shot_noise",
    "motion_blur",
    "zoom_blur",
    "snow",
    "brightness",
    "translate",
    "rotate",
    "tilt",
    "scale",
)
"""The 10 perturbations of the definition of mFR."""

EXTRA_PERTURBATIONS = ("spatter", "speckle_noise", "gaussian_blur", "shear")
"""Perturbations that the definition of mFR leaves out, meant for validation."""

NOISE_PERTURBATIONS = frozenset({"gaussian_noise", "shot_noise", "speckle_noise"})
"""Perturbations of which each frame is compared with the first one, and not with that before it."""

ALEXNET_FLIPS: Mapping[str, float] = MappingProxyType(
    {
        "gaussian_noise": 23.653,
        "shot_noise": 30.062,
        "motion_blur": 9.297,
        "zoom_blur": 5.942,
        "snow": 11.928,
        "brightness": 4.889,
        "translate": 11.007,
        "rotate": 13.104,
        "tilt": 7.050,
        "scale": 23.531,
        "spatter": 5.053,
        "speckle_noise": 18.649,
        "gaussian_blur": 2.775,
        "shear": 10.658,
    }
)
"""The flip probability of AlexNet on ImageNet-P, by perturbation (the authors' table)."""

_TOP = 5


def _pairs(frames_NF: NDArray[Any], noise: bool) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the frames (N, P, ...) that are compared: the first or the one before, and each."""
    later = frames_NF[:, 1:]
    earlier = np.broadcast_to(frames_NF[:, :1], later.shape) if noise else frames_NF[:, :-1]
    return earlier, later


def flips(predicted_NF: NDArray[np.int64], *, noise: bool) -> NDArray[np.bool_]:
    """Tell for each pair of frames (N, P) whether the predicted class changes.

    `predicted_NF` are class indices, -1 for a frame without finite logits: a pair with such a frame
    counts as a change. With `noise` each frame is compared with the first one.
    """
    earlier, later = _pairs(predicted_NF, noise)
    changed: NDArray[np.bool_] = (earlier != later) | (earlier < 0)
    return changed


def top5_distances(top5_NF5: NDArray[np.int64], *, noise: bool) -> NDArray[np.int64]:
    """Return the top-5 distance of each pair of frames (N, P), from 0 to 15 (section 4.2).

    `top5_NF5` are the five most probable classes, the most probable first; -1 for a frame without
    finite logits, which is as far as can be from every frame. A class at rank i of a frame and at
    rank s of the other counts |min(s, 6) - i|.
    """
    earlier, later = _pairs(top5_NF5, noise)
    same_NPij = (earlier[..., :, None] == later[..., None, :]) & (earlier[..., :, None] >= 0)
    ranks_NPi = np.where(same_NPij.any(-1), same_NPij.argmax(-1), _TOP)
    distance: NDArray[np.int64] = np.abs(ranks_NPi - np.arange(_TOP)).sum(-1)
    return distance


def mean_flip_probability(probabilities: Mapping[str, float]) -> float | None:
    """Return the mean over those of the 10 perturbations that are there; None if none is."""
    values = [probabilities[name] for name in TEST_PERTURBATIONS if name in probabilities]
    return sum(values) / len(values) if values else None


def flip_rate(name: str, probability: float) -> float:
    """Return a flip probability as a share of AlexNet's, in percent: FR."""
    return 100 * probability / ALEXNET_FLIPS[name]


def mfr(probabilities: Mapping[str, float]) -> float | None:
    """Return the mean flip rate of the 10 perturbations; None if one of them is missing."""
    if not all(name in probabilities for name in TEST_PERTURBATIONS):
        return None
    rates = [flip_rate(name, probabilities[name]) for name in TEST_PERTURBATIONS]
    return sum(rates) / len(rates)
