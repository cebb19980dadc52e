"""Parameters of the corruptions: a record for each kind, and their table by severity.

Hendrycks and Dietterich, Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations (2019), arXiv 1903.12261. Lengths are in pixels of the image and intensities in
[0, 1], unless a record says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, NamedTuple, TypeVar

from trickbag.errors import UserError, choices

__all__ = [
    "SEVERITIES",
    "DefocusDisk",
    "ElasticWarp",
    "FogLayer",
    "FrostLayer",
    "GlassShuffle",
    "MotionLine",
    "Parameters",
    "SaturationChange",
    "SnowLayer",
    "SpatterLayer",
    "ZoomRange",
]

SEVERITIES = (1, 2, 3, 4, 5)


class DefocusDisk(NamedTuple):
    """Radius of the disk, and the standard deviation of the blur against its jagged edge."""

    radius: float
    alias_blur: float


class GlassShuffle(NamedTuple):
    """Standard deviation of both blurs; how far a pixel comes from; rounds of shuffling."""

    sigma: float
    max_delta: int
    rounds: int


class MotionLine(NamedTuple):
    """Radius of the line (it has 2 radius + 1 pixels), and the deviation of its Gaussian."""

    radius: int
    sigma: float


class ZoomRange(NamedTuple):
    """Zoom factors 1, 1 + step, ... below `stop`, as `numpy.arange` counts them."""

    stop: float
    step: float


class SnowLayer(NamedTuple):
    """Mean and deviation of the flakes' noise, its zoom, the threshold below which there is none.

    radius, sigma: the motion blur of the flakes. keep: the share of the image that is not whitened.
    """

    mean: float
    std: float
    zoom: float
    threshold: float
    radius: int
    sigma: float
    keep: float


class FrostLayer(NamedTuple):
    """Weights of the image and of the frost; by how much the frost's picture is resized."""

    image: float
    frost: float
    scale: float


class FogLayer(NamedTuple):
    """Strength of the fog, and by how much its plasma calms down from one octave to the next."""

    strength: float
    decay: float


class SpatterLayer(NamedTuple):
    """Mean and deviation of the drops' noise, its blur, the threshold below which it is dry.

    amount: for water its strength, for mud the standard deviation of the drops' edges.
    """

    mean: float
    std: float
    sigma: float
    threshold: float
    amount: float
    mud: bool


class SaturationChange(NamedTuple):
    """Factor and summand of the saturation."""

    factor: float
    summand: float


class ElasticWarp(NamedTuple):
    """Length and smoothness of the local shifts; the largest shift of the affine map's corners.

    All three are fractions of the image's short side.
    """

    alpha: float
    sigma: float
    corners: float


T = TypeVar("T")
Five = tuple[T, T, T, T, T]


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """A published table: for each corruption its parameters at severities 1 to 5.

    side: short side of the images that it was published for, in pixels. source: the script that
    states it. Noises of a single number: gaussian_noise and speckle_noise have a standard
    deviation, shot_noise the photons of a white pixel, impulse_noise the share of changed values.
    gaussian_blur has a standard deviation, brightness a summand of the value (HSV), contrast a
    factor, pixelate the share of the sides that is left, jpeg_compression a quality of 0 to 100.
    """

    name: str
    side: int
    source: str
    gaussian_noise: Five[float]
    shot_noise: Five[float]
    impulse_noise: Five[float]
    defocus_blur: Five[DefocusDisk]
    glass_blur: Five[GlassShuffle]
    motion_blur: Five[MotionLine]
    zoom_blur: Five[ZoomRange]
    snow: Five[SnowLayer]
    frost: Five[FrostLayer]
    fog: Five[FogLayer]
    brightness: Five[float]
    contrast: Five[float]
    elastic_transform: Five[ElasticWarp]
    pixelate: Five[float]
    jpeg_compression: Five[int]
    speckle_noise: Five[float]
    gaussian_blur: Five[float]
    spatter: Five[SpatterLayer]
    saturate: Five[SaturationChange]

    def at(self, corruption: str, severity: int) -> Any:
        """Return the parameters of a corruption at a severity of 1 to 5; UserError for others."""
        if corruption not in {field.name for field in fields(self)[3:]}:
            raise UserError(
                f"{corruption!r} is not a corruption",
                f"there are {choices(field.name for field in fields(self)[3:])}",
            )
        if severity not in SEVERITIES:
            raise UserError(f"severity is {severity}", "it is 1, 2, 3, 4 or 5")
        return getattr(self, corruption)[int(severity) - 1]
