"""A recipe that adapts a pretrained network."""

from __future__ import annotations

from trickbag.optim.config import TrainConfig
from trickbag.optim.optimizers import AdamW
from trickbag.optim.schedule import Schedule
from trickbag.recipe import Recipe
from trickbag.recipes.arguments import Data, Model, to_data_config, to_model_config
from trickbag.tricks.cosine_decay import CosineDecay
from trickbag.tricks.label_smoothing import LabelSmoothing
from trickbag.tricks.layer_decay import LayerDecay
from trickbag.tricks.mixed_precision import MixedPrecision
from trickbag.tricks.no_bias_decay import NoBiasDecay

__all__ = ["finetune"]


def finetune(*, data: Data = "digits", model: Model = "resnet50_d") -> Recipe:
    """Adapt a pretrained network to your own data: AdamW, layer-wise learning rates, 20 epochs.

    Starts from the weights that timm publishes for the network, or from `training.init` (`--init
    FILE`), prepares images as for these weights (mean, std, interpolation, validation crop), and
    keeps the best epoch. What to expect depends on the data; no figure has been measured for this
    recipe.
    """
    return Recipe(
        name="finetune",
        data=to_data_config(data, crop_area=(0.35, 1.0)),
        model=to_model_config(model),
        training=TrainConfig(
            epochs=20,
            batch_size=64,
            optimizer=AdamW(),
            lr=1e-3,
            weight_decay=0.05,
            clip_norm=1.0,
            pretrained=True,
            keep="best",
        ),
        schedule=Schedule(warmup_epochs=1.0),
        tricks=(LayerDecay(), NoBiasDecay(), MixedPrecision(), CosineDecay(), LabelSmoothing()),
    )
