"""The ladder of Lee et al. 2020: their ablation of ResNet-50, step by step, as recipes of tricks.

Source: arXiv 2001.06268, table 7, and its TensorFlow code. All figures are published ones, on
ImageNet; nothing here has been trained on it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from trickbag.data.config import DataConfig
from trickbag.models.parts import BatchNorm
from trickbag.optim.config import TrainConfig
from trickbag.optim.optimizers import SGD
from trickbag.recipe import Recipe
from trickbag.recipes.arguments import Data, Model, to_model_config
from trickbag.tricks.anti_alias import AntiAlias
from trickbag.tricks.auto_augment import AutoAugment
from trickbag.tricks.big_little import BigLittleBranches
from trickbag.tricks.cosine_decay import CosineDecay
from trickbag.tricks.distillation import Distillation
from trickbag.tricks.drop_block import DropBlock
from trickbag.tricks.label_smoothing import LabelSmoothing
from trickbag.tricks.mixed_precision import MixedPrecision
from trickbag.tricks.mixup import Mixup
from trickbag.tricks.no_bias_decay import NoBiasDecay
from trickbag.tricks.resnet_tweaks import ResNetD
from trickbag.tricks.selective_kernel import SelectiveKernel
from trickbag.tricks.squeeze_excite import SqueezeExcite
from trickbag.tricks.trick import Trick
from trickbag.tricks.warmup import Warmup
from trickbag.tricks.zero_init_residual import ZeroInitResidual

__all__ = [
    "LADDER",
    "assemble_e0",
    "assemble_e1",
    "assemble_e2",
    "assemble_e3",
    "assemble_e4",
    "assemble_e5",
    "assemble_e6",
    "assemble_e7",
    "assemble_e8",
    "assemble_e9",
    "assemble_e10",
    "assemble_e11",
    "assemble_e12",
    "assemble_resnet50",
    "assemble_resnet152",
    "original_images",
]

_MEAN = (123.68, 116.78, 103.94)
_TRAINED_PX, _EVALUATED_PX = 224, 256
# From the code's settings: int(256 / 0.875) for ResNet-50, 256 + 1 for ResNet-152.
_RESIZED_PX = {50: 292, 152: 257}
"""The shorter edge of an image whose centre of 256 px is evaluated, by depth of the network."""


def assemble_e0(*, data: Data = "digits", model: Model = "resnet50") -> Recipe:
    """Train the ladder's baseline: ResNet-50, batch 1,024, 120 epochs of cosine decay.

    Expect 76.87 % top-1 (Lee et al. 2020, table 7, E0). Images are neither jittered in colour nor
    divided by a standard deviation, the momentum is not Nesterov's, and all weights but those of
    normalisations are decayed, biases too.
    """
    config = to_model_config(model)
    # TensorFlow's momentum of 0.997 is the share of the old value, torch's that of the new one.
    paper: dict[str, Any] = {"init": "lecun", "norm": BatchNorm(momentum=0.003)}
    # A network of timm has neither of these settings.
    settings = {
        name: value
        for name, value in paper.items()
        if isinstance(getattr(config, name, None), type(value))
    }
    return Recipe(
        name="assemble_e0",
        data=data if isinstance(data, DataConfig) else original_images(data),
        model=dataclasses.replace(config, **settings),
        training=TrainConfig(
            epochs=120,
            batch_size=1024,
            optimizer=SGD(momentum=0.9, nesterov=False),
            lr=0.4,
            weight_decay=1e-4,
        ),
        tricks=(
            Warmup(epochs=5.0),
            CosineDecay(),
            ZeroInitResidual(),
            NoBiasDecay(free="norm"),
            MixedPrecision(),
        ),
    )


def assemble_e1(*, data: Data = "digits", model: Model = "resnet50") -> Recipe:
    """Train E0 with the tweak D: expect 77.37 % top-1 (Lee et al. 2020, table 7, E1)."""
    return _step("assemble_e1", assemble_e0(data=data, model=model), ResNetD())


def assemble_e2(*, data: Data = "digits", model: Model = "resnet50") -> Recipe:
    """Train E1 with label smoothing: expect 78.35 % top-1 (Lee et al. 2020, table 7, E2)."""
    return _step("assemble_e2", assemble_e1(data=data, model=model), LabelSmoothing())


def assemble_e3(*, data: Data = "digits", model: Model = "resnet50") -> Recipe:
    """Train E2 with mixup of twice the images, 200 epochs: expect 79.10 % top-1.

    Source: Lee et al. 2020, table 7, E3.
    """
    # The code's type 1: twice the images for as many steps, so that an epoch shows each one twice.
    mixup = Mixup(lam="pair", pairing="double")
    return _step("assemble_e3", assemble_e2(data=data, model=model), mixup, epochs=200)


def assemble_e4(*, data: Data = "digits", model: Model = "resnet50") -> Recipe:
    """Train E3 with squeeze-excitation: expect 79.71 % top-1 (Lee et al. 2020, table 7, E4)."""
    return _step(
        "assemble_e4", assemble_e3(data=data, model=model), SqueezeExcite(bias=False, divisor=1)
    )


def assemble_e5(*, data: Data = "digits", model: Model = "resnet50") -> Recipe:
    """Train E4 with DropBlock, 270 epochs: expect 80.40 % top-1 (Lee et al. 2020, table 7, E5)."""
    return _step("assemble_e5", assemble_e4(data=data, model=model), DropBlock(), epochs=270)


def assemble_e6(*, data: Data = "digits", model: Model = "resnet50") -> Recipe:
    """Train E5 with selective kernels for squeeze-excitation: expect 81.40 % top-1.

    Source: Lee et al. 2020, table 7, E6.
    """
    recipe = assemble_e5(data=data, model=model).without("squeeze_excite")
    return _step("assemble_e6", recipe, SelectiveKernel())


def assemble_e7(
    *, data: Data = "digits", model: Model = "resnet50", teacher: str | None = None
) -> Recipe:
    """Train E6 with distillation: expect 81.69 % top-1 with the authors' teacher.

    That is an AmoebaNet-A, whose logits of centre crops are cached (Lee et al. 2020, table 7, E7).
    `teacher` is a run's folder, a weights file or
    `timm:NAME`; on the command line it is `--with
    distillation:teacher=RUN,form=assemble,view=centre`. Without a teacher the recipe is E6.
    """
    recipe = _step("assemble_e7", assemble_e6(data=data, model=model))
    return (
        recipe
        if teacher is None
        else recipe.plus(Distillation(teacher=(teacher,), form="assemble", view="centre"))
    )


def assemble_e8(
    *, data: Data = "digits", model: Model = "resnet50", teacher: str | None = None
) -> Recipe:
    """Train E7 for 600 epochs: expect 82.10 % top-1 with E7's teacher.

    Source: Lee et al. 2020, table 7, E8.
    """
    return _step("assemble_e8", assemble_e7(data=data, model=model, teacher=teacher), epochs=600)


def assemble_e9(
    *, data: Data = "digits", model: Model = "resnet50", teacher: str | None = None
) -> Recipe:
    """Train E8 as a Big-Little network, evaluated at 256 px: expect 82.44 % top-1.

    With E7's teacher (Lee et al. 2020, table 7, E9). The tweak D is out: the published networks
    with Big-Little branches are built without it.
    """
    recipe = assemble_e8(data=data, model=model, teacher=teacher).without("resnet_d")
    return _step(
        "assemble_e9",
        _evaluated_at_256(recipe, 50, given=isinstance(data, DataConfig)),
        BigLittleBranches(),
    )


def assemble_e10(
    *, data: Data = "digits", model: Model = "resnet50", teacher: str | None = None
) -> Recipe:
    """Train E9 with anti-aliasing: expect 82.69 % top-1 with E7's teacher.

    Source: Lee et al. 2020, table 7, E10.
    """
    return _step("assemble_e10", assemble_e9(data=data, model=model, teacher=teacher), AntiAlias())


def assemble_e11(
    *, data: Data = "digits", model: Model = "resnet50", teacher: str | None = None
) -> Recipe:
    """Train E10 with AutoAugment: expect 82.78 % top-1 with E7's teacher.

    Source: Lee et al. 2020, table 7, E11.
    """
    policy = AutoAugment(version="assemble")
    return _step("assemble_e11", assemble_e10(data=data, model=model, teacher=teacher), policy)


def assemble_e12(
    *, data: Data = "digits", model: Model = "resnet152", teacher: str | None = None
) -> Recipe:
    """Train E11's tricks on ResNet-152: expect 84.19 % top-1 with the authors' teacher.

    That is an EfficientNet-B7 (Lee et al. 2020, table 7, E12). Little branches are as wide as big
    ones (alpha 1) and half as deep (beta 2).
    """
    recipe = assemble_e11(data=data, model=model, teacher=teacher)
    given = isinstance(data, DataConfig)
    return _step(
        "assemble_e12",
        _evaluated_at_256(recipe, 152, given=given),
        BigLittleBranches(alpha=1, beta=2),
    )


def assemble_resnet50(
    *, data: Data = "digits", model: Model = "resnet50", teacher: str | None = None
) -> Recipe:
    """Train Assemble-ResNet-50, the ladder's E11, for 600 epochs: expect 82.78 % top-1.

    On ImageNet, with an AmoebaNet-A as the `teacher`, and an mCE of 48.89: published figures (Lee
    et al. 2020, tables 1 and 7, on 8 P40), not measured here. Without a teacher it learns from the
    labels alone.
    """
    return _step("assemble_resnet50", assemble_e11(data=data, model=model, teacher=teacher))


def assemble_resnet152(
    *, data: Data = "digits", model: Model = "resnet152", teacher: str | None = None
) -> Recipe:
    """Train Assemble-ResNet-152, the ladder's E12, for 600 epochs: expect 84.19 % top-1.

    On ImageNet, with an EfficientNet-B7 as the `teacher`, and an mCE of 43.27: published figures
    (Lee et al. 2020, tables 1 and 7, on 8 P40), not measured here. Without a teacher it learns from
    the labels alone.
    """
    return _step("assemble_resnet152", assemble_e12(data=data, model=model, teacher=teacher))


def original_images(source: str) -> DataConfig:
    """Return data that are prepared as in the authors' code for 224 px."""
    # The code draws areas from 5 % on, and again where less than a tenth of the image is left.
    return DataConfig(
        source=source,
        crop_area=(0.1, 1.0),
        crop_ratio=(0.75, 1.33),
        mean=_MEAN,
        std=(1.0, 1.0, 1.0),
    )


def _evaluated_at_256(recipe: Recipe, depth: int, *, given: bool) -> Recipe:
    """Return the recipe with validation images of 256 px after training at 224.

    Data that a caller has `given` with all their settings stay as they are.
    """
    if given:
        return recipe
    data = dataclasses.replace(
        recipe.data,
        eval_ratio=_EVALUATED_PX / _TRAINED_PX,
        eval_crop=_EVALUATED_PX / _RESIZED_PX[depth],
    )
    return recipe.replace(data=data)


def _step(name: str, recipe: Recipe, *tricks: Trick, epochs: int | None = None) -> Recipe:
    training = (
        recipe.training if epochs is None else dataclasses.replace(recipe.training, epochs=epochs)
    )
    return recipe.replace(name=name, training=training).plus(*tricks)


LADDER: Mapping[str, Callable[..., Recipe]] = MappingProxyType(
    {
        recipe.__name__: recipe
        for recipe in (
            assemble_resnet50,
            assemble_resnet152,
            assemble_e0,
            assemble_e1,
            assemble_e2,
            assemble_e3,
            assemble_e4,
            assemble_e5,
            assemble_e6,
            assemble_e7,
            assemble_e8,
            assemble_e9,
            assemble_e10,
            assemble_e11,
            assemble_e12,
        )
    }
)
"""The recipes of Lee et al. 2020 by name: their two networks, and the steps to them."""
