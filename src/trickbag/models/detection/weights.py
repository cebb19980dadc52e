"""Weights of a classifier as the initial values of a detector's backbone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trickbag.models.pretrained import load_pretrained
from trickbag.models.weights import load_weights

if TYPE_CHECKING:
    from pathlib import Path

    from trickbag.errors import Note
    from trickbag.models.config import ModelConfig
    from trickbag.models.detection.detector import Detector

__all__ = ["load_backbone", "load_pretrained_backbone"]


def load_backbone(detector: Detector, path: Path, config: ModelConfig) -> list[Note]:
    """Load a classifier's weights from a file or a run's folder, its last layer left out.

    `config` is that of the backbone. With `backbone_norm` auto the batch normalisations are then
    frozen. Returns notes, and raises UserError, as `models.weights.load_weights`.
    """
    notes = load_weights(detector.backbone.network, path, config=config)
    detector.keep_loaded()
    return notes


def load_pretrained_backbone(detector: Detector, config: ModelConfig) -> list[Note]:
    """Load the published weights of the backbone's network, as `load_backbone` does."""
    notes = load_pretrained(detector.backbone.network, config)
    detector.keep_loaded()
    return notes
