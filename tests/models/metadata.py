"""Metadata of weights files for networks that no run trained."""

from __future__ import annotations

from trickbag.data.loading.preprocess import Preprocessing
from trickbag.models.config import ModelConfig
from trickbag.models.weights_metadata import WeightsMetadata

__all__ = ["PREPROCESSING", "metadata_of"]

PREPROCESSING = Preprocessing(
    image_size=16, resize=18, mean=(123.68, 116.78, 103.94), std=(58.4, 57.1, 57.4)
)


def metadata_of(config: ModelConfig, **fields: object) -> WeightsMetadata:
    """Return metadata with class names that are not all ASCII; `fields` replace others."""
    classes = tuple(f"é{i}" for i in range(config.num_classes))
    defaults: dict[str, object] = {"classes": classes, "preprocessing": PREPROCESSING}
    return WeightsMetadata(model=config, **(defaults | fields))  # type: ignore[arg-type]  # by name
