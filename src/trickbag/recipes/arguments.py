"""The arguments that every recipe takes: a source of images, and a network."""

from __future__ import annotations

import dataclasses
from typing import Any

from trickbag.data.config import DataConfig
from trickbag.models.config import Init, ModelConfig, TimmConfig, model_config

__all__ = ["Data", "Model", "of_imagenet", "to_data_config", "to_model_config", "with_init"]

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


_MEAN, _STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


def of_imagenet(data: Data, **settings: Any) -> DataConfig:
    """Return the data, normalised as timm and torchvision do; `settings` as in `to_data_config`."""
    return to_data_config(data, mean=_MEAN, std=_STD, **settings)


def with_init(model: Model, init: Init) -> ModelConfig:
    """Return the config of a network with an initialisation; one of timm keeps timm's."""
    config = to_model_config(model)
    return config if isinstance(config, TimmConfig) else dataclasses.replace(config, init=init)
