"""The recipes A1, A2 and A3 of Wightman et al. 2021, *ResNet strikes back* (2110.00476).

Source: table 2 of the paper; what it leaves open is as in timm, by which it trains. All figures are
published ones, on ImageNet; nothing here has been trained on it. `docs/recipes.md` says what is not
in them.
"""

from __future__ import annotations

from trickbag.optim.config import TrainConfig
from trickbag.optim.optimizers import TimmOptimizer
from trickbag.recipe import Recipe
from trickbag.recipes.arguments import Data, Model, of_imagenet, with_init
from trickbag.tricks.bce import BCE
from trickbag.tricks.cosine_decay import CosineDecay
from trickbag.tricks.label_smoothing import LabelSmoothing
from trickbag.tricks.mixed_precision import MixedPrecision
from trickbag.tricks.mixup_cutmix import MixupCutMix
from trickbag.tricks.no_bias_decay import NoBiasDecay
from trickbag.tricks.rand_augment import RandAugment
from trickbag.tricks.repeated_augmentation import RepeatedAugmentation
from trickbag.tricks.stochastic_depth import StochasticDepth
from trickbag.tricks.trick import Trick
from trickbag.tricks.warmup import Warmup
from trickbag.tricks.zero_init_residual import ZeroInitResidual

__all__ = ["rsb_a1", "rsb_a2", "rsb_a3"]

_A3_PX, _EVALUATED_PX = 160, 224
_EVAL_CROP = 0.95
_THRESHOLD = 0.2
_FILL = 116
"""The grey of pixels from outside the image: timm has the mean colour, (124, 116, 104)."""


def rsb_a1(*, data: Data = "digits", model: Model = "resnet50") -> Recipe:
    """Train ResNet-50 with LAMB and binary cross-entropy for 600 epochs: the procedure A1.

    Expect 80.40 % top-1 on ImageNet (Wightman et al. 2021, table 2): a published figure, not
    measured here. The batch is 2,048 images; the rate does not follow another one.
    """
    recipe = _recipe("rsb_a1", data, model, epochs=600, lr=5e-3, weight_decay=0.01)
    # Smoothed targets are not thresholded: that would take the smoothing away.
    return recipe.plus(
        BCE(reduction="mean"),
        LabelSmoothing(smoothing=0.1),
        *_changes(magnitude=7, mixup_alpha=0.2),
        RepeatedAugmentation(times=3),
        StochasticDepth(drop_prob=0.05),
    )


def rsb_a2(*, data: Data = "digits", model: Model = "resnet50") -> Recipe:
    """Train ResNet-50 with LAMB and binary cross-entropy for 300 epochs: the procedure A2.

    Expect 79.80 % top-1 on ImageNet (Wightman et al. 2021, table 2): a published figure, not
    measured here. A mixed image shows both of its classes in full.
    """
    recipe = _recipe("rsb_a2", data, model, epochs=300, lr=5e-3, weight_decay=0.02)
    return recipe.plus(
        BCE(reduction="mean", target_threshold=_THRESHOLD),
        *_changes(magnitude=7, mixup_alpha=0.1),
        RepeatedAugmentation(times=3),
        StochasticDepth(drop_prob=0.05),
    )


def rsb_a3(*, data: Data = "digits", model: Model = "resnet50") -> Recipe:
    """Train ResNet-50 at 160 px for 100 epochs, and evaluate it at 224 px: the procedure A3.

    Expect 78.10 % top-1 on ImageNet (Wightman et al. 2021, table 2): a published figure, not
    measured here.
    """
    recipe = _recipe("rsb_a3", data, model, epochs=100, lr=8e-3, weight_decay=0.02, px=_A3_PX)
    return recipe.plus(
        BCE(reduction="mean", target_threshold=_THRESHOLD),
        *_changes(magnitude=6, mixup_alpha=0.1),
    )


def _recipe(
    name: str,
    data: Data,
    model: Model,
    *,
    epochs: int,
    lr: float,
    weight_decay: float,
    px: int = _EVALUATED_PX,
) -> Recipe:
    """Return what the three have in common; images are trained at `px`, evaluated at 224."""
    return Recipe(
        name=name,
        data=of_imagenet(
            data,
            default_size=px,
            eval_ratio=_EVALUATED_PX / px,
            eval_crop=_EVAL_CROP,
            interpolation="bicubic",
        ),
        model=with_init(model, "msra"),
        training=TrainConfig(
            epochs=epochs,
            batch_size=2048,
            optimizer=TimmOptimizer(name="lamb"),
            lr=lr,
            weight_decay=weight_decay,
        ),
        tricks=(
            Warmup(epochs=5.0),
            CosineDecay(),
            ZeroInitResidual(),
            NoBiasDecay(),
            MixedPrecision(),
        ),
    )


def _changes(*, magnitude: int, mixup_alpha: float) -> tuple[Trick, ...]:
    """Return what changes images: timm's `rand-mM-mstd0.5-inc1`, then mixup or CutMix."""
    policy = RandAugment(
        version="timm",
        magnitude=magnitude,
        bins=11,
        prob=0.5,
        magnitude_std=0.5,
        fill=_FILL,
        interpolation="bilinear",
    )
    return policy, MixupCutMix(mixup_alpha=mixup_alpha, cutmix_alpha=1.0)
