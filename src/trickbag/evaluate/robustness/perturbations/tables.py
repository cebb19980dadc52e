"""The published parameters of the perturbation sequences, for three sizes of images.

Hendrycks and Dietterich, Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations (2019), arXiv 1903.12261. The constants are those of the scripts that made the data
sets, in the repository hendrycks/robustness, folder ImageNet-P/create_p: make_imagenet_p.py (224
px), make_tinyimagenet_p.py (64 px) and make_cifar_p.py (32 px); of noise those of the first
difficulty. Lengths are in pixels, angles in degrees, intensities in [0, 1].
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from trickbag.errors import UserError, choices
from trickbag.evaluate.robustness.corruptions.parameters import (
    MotionLine,
    SnowLayer,
    SpatterLayer,
)
from trickbag.metrics.flips import EXTRA_PERTURBATIONS, TEST_PERTURBATIONS

__all__ = [
    "CIFAR10_P",
    "IMAGENET_P",
    "PERTURBATIONS",
    "TABLES",
    "TINY_IMAGENET_P",
    "Blurs",
    "Drops",
    "Flakes",
    "Motion",
    "Noise",
    "Sequences",
    "table_for",
]

PERTURBATIONS = (*TEST_PERTURBATIONS, *EXTRA_PERTURBATIONS)
"""All 14 perturbations; only the first 10 count in mFR."""


class Noise(NamedTuple):
    """The image, then `frames` - 1 images with noise of a strength, each drawn anew.

    The strength is a standard deviation, or the number of photons of a white pixel.
    """

    strength: float
    frames: int = 31


class Motion(NamedTuple):
    """A motion blur along a line, at the angle of each frame."""

    line: MotionLine
    angles: tuple[float, ...]


class Flakes(NamedTuple):
    """Snow that falls at the angle of each frame."""

    layer: SnowLayer
    angles: tuple[float, ...]


class Blurs(NamedTuple):
    """A Gaussian blur of the deviation of each frame, cut off at `truncate` deviations."""

    sigmas: tuple[float, ...]
    truncate: float


class Drops(NamedTuple):
    """Drops of water, which run: from frame to frame they are convolved down the columns."""

    layer: SpatterLayer
    kernel: tuple[float, ...]
    frames: int = 31


def _steps(start: float, step: float, count: int = 31) -> tuple[float, ...]:
    """Return `count` values from `start`, without the rounding errors of a running sum."""
    return tuple(round(start + step * i, 9) for i in range(count))


_DEGREES = _steps(-15, 1)
_SNOW_ANGLES = _steps(-150, 4)


@dataclass(frozen=True, kw_only=True)
class Sequences:
    """A published table: for each perturbation what changes from frame to frame.

    side: short side of the images that it was published for, in pixels. zoom_blur has the zoom
    factors of which each frame is the mean up to its own, brightness the summands of the value
    (HSV), translate the pixels to the right, rotate, tilt and shear angles, scale factors.
    """

    name: str
    side: int
    source: str
    gaussian_noise: Noise
    shot_noise: Noise
    motion_blur: Motion
    zoom_blur: tuple[float, ...] = _steps(1, 0.004)
    snow: Flakes
    brightness: tuple[float, ...]
    translate: tuple[float, ...]
    rotate: tuple[float, ...] = _DEGREES
    tilt: tuple[float, ...]
    scale: tuple[float, ...]
    spatter: Drops
    speckle_noise: Noise = Noise(0.05)
    gaussian_blur: Blurs
    shear: tuple[float, ...] = _DEGREES

    def frames(self, name: str) -> int:
        """Return the number of frames of a perturbation; UserError for an unknown one."""
        if name not in PERTURBATIONS:
            raise UserError(f"{name!r} is no perturbation", f"there are {choices(PERTURBATIONS)}")
        sequence = getattr(self, name)
        match sequence:
            case Noise() | Drops():
                return sequence.frames
            case Motion() | Flakes():
                return len(sequence.angles)
            case Blurs():
                return len(sequence.sigmas)
        return len(sequence)


IMAGENET_P = Sequences(
    name="imagenet_p",
    side=224,
    source="hendrycks/robustness, ImageNet-P/create_p/make_imagenet_p.py",
    gaussian_noise=Noise(0.03),
    shot_noise=Noise(300),
    motion_blur=Motion(MotionLine(10, 3), _steps(-120, 4)),
    snow=Flakes(SnowLayer(0.05, 0.3, 3, 0.5, 14, 4, 0.85), _SNOW_ANGLES),
    brightness=_steps(-0.3, 0.02),
    translate=_steps(-20, 1, 41),
    tilt=_DEGREES,
    scale=_steps(0.4, 0.025),
    spatter=Drops(SpatterLayer(0.65, 0.27, 3.7, 0.69, 0.6, False), (0.05, 0.1, 0.15, 0.7)),
    gaussian_blur=Blurs(_steps(0.25, 0.035), 6),
)

TINY_IMAGENET_P = Sequences(
    name="tiny_imagenet_p",
    side=64,
    source="hendrycks/robustness, ImageNet-P/create_p/make_tinyimagenet_p.py",
    gaussian_noise=Noise(0.025),
    shot_noise=Noise(500),
    # The script blurs the photo (radius 14, deviation 3) before it is scaled to 64 px; of the image
    # that is left the blur of CIFAR-10-P comes closest.
    motion_blur=Motion(MotionLine(6, 1.8), _steps(-150, 5)),
    snow=Flakes(SnowLayer(0.05, 0.28, 2, 0.5, 10, 2.5, 0.85), _SNOW_ANGLES),
    brightness=_steps(-0.3, 0.02),
    translate=_steps(-15, 1),
    tilt=_DEGREES,
    scale=_steps(0.4, 0.025),
    spatter=Drops(SpatterLayer(0.6, 0.25, 1.75, 0.7, 0.6, False), (0.2, 0.8)),
    gaussian_blur=Blurs(_steps(0.35, 0.014), 7),
)

CIFAR10_P = Sequences(
    name="cifar10_p",
    side=32,
    source="hendrycks/robustness, ImageNet-P/create_p/make_cifar_p.py",
    gaussian_noise=Noise(0.02),
    shot_noise=Noise(700),
    motion_blur=Motion(MotionLine(6, 1.8), _steps(-180, 9, 21)),
    snow=Flakes(SnowLayer(0.05, 0.3, 2, 0.5, 10, 2, 0.85), _SNOW_ANGLES),
    brightness=_steps(-0.225, 0.015),
    translate=_steps(-7, 1, 16),
    tilt=_steps(-11.25, 0.75),
    scale=_steps(0.7, 0.02),
    spatter=Drops(SpatterLayer(0.6, 0.265, 1.75, 0.7, 0.6, False), (0.2, 0.8)),
    gaussian_blur=Blurs(_steps(0.3, 0.015), 7),
)

TABLES: Mapping[str, Sequences] = MappingProxyType(
    {table.name: table for table in (IMAGENET_P, TINY_IMAGENET_P, CIFAR10_P)}
)


def table_for(height: int, width: int, table: str = "auto") -> Sequences:
    """Return the named table, or for "auto" the one whose image size is nearest in ratio.

    Short sides up to 45 px take CIFAR-10-P's table, up to 119 px Tiny-ImageNet-P's, others
    ImageNet-P's. UserError for another name.
    """
    if table in TABLES:
        return TABLES[table]
    if table != "auto":
        raise UserError(
            f"there is no table of perturbations {table!r}",
            f"take one of {choices(['auto', *TABLES])}",
        )
    side = max(1, min(height, width))
    return min(TABLES.values(), key=lambda known: max(known.side / side, side / known.side))
