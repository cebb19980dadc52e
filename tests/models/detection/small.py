"""A small detector, images and boxes, for the tests of detection."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from trickbag.models.config import ModelConfig, ResNetConfig
from trickbag.models.detection.config import DetectionConfig
from trickbag.models.detection.detector import Detector, build_detector

__all__ = ["BOXES", "EXTENTS", "LABELS", "MODEL", "canvas", "small_config", "small_detector"]

MODEL = ResNetConfig(depth=18, width_factor=0.125, stem="deep", shortcut="avg_pool")

EXTENTS = torch.tensor([[97, 131], [80, 100]])
BOXES = [
    torch.tensor([[10.0, 10.0, 50.0, 60.0], [40.0, 20.0, 120.0, 90.0]]),
    torch.tensor([[5.0, 30.0, 40.0, 70.0]]),
]
LABELS = [torch.tensor([2, 0]), torch.tensor([1])]


def canvas(seed: int = 0, height: int = 97, width: int = 131) -> Tensor:
    """Return two normal random images in a canvas, which the second does not fill."""
    rng = torch.Generator().manual_seed(seed)
    images = torch.randn(2, 3, height, width, generator=rng)
    images[1, :, 80:] = images[1, :, :, 100:] = 0
    return images


def small_config(**settings: Any) -> DetectionConfig:
    small = {"channels": 16, "head_width": 32, "train_proposals": 40, "eval_proposals": 20}
    return DetectionConfig(**{**small, **settings})


def small_detector(model: ModelConfig = MODEL, seed: int = 0, **settings: Any) -> Detector:
    return build_detector(small_config(**settings), model, num_classes=3, seed=seed)
