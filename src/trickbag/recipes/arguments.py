"""The arguments that every recipe takes: a source of images, and a network."""

from __future__ import annotations

from typing import Any

from trickbag.data.config import DataConfig
from trickbag.models.config import ModelConfig, model_config

__all__ = ["Data", "Model", "to_data_config", "to_model_config"]

Data = str | DataConfig
"""A source by name or path, for which the recipe sets the rest; or all settings of the data."""

Model = str | ModelConfig
"""A network by name, or by its config."""


def to_data_config(data: Data, **settings: Any) -> DataConfig:
    """Return the data; `settings` go to a source that is given by name."""
    return data if isinstance(data, DataConfig) else DataConfig(source=data, **settings)


def to_model_config(model: Model) -> ModelConfig:
    """Return the config of a network. Raises UserError for an unknown name."""
    return model_config(model) if isinstance(model, str) else model
