"""A network whose predictions are known by hand: it tells images by their mean brightness."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tests.builders.images import image_folder
from trickbag.data.loading.preprocess import Preprocessing
from trickbag.evaluate import Trained
from trickbag.models.config import ResNetConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

SIZE = 16
LEVELS = {"dark": 40, "grey": 128, "light": 215}
"""The classes, and the brightness that each stands for."""


class ByBrightness(torch.nn.Module):
    """Gives each class its distance in brightness, negative."""

    def __init__(self, levels: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("levels", torch.tensor([float(level) for level in levels]))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        # The preprocessing leaves pixels as they are.
        return -(images.mean(dim=(1, 2, 3))[:, None] - self.levels).abs()


def by_brightness(levels: dict[str, int] = LEVELS, **changes: Any) -> Trained:
    """Return a trained network of these classes without a run."""
    preprocessing = Preprocessing(
        image_size=SIZE, resize=SIZE + 4, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)
    )
    values: dict[str, Any] = {
        "path": Path("brightness.safetensors"),
        "network": ByBrightness(list(levels.values())).eval(),
        "model": ResNetConfig(num_classes=len(levels)),
        "classes": tuple(levels),
        "preprocessing": preprocessing,
        "columns": None,
        "device": torch.device("cpu"),
        "precision": "float32",
        "layout": "contiguous",
        "record": None,
        "plan": None,
    }
    return Trained(**values | changes)


def plain_image(level: float, seed: int = 0, size: int = SIZE) -> np.ndarray[Any, Any]:
    """Make an image (H, W, 3) of a brightness, with noise of a mean of zero."""
    noise = np.random.default_rng(seed).uniform(-20, 20, (size, size, 3))
    return np.clip(level + noise - noise.mean(), 0, 255).astype(np.uint8)


def plain_folder(root: Path, count: int, size: int = SIZE) -> Path:
    """Write `count` images of each class."""
    return image_folder(
        root,
        {
            name: [plain_image(level, 10 * k + i, size) for i in range(count)]
            for k, (name, level) in enumerate(LEVELS.items())
        },
        ".png",
    )


def corrupted_folder(root: Path, wrong: dict[str, int], count: int = 4, size: int = SIZE) -> Path:
    """Write folders such as `fog/1`, each with `count` images of a class; so many are wrong.

    These are in the class `dark` and have the brightness of another.
    """
    for number, (place, mistakes) in enumerate(wrong.items()):
        folders = {
            name: [
                plain_image(255 - level if name == "dark" and i < mistakes else level, i, size)
                for i in range(count)
            ]
            for name, level in LEVELS.items()
        }
        assert mistakes <= count, number
        image_folder(root / place, folders, ".png")
    return root
