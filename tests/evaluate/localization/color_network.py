"""A trained network that needs no training: it sees red, green and blue things, and how much."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trickbag.data.loading.preprocess import Preprocessing
from trickbag.evaluate.trained import Trained
from trickbag.models.config import model_config

CLASSES = ("red", "green", "blue")
SIDE = 64


class ColorNetwork(nn.Module):
    """The map is the colour of 4 x 4 pixels above grey; a class is its mean."""

    def __init__(self) -> None:
        super().__init__()
        self.classifier = nn.Linear(3, 3)
        with torch.no_grad():
            self.classifier.weight.copy_(torch.eye(3))
            self.classifier.bias.zero_()

    def get_classifier(self) -> nn.Module:
        return self.classifier

    def forward_features(self, images: Tensor) -> Tensor:
        return nn.functional.avg_pool2d(images, 4).relu()

    def forward_head(self, features: Tensor) -> Tensor:
        return self.classifier(features.mean((2, 3)))

    def forward(self, images: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(images))


def color_trained(network: nn.Module | None = None, **changes: Any) -> Trained:
    values: dict[str, Any] = {
        "path": Path("colors.safetensors"),
        "network": (network or ColorNetwork()).eval(),
        "model": model_config("resnet18"),
        "classes": CLASSES,
        "preprocessing": Preprocessing(
            image_size=SIDE, resize=SIDE, mean=(127,) * 3, std=(128,) * 3
        ),
        "columns": None,
        "device": torch.device("cpu"),
        "precision": "float32",
        "layout": "contiguous",
        "record": None,
        "plan": None,
    }
    return Trained(**{**values, **changes})


def painted(
    *things: tuple[str, tuple[int, int, int, int]], size: tuple[int, int] = (SIDE, SIDE)
) -> tuple[np.ndarray, list[tuple[str, tuple[int, int, int, int]]]]:
    """Paint boxes in the colours of their names on grey; return the image and the boxes."""
    image = np.full((*size, 3), 127, np.uint8)
    for name, (left, top, right, bottom) in things:
        image[top:bottom, left:right] = [255 if name == each else 0 for each in CLASSES]
    return image, list(things)
