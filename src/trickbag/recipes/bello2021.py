"""The recipe of ResNet-RS-50: Bello et al. 2021, *Revisiting ResNets* (2103.07579).

Source: the paper, and the authors' `configs/resnetrs50_i160.yaml`. All figures are published ones,
on ImageNet; nothing here has been trained on it. `docs/recipes.md` says what is not in it.
"""

from __future__ import annotations

from trickbag.optim.config import TrainConfig
from trickbag.optim.optimizers import SGD
from trickbag.recipe import Recipe
from trickbag.recipes.arguments import Data, Model, of_imagenet, to_model_config
from trickbag.tricks.cosine_decay import CosineDecay
from trickbag.tricks.dropout import Dropout
from trickbag.tricks.ema import Ema
from trickbag.tricks.label_smoothing import LabelSmoothing
from trickbag.tricks.linear_scaling import LinearScaling
from trickbag.tricks.mixed_precision import MixedPrecision
from trickbag.tricks.no_bias_decay import NoBiasDecay
from trickbag.tricks.rand_augment import RandAugment
from trickbag.tricks.warmup import Warmup

__all__ = ["resnet_rs"]

_PX, _PADDING = 160, 32


def resnet_rs(*, data: Data = "digits", model: Model = "timm:resnetrs50") -> Recipe:
    """Train ResNet-RS-50 at 160 px: 350 epochs, batch 4,096.

    The network is timm's `resnetrs50`: ResNet-50-D with squeeze-excitation (ratio 1/4) and a
    convolution in place of the max-pool. Expect 78.80 % top-1 on ImageNet (Bello et al. 2021,
    ResNet-RS-50 at 160 px): a published figure, not measured here.
    """
    return Recipe(
        name="resnet_rs",
        data=of_imagenet(
            data,
            default_size=_PX,
            eval_crop=_PX / (_PX + _PADDING),
            interpolation="bicubic",
        ),
        model=to_model_config(model),
        training=TrainConfig(
            epochs=350,
            batch_size=4096,
            optimizer=SGD(momentum=0.9, nesterov=False),
            lr=0.1,
            weight_decay=4e-5,
        ),
        tricks=(
            LinearScaling(),
            Warmup(epochs=5.0),
            CosineDecay(),
            Ema(decay=0.9999),
            LabelSmoothing(smoothing=0.1),
            RandAugment(operations=2, magnitude=10, bins=11, fill=128),
            Dropout(drop_prob=0.25),
            NoBiasDecay(free="norm"),
            MixedPrecision(),
        ),
    )
