"""Trained networks without training: a linear function of the mean colours of an image's halves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trickbag.data.loading.preprocess import Preprocessing
from trickbag.evaluate.trained import Trained
from trickbag.models.config import ResNetConfig


class HalvesNetwork(nn.Module):
    """Logits of the mean of each channel in the left and in the right half, at any image size."""

    def __init__(self, weight_KF: np.ndarray) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(weight_KF, dtype=torch.float32))

    def forward(self, images: Tensor) -> Tensor:
        halves = images.tensor_split(2, dim=3)
        return torch.cat([half.mean(dim=(2, 3)) for half in halves], dim=1) @ self.weight.T


def halves_by_hand(crop_CHW: np.ndarray, trained: Trained) -> np.ndarray:
    """Return the logits of `HalvesNetwork` for a crop, in float64."""
    preprocessing = trained.preprocessing
    mean, std = (np.array(v)[:, None, None] for v in (preprocessing.mean, preprocessing.std))
    halves = np.array_split((crop_CHW.astype(np.float64) - mean) / std, 2, axis=2)
    features = np.concatenate([half.mean(axis=(1, 2)) for half in halves])
    network: Any = trained.network
    weight: np.ndarray = network.weight.detach().double().numpy()
    return weight @ features


def preprocessing_of_size(image_size: int, resize: int | None = None) -> Preprocessing:
    return Preprocessing(
        image_size=image_size,
        resize=resize or image_size,
        mean=(110.0, 120.0, 130.0),
        std=(50.0, 60.0, 70.0),
    )


def halves_network(
    classes: tuple[str, ...] = ("one", "three", "zero"),
    *,
    seed: int = 0,
    preprocessing: Preprocessing | None = None,
    symmetric: bool = False,
    **fields: Any,
) -> Trained:
    """Return a trained network on the CPU; a `symmetric` one sees no left and right."""
    weight = 3 * np.random.default_rng(seed).normal(size=(len(classes), 6))
    if symmetric:
        weight[:, 3:] = weight[:, :3]
    values: dict[str, Any] = {
        "path": Path(f"network-{seed}.safetensors"),
        "network": HalvesNetwork(weight).eval(),
        "model": ResNetConfig(depth=18, num_classes=len(classes)),
        "classes": classes,
        "preprocessing": preprocessing or preprocessing_of_size(16, 20),
        "columns": None,
        "device": torch.device("cpu"),
        "precision": "float32",
        "layout": "contiguous",
        "record": None,
        "plan": None,
    }
    return Trained(**values | fields)
