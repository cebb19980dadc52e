"""Error on corrupted images beside AlexNet's: CE, mCE and relative mCE.

Hendrycks & Dietterich 2019, "Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations" (arXiv 1903.12261), section 4.1. All errors are top-1 errors in percent. Errors by
severity are None where a severity was not evaluated.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

__all__ = [
    "ALEXNET_CLEAN",
    "ALEXNET_ERRORS",
    "CORRUPTION_GROUPS",
    "EXTRA_CORRUPTIONS",
    "MAIN_CORRUPTIONS",
    "SEVERITIES",
    "corruption_error",
    "mce",
    "mean_corruption_error",
    "normalised_error",
    "relative_error",
    "relative_mce",
]

SEVERITIES = (1, 2, 3, 4, 5)

CORRUPTION_GROUPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "noise": ("gaussian_noise", "shot_noise", "impulse_noise"),
        "blur": ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
        "weather": ("snow", "frost", "fog", "brightness"),
        "digital": ("contrast", "elastic_transform", "pixelate", "jpeg_compression"),
        "extra": ("speckle_noise", "gaussian_blur", "spatter", "saturate"),
    }
)
"""The corruptions of ImageNet-C by the group that they are published in."""

EXTRA_CORRUPTIONS = CORRUPTION_GROUPS["extra"]
"""Corruptions that the definition of mCE leaves out, meant for validation."""

MAIN_CORRUPTIONS = tuple(
    name for group, names in CORRUPTION_GROUPS.items() if group != "extra" for name in names
)
"""The 15 corruptions of the definition of mCE."""

ALEXNET_ERRORS: Mapping[str, float] = MappingProxyType(
    {
        "gaussian_noise": 88.6428,
        "shot_noise": 89.4468,
        "impulse_noise": 92.2640,
        "defocus_blur": 81.9880,
        "glass_blur": 82.6268,
        "motion_blur": 78.5948,
        "zoom_blur": 79.8360,
        "snow": 86.6816,
        "frost": 82.6572,
        "fog": 81.9324,
        "brightness": 56.4592,
        "contrast": 85.3204,
        "elastic_transform": 64.6056,
        "pixelate": 71.7840,
        "jpeg_compression": 60.6500,
        "speckle_noise": 84.54,
        "gaussian_blur": 78.71,
        "spatter": 71.75,
        "saturate": 65.83,
    }
)
"""AlexNet's error on ImageNet-C, mean over the five severities, on 50,000 images at 224 px."""

ALEXNET_CLEAN = 43.48
"""AlexNet's error on ImageNet's validation images."""


def corruption_error(errors: Sequence[float | None]) -> float | None:
    """Return the mean error over the severities; None if one of the five is missing."""
    values = [error for error in errors if error is not None]
    return sum(values) / len(values) if len(values) == len(SEVERITIES) == len(errors) else None


def normalised_error(name: str, errors: Sequence[float | None]) -> float | None:
    """Return CE, the sum over severities as a share of AlexNet's; None if a severity is missing."""
    error = corruption_error(errors)
    return None if error is None else 100 * error / ALEXNET_ERRORS[name]


def relative_error(
    name: str, errors: Sequence[float | None], clean_error: float | None
) -> float | None:
    """Return relative CE, of the errors beyond that on clean images; None where one is missing."""
    error = corruption_error(errors)
    if error is None or clean_error is None:
        return None
    return 100 * (error - clean_error) / (ALEXNET_ERRORS[name] - ALEXNET_CLEAN)


def mce(
    errors: Mapping[str, Sequence[float | None]], names: Collection[str] = MAIN_CORRUPTIONS
) -> float | None:
    """Return mCE, the mean of CE over the corruptions `names`; None unless all are there."""
    return _mean([normalised_error(name, errors.get(name, ())) for name in names])


def relative_mce(
    errors: Mapping[str, Sequence[float | None]],
    clean_error: float | None,
    names: Collection[str] = MAIN_CORRUPTIONS,
) -> float | None:
    """Return relative mCE, the mean of relative CE over `names`; None unless all are there."""
    return _mean([relative_error(name, errors.get(name, ()), clean_error) for name in names])


def mean_corruption_error(
    errors: Mapping[str, Sequence[float | None]], names: Collection[str] = MAIN_CORRUPTIONS
) -> float | None:
    """Return the mean error over `names` without a normalisation, over what was evaluated of them.

    Each corruption counts the same. None if none was evaluated.
    """
    rows = [[error for error in errors.get(name, ()) if error is not None] for name in names]
    means = [sum(row) / len(row) for row in rows if row]
    return sum(means) / len(means) if means else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None
