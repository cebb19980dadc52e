"""Frost: pictures of it laid over the images, and where they come from.

Shapes: N images, C channels, H and W pixels.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from trickbag.errors import Note, UserError, first_line
from trickbag.evaluate.robustness.corruptions.corruption import Draws, ImageSize
from trickbag.evaluate.robustness.corruptions.frost_files import (
    FROST_NAMES,
    FROST_PACKAGE,
    frost_files,
    published,
)
from trickbag.evaluate.robustness.corruptions.levels import as_levels, from_unit, grey
from trickbag.evaluate.robustness.corruptions.motion import moved
from trickbag.evaluate.robustness.corruptions.parameters import FrostLayer
from trickbag.evaluate.robustness.corruptions.plasma import plasma, plasma_draws
from trickbag.streams import stream

__all__ = ["FrostPictures", "draw_frost", "frost", "frost_pictures"]

_GENERATED_SIDE = 256


@dataclass(frozen=True, eq=False)
class FrostPictures:
    """Pictures of frost, each uint8 (3, H, W).

    comparable: they are the published ones, so that results compare with those of others. source:
    the folder that they were read from, else what they are, as a part of a sentence.
    """

    pictures: tuple[Tensor, ...]
    source: str
    comparable: bool

    @property
    def note(self) -> Note | None:
        """Say that results do not compare with published ones, if so."""
        if self.comparable:
            return None
        return Note(
            "data",
            None,
            f"the pictures of frost are {self.source}: errors under frost, and means over it, do "
            f"not compare with published ones; `pip install --no-deps {FROST_PACKAGE}` brings the "
            "published pictures",
        )


def frost_pictures(folder: Path | None = None) -> FrostPictures:
    """Read the pictures of frost from a folder, else from the installed package, else make some.

    The package imagecorruptions is not imported, only its files are read. They compare with
    published results if they are the published files, byte for byte. UserError for a folder that
    lacks a published file name, or a file that is no picture.
    """
    if folder is not None:
        return _read(Path(folder))
    package = _package_folder()
    return _read(package) if package else _generated()


def _package_folder() -> Path | None:
    spec = importlib.util.find_spec(FROST_PACKAGE)
    places = list(spec.submodule_search_locations or ()) if spec else []
    folders = [Path(place) / "frost" for place in places]
    return next((folder for folder in folders if folder.is_dir()), None)


@lru_cache(maxsize=4)
def _read(folder: Path) -> FrostPictures:
    paths = frost_files(folder)
    pictures = tuple(_picture(path) for path in paths)
    others = [path.name for path in paths if not published(path)]
    if not others:
        return FrostPictures(pictures, str(folder), True)
    source = f"those of {folder}, of which {', '.join(others)} differ from the published files"
    return FrostPictures(pictures, source, False)


def _picture(path: Path) -> Tensor:
    try:
        with Image.open(path) as image:
            pixels = np.array(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(
            f"the picture of frost {path} cannot be read: {first_line(error)}"
        ) from error
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


@lru_cache(maxsize=1)
def _generated() -> FrostPictures:
    """Make pictures that look like ice: bluish, cloudy, with needles in three directions each."""
    pictures = []
    for number in range(len(FROST_NAMES)):
        rng = stream(0, "frost picture", index=number)
        cloud = plasma(torch.from_numpy(plasma_draws(rng, _GENERATED_SIDE))[None], 1.7)
        germs = rng.standard_normal((_GENERATED_SIDE, _GENERATED_SIDE), dtype=np.float32) > 2.2
        angles = torch.from_numpy(rng.uniform(0, 360) + np.array([0, 75, 140]))
        needles = moved(torch.from_numpy(germs).expand(3, 1, -1, -1), 10, 9, angles)
        needles = (needles.amax(0) / needles.quantile(0.97)).clamp(max=1)
        ice = 0.3 + 0.3 * cloud + 0.4 * needles * (0.3 + 0.7 * cloud)
        pictures.append(from_unit(torch.cat([0.88 * ice, 0.95 * ice, ice])))
    return FrostPictures(tuple(pictures), "generated, not photographs of frost", False)


def draw_frost(
    rng: np.random.Generator, size: ImageSize, layer: FrostLayer
) -> dict[str, np.ndarray[Any, Any]]:
    """Draw the picture and the place of the crop, as three numbers in [0, 1)."""
    return {"crop": rng.random(3)}


def frost(
    images_NCHW: Tensor, draws: Draws, layer: FrostLayer, *, pictures: FrostPictures
) -> Tensor:
    """Add a random crop of a picture of frost to each image.

    As published, the first five pictures are drawn from. A picture that is not larger than the
    image is enlarged (there, all are larger). Images of one channel get the luminance of frost.
    """
    channels, height, width = images_NCHW.shape[1:]
    resized = [
        _resized(picture, layer.scale, height, width).to(images_NCHW.device)
        for picture in pictures.pictures
    ]
    crops = []
    for chosen, vertical, horizontal in draws["crop"].tolist():
        picture = resized[int(chosen * len(resized))]
        top = int(vertical * (picture.shape[1] - height))
        left = int(horizontal * (picture.shape[2] - width))
        crops.append(picture[:, top : top + height, left : left + width])
    layers = torch.stack(crops)
    if channels == 1:
        layers = grey(layers)
    return as_levels(layer.image * images_NCHW.float() + layer.frost * layers)


def _resized(picture_CHW: Tensor, scale: float, height: int, width: int) -> Tensor:
    """Resize a picture by a factor, or so far that it exceeds the image by a pixel each way."""
    rows, columns = picture_CHW.shape[1:]
    factor = max(scale, (height + 1) / rows, (width + 1) / columns)
    if factor == 1:
        return picture_CHW.float()
    sides = (max(height + 1, round(rows * factor)), max(width + 1, round(columns * factor)))
    values = torch.nn.functional.interpolate(picture_CHW[None].float(), sides, mode="bilinear")
    return values[0].round()
