"""The recipes of He et al. 2018, *Bag of Tricks for Image Classification with CNNs* (1812.01187).

All figures are published ones, on ImageNet; nothing here has been trained on it.
"""

from __future__ import annotations

from trickbag.optim.config import TrainConfig
from trickbag.recipe import Recipe
from trickbag.recipes.arguments import Data, Model, to_data_config, to_model_config
from trickbag.tricks.color_jitter import ColorJitter
from trickbag.tricks.cosine_decay import CosineDecay
from trickbag.tricks.distillation import Distillation
from trickbag.tricks.label_smoothing import LabelSmoothing
from trickbag.tricks.linear_scaling import LinearScaling
from trickbag.tricks.mixed_precision import MixedPrecision
from trickbag.tricks.mixup import Mixup
from trickbag.tricks.no_bias_decay import NoBiasDecay
from trickbag.tricks.pca_noise import PCANoise
from trickbag.tricks.resnet_tweaks import ResNetD
from trickbag.tricks.warmup import Warmup
from trickbag.tricks.zero_init_residual import ZeroInitResidual

__all__ = ["bag_of_tricks", "baseline", "efficient"]


def baseline(*, data: Data = "digits", model: Model = "resnet50_a") -> Recipe:
    """Train the paper's baseline: ResNet-50, batch 256, steps at 30, 60 and 90 of 120 epochs.

    Expect 75.87 % top-1 on ImageNet (He et al. 2018, table 2, on 8 V100): a published figure, not
    measured here.
    """
    return Recipe(
        name="baseline",
        data=to_data_config(data),
        model=to_model_config(model),
        training=TrainConfig(epochs=120, batch_size=256, lr=0.1, weight_decay=1e-4),
        tricks=(ColorJitter(), PCANoise()),
    )


def efficient(*, data: Data = "digits", model: Model = "resnet50_a") -> Recipe:
    """Train the paper's efficient baseline: batch 1,024, reduced precision, large-batch heuristics.

    Expect 76.21 % top-1 on ImageNet at a third of the baseline's time (He et al. 2018, table 3, on
    8 V100): published figures, not measured here.
    """
    return (
        baseline(data=data, model=model)
        # The rate is that of 256 images: linear scaling makes it 0.4, as in the authors' commands.
        .replace(
            name="efficient",
            training=TrainConfig(epochs=120, batch_size=1024, lr=0.1, weight_decay=1e-4),
        )
        .plus(
            LinearScaling(), Warmup(epochs=5.0), ZeroInitResidual(), NoBiasDecay(), MixedPrecision()
        )
    )


def bag_of_tricks(
    *, data: Data = "digits", model: Model = "resnet50_a", teacher: str | None = None
) -> Recipe:
    """Train with the paper's whole bag of tricks: ResNet-50-D, batch 1,024, 200 epochs.

    Its last trick, distillation, needs a `teacher`: a run's folder, a weights file or `timm:NAME`.
    The paper's is a ResNet-152-D, which this recipe trains too:
    `bag_of_tricks(model="resnet152_d").without("resnet_d")`. Expect 79.29 % top-1 on ImageNet with
    it, 79.15 % without (He et al. 2018, table 6, on 8 V100): published figures, not measured here.
    """
    recipe = (
        efficient(data=data, model=model)
        # The authors train 120 epochs without mixup, and 200 with it.
        .replace(
            name="bag_of_tricks",
            training=TrainConfig(epochs=200, batch_size=1024, lr=0.1, weight_decay=1e-4),
        )
        .plus(ResNetD(), CosineDecay(), LabelSmoothing(), Mixup())
    )
    return recipe if teacher is None else recipe.plus(Distillation(teacher=(teacher,)))
