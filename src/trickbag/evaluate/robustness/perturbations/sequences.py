"""The frames of each perturbation sequence, one at a time.

Hendrycks and Dietterich (2019), arXiv 1903.12261, section 3.4; `tables` has the parameters. The
published frames were compressed as videos; these are not.

Shapes: N images, C channels, H and W pixels of an image with what lies around it, h and w pixels of
a frame.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from trickbag.errors import UserError
from trickbag.evaluate.robustness.corruptions import digital, noise
from trickbag.evaluate.robustness.corruptions.filters import gaussian_filter
from trickbag.evaluate.robustness.corruptions.levels import from_unit, grey, precise_type, to_unit
from trickbag.evaluate.robustness.corruptions.motion import motion_blur
from trickbag.evaluate.robustness.corruptions.spatter import water_thickness
from trickbag.evaluate.robustness.corruptions.weather import snow_flakes, whitened
from trickbag.evaluate.robustness.perturbations.geometry import affine, resampled, tilt
from trickbag.evaluate.robustness.perturbations.scene import Scene
from trickbag.evaluate.robustness.perturbations.tables import Sequences, table_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from trickbag.evaluate.robustness.perturbations.tables import (
        Blurs,
        Drops,
        Flakes,
        Motion,
        Noise,
    )

__all__ = ["frames", "frames_of", "looks_around", "running", "takes"]

Frames = Iterator[Tensor]
_ANY_CHANNELS: tuple[int, ...] = ()
_GREY_OR_COLOUR = (1, 3)
_MOVING = ("zoom_blur", "translate", "rotate", "tilt", "scale", "shear")
_WATER = (175, 238, 238)
"""Levels of red, green and blue."""


def _noise(
    apply: Callable[..., Tensor],
    draw: Callable[..., Mapping[str, NDArray[Any]]],
    name: str,
    scene: Scene,
    sequence: Noise,
) -> Frames:
    """Yield the images, then images with noise, each frame's drawn anew."""
    size = scene.crops.shape[1:]

    def drawn(rng: np.random.Generator) -> NDArray[Any]:
        (values,) = draw(rng, size, sequence.strength).values()
        return values

    yield scene.crops
    for frame in range(1, sequence.frames):
        values = scene.draws(name, frame, drawn)
        # The two kinds of noise take their numbers by these names.
        yield apply(scene.crops, {"normal": values, "uniform": values}, sequence.strength)


def _brightness(scene: Scene, sequence: Sequence[float]) -> Frames:
    for summand in sequence:
        yield digital.brightness(scene.crops, {}, summand)


def _translate(scene: Scene, sequence: Sequence[float]) -> Frames:
    """Move the images to the right by whole pixels; black comes in where nothing is around them."""
    (height, width), pixels = scene.size, scene.images
    reach = round(max(map(abs, sequence)))
    padded = torch.nn.functional.pad(pixels, (reach, reach))
    top = (pixels.shape[2] - height) // 2
    left = (pixels.shape[3] - width) // 2 + reach
    for shift in sequence:
        start = left - round(shift)
        yield padded[:, :, top : top + height, start : start + width].contiguous()


def _moved(name: str, scene: Scene, sequence: Sequence[float]) -> Frames:
    """Rotate, scale or shear the images about their centre."""
    for value in sequence:
        yield resampled(scene.images, affine(**{name: value}), *scene.size)


def _tilt(scene: Scene, sequence: Sequence[float]) -> Frames:
    """Turn the images out of the plane."""
    for angle in sequence:
        source = tilt(angle, *scene.photo)
        yield resampled(scene.images, source, *scene.size, rounded=True)


def _zoom_blur(scene: Scene, sequence: Sequence[float]) -> Frames:
    """Yield the means of the images at the zoom factors up to each."""
    total = scene.crops.to(torch.int32)
    yield scene.crops
    for count, zoom in enumerate(sequence[1:], 2):
        total = total + resampled(scene.images, affine(scale=zoom), *scene.size)
        yield (total // count).to(torch.uint8)


def _motion_blur(scene: Scene, sequence: Motion) -> Frames:
    for angle in sequence.angles:
        yield motion_blur(scene.crops, {"angle": _each(scene, angle)}, sequence.line)


def _gaussian_blur(scene: Scene, sequence: Blurs) -> Frames:
    for sigma in sequence.sigmas:
        yield from_unit(gaussian_filter(scene.crops, sigma, truncate=sequence.truncate) / 255)


def _snow(scene: Scene, sequence: Flakes) -> Frames:
    """Let the same flakes fall in turning directions, as they are and turned by 180 degrees."""
    normal_N1hw = scene.draws("snow", 0, partial(_standard_normal, size=(1, *scene.size)))
    kind = precise_type(scene.images.device)
    white = whitened(to_unit(scene.crops, kind), sequence.layer.keep)
    for angle in sequence.angles:
        flakes = snow_flakes(normal_N1hw, _each(scene, angle), sequence.layer)
        yield from_unit(white + flakes + flakes.flip(2, 3))


def _spatter(scene: Scene, sequence: Drops) -> Frames:
    """Let drops of water run down."""
    layer, kind = sequence.layer, precise_type(scene.images.device)
    normal_N1hw = scene.draws("spatter", 0, partial(_standard_normal, size=(1, *scene.size)))
    liquid = gaussian_filter(layer.mean + layer.std * normal_N1hw.to(kind), layer.sigma)
    liquid = torch.where(liquid < layer.threshold, 0, liquid)
    images = to_unit(scene.crops, kind)
    colour = torch.tensor(_WATER, dtype=kind, device=images.device).reshape(1, 3, 1, 1) / 255
    if images.shape[1] == 1:
        colour = grey(colour)
    down = torch.from_numpy(running(scene.size[0], sequence.kernel)).to(kind).to(images.device)
    for _ in range(sequence.frames):
        thickness = water_thickness(liquid, 0)
        yield from_unit(images + thickness * layer.amount * colour)
        liquid = down @ liquid


def running(height: int, kernel: Sequence[float]) -> NDArray[np.float64]:
    """Return the matrix (h, h) of a convolution down a column, of numpy's mode `same`."""
    matrix = np.zeros((height, height))
    for place, weight in enumerate(kernel):
        matrix += np.eye(height, k=(len(kernel) - 1) // 2 - place) * weight
    return matrix


def _standard_normal(rng: np.random.Generator, size: tuple[int, ...]) -> NDArray[np.float32]:
    return rng.standard_normal(size, dtype=np.float32)


def _each(scene: Scene, angle: float) -> Tensor:
    """Return an angle for every image of the batch."""
    return torch.full((len(scene.images),), float(angle), dtype=torch.float64)


class _Perturbation(NamedTuple):
    """How the frames of a perturbation are made, and of images of which channels.

    `frames(scene, sequence)` yields them; `channels` is empty if any number will do.
    """

    frames: Callable[[Scene, Any], Frames]
    channels: tuple[int, ...] = _ANY_CHANNELS


def _noise_of(name: str, apply: Callable[..., Tensor], draw: Callable[..., Any]) -> _Perturbation:
    return _Perturbation(partial(_noise, apply, draw, name))


_PERTURBATIONS: Mapping[str, _Perturbation] = MappingProxyType(
    {
        "gaussian_noise": _noise_of("gaussian_noise", noise.gaussian_noise, noise.draw_normal),
        "shot_noise": _noise_of("shot_noise", noise.shot_noise, noise.draw_uniform),
        "motion_blur": _Perturbation(_motion_blur),
        "zoom_blur": _Perturbation(_zoom_blur),
        "snow": _Perturbation(_snow, _GREY_OR_COLOUR),
        "brightness": _Perturbation(_brightness),
        "translate": _Perturbation(_translate),
        "rotate": _Perturbation(partial(_moved, "angle")),
        "tilt": _Perturbation(_tilt),
        "scale": _Perturbation(partial(_moved, "scale")),
        "spatter": _Perturbation(_spatter, _GREY_OR_COLOUR),
        "speckle_noise": _noise_of("speckle_noise", noise.speckle_noise, noise.draw_normal),
        "gaussian_blur": _Perturbation(_gaussian_blur),
        "shear": _Perturbation(partial(_moved, "shear")),
    }
)


def looks_around(name: str) -> bool:
    """Tell whether what lies around an image comes into view in a frame."""
    return name in _MOVING


def takes(name: str, channels: int) -> bool:
    """Tell whether a perturbation is defined for images of so many channels."""
    allowed = _PERTURBATIONS[name].channels
    return not allowed or channels in allowed


def frames_of(scene: Scene, name: str, table: Sequences) -> Frames:
    """Yield the frames (N, C, h, w) of a perturbation of a table, uint8."""
    return _PERTURBATIONS[name].frames(scene, getattr(table, name))


def frames(
    images_NCHW: Tensor,
    name: str,
    *,
    seed: int,
    index_N: Sequence[int] | NDArray[np.integer] | Tensor,
    size: tuple[int, int] | None = None,
    photo: tuple[int, int] | None = None,
    table: str = "auto",
) -> Frames:
    """Return an iterator over the frames (N, C, h, w) of images (N, C, H, W), both uint8.

    index_N: the place of each image in its data set, which with the seed, the perturbation and the
    frame determines its random numbers: a frame depends neither on the batch nor on the device but
    for rounding. size: height and width of a frame, the centre of its image; by default the whole
    image. photo: of which height and width the frame is the centre, by default `size`. table:
    "imagenet_p", "tiny_imagenet_p", "cifar10_p", or "auto" for that of the nearest size of frames.

    UserError for an unknown name or table, for a dtype other than uint8, for frames larger than
    their images and for a number of channels that the perturbation does not take.
    """
    if images_NCHW.dtype != torch.uint8 or images_NCHW.ndim != 4:
        raise UserError(
            f"perturbations need uint8 images (N, C, H, W); these are {images_NCHW.dtype} of shape "
            f"{tuple(images_NCHW.shape)}"
        )
    height, width = size or (images_NCHW.shape[2], images_NCHW.shape[3])
    if height > images_NCHW.shape[2] or width > images_NCHW.shape[3] or min(height, width) < 1:
        raise UserError(f"frames of {height}x{width} px are no part of {_size_text(images_NCHW)}")
    rows = [int(i) for i in index_N]
    if len(rows) != len(images_NCHW):
        raise UserError(f"there are {len(images_NCHW)} images and {len(rows)} indices of images")
    chosen = table_for(height, width, table)
    chosen.frames(name)  # raises for an unknown name
    if not takes(name, images_NCHW.shape[1]):
        raise UserError(
            f"{name} needs images of 1 or 3 channels; these have {images_NCHW.shape[1]}",
            "leave it out",
        )
    scene = Scene(
        images=images_NCHW,
        size=(height, width),
        photo=photo or (height, width),
        rows=rows,
        seed=seed,
    )
    return frames_of(scene, name, chosen)


def _size_text(images_NCHW: Tensor) -> str:
    return f"images of {images_NCHW.shape[2]}x{images_NCHW.shape[3]} px"
