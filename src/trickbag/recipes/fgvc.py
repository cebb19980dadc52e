"""The recipe with which Lee et al. 2020 fine-tune Assemble-ResNet to fine-grained classes."""

from __future__ import annotations

import dataclasses
from typing import Any

from trickbag.data.config import DataConfig
from trickbag.models.parts import BatchNorm
from trickbag.optim.config import TrainConfig
from trickbag.optim.optimizers import SGD
from trickbag.recipe import Recipe
from trickbag.recipes.arguments import Data, Model, to_model_config
from trickbag.recipes.lee2020 import original_images
from trickbag.tricks.auto_augment import AutoAugment
from trickbag.tricks.cosine_decay import CosineDecay
from trickbag.tricks.drop_block import DropBlock
from trickbag.tricks.label_smoothing import LabelSmoothing
from trickbag.tricks.mixup import Mixup
from trickbag.tricks.no_bias_decay import NoBiasDecay
from trickbag.tricks.warmup import Warmup

__all__ = ["assemble_fgvc"]

_MOMENTUM = 0.034
"""The weight of a new batch in the running statistics of Food-101: 10 / steps of an epoch.

The code takes max(1 - 10 / steps, 0.9) as TensorFlow's momentum, 0.966 for 295 steps. A smaller set
has 0.1: `--set model.norm.momentum=0.1`.
"""


def assemble_fgvc(*, data: Data = "digits", model: Model = "assemble_resnet50") -> Recipe:
    """Fine-tune Assemble-ResNet-50 to fine-grained classes: 100 epochs, batch 256, rate 0.01.

    Give the weights by `--init FILE`, such as the authors' `model.ckpt-750683`. Expect 92.50 %
    top-1 on Food-101, 94.40 % on Stanford Cars, 98.90 % on Oxford Flowers, 92.40 % on FGVC Aircraft
    and 94.30 % on Oxford-IIIT Pets: published figures (Lee et al. 2020, version 1, table 9,
    "Assemble-ResNet-FGVC-50"), not measured here. The settings are those of the code for Food-101.

    The code restores the variables that are trained and no others, so that the running statistics
    of batch normalisation begin at 0 and 1 again. Here they come with the weights. Its policy has
    95 sub-policies of CIFAR-10, in place of which the 25 published ones are used here.
    """
    config = to_model_config(model)
    settings: dict[str, Any] = {
        name: value
        for name, value in {"init": "lecun", "norm": BatchNorm(momentum=_MOMENTUM)}.items()
        if isinstance(getattr(config, name, None), type(value))
    }
    return Recipe(
        name="assemble_fgvc",
        data=data if isinstance(data, DataConfig) else original_images(data),
        model=dataclasses.replace(config, **settings),
        training=TrainConfig(
            epochs=100,
            batch_size=256,
            optimizer=SGD(momentum=0.9, nesterov=False),
            lr=0.01,
            weight_decay=1e-3,
        ),
        tricks=(
            Warmup(epochs=5.0),
            CosineDecay(),
            NoBiasDecay(free="norm"),
            LabelSmoothing(),
            Mixup(lam="pair", pairing="double"),
            DropBlock(start=0.9, keep_prob=0.7),
            AutoAugment(table="cifar10", fill=128),
        ),
    )
