"""The recipe by which torchvision trains its weights `IMAGENET1K_V2` of ResNet-50.

Source: Vryniotis 2021, *How to Train State-Of-The-Art Models Using TorchVision's Latest
Primitives*; the commands of pytorch/vision, issue 3995 and pull request 5201, with the defaults of
their script. All figures are published ones, on ImageNet; nothing here has been trained on it.
`docs/recipes.md` says what is not in it.
"""

from __future__ import annotations

from trickbag.optim.config import TrainConfig
from trickbag.optim.optimizers import SGD
from trickbag.recipe import Recipe
from trickbag.recipes.arguments import Data, Model, of_imagenet, with_init
from trickbag.tricks.cosine_decay import CosineDecay
from trickbag.tricks.ema import Ema
from trickbag.tricks.label_smoothing import LabelSmoothing
from trickbag.tricks.linear_scaling import LinearScaling
from trickbag.tricks.mixup_cutmix import MixupCutMix
from trickbag.tricks.no_bias_decay import NoBiasDecay
from trickbag.tricks.random_erasing import RandomErasing
from trickbag.tricks.repeated_augmentation import RepeatedAugmentation
from trickbag.tricks.trivial_augment import TrivialAugment
from trickbag.tricks.warmup import Warmup

__all__ = ["torchvision_2021"]

_TRAINED_PX, _EVALUATED_PX, _RESIZED_PX = 176, 224, 232
_EPOCHS, _BATCH, _EVERY = 600, 1024, 32
_DECAY = 1 - (1 - 0.99998) * _BATCH * _EVERY / _EPOCHS
"""The decay of one update of the average: the script takes a decay of 0.99998, and multiplies its
distance to 1 by batch, steps between two updates and 1 / epochs."""


def torchvision_2021(*, data: Data = "digits", model: Model = "resnet50") -> Recipe:
    """Train ResNet-50 as torchvision does: 600 epochs at 176 px, evaluated at 224 px.

    Expect 80.86 % top-1 on ImageNet (pytorch/vision, pull request 5201, with four repeats of each
    image; 80.67 % without them): published figures, not measured here. The rate is 0.5 at 1,024
    images, and scales with the batch.
    """
    return Recipe(
        name="torchvision_2021",
        data=of_imagenet(
            data,
            default_size=_TRAINED_PX,
            eval_ratio=_EVALUATED_PX / _TRAINED_PX,
            eval_crop=_EVALUATED_PX / _RESIZED_PX,
        ),
        model=with_init(model, "msra"),
        training=TrainConfig(
            epochs=_EPOCHS,
            batch_size=_BATCH,
            optimizer=SGD(momentum=0.9, nesterov=False),
            # That of 256 images, which linear scaling makes 0.5.
            lr=0.125,
            weight_decay=2e-5,
        ),
        tricks=(
            LinearScaling(),
            Warmup(epochs=5.0, by="epoch"),
            CosineDecay(),
            TrivialAugment(),
            RandomErasing(prob=0.1, area=(0.02, 0.33), ratio=(0.3, 3.3), fill="zero"),
            LabelSmoothing(smoothing=0.1),
            MixupCutMix(mixup_alpha=0.2, cutmix_alpha=1.0),
            NoBiasDecay(free="norm"),
            Ema(decay=_DECAY, every=_EVERY),
            RepeatedAugmentation(times=4),
        ),
    )
