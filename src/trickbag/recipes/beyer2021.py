"""Distillation by function matching: Beyer et al. 2021, *A good teacher is patient and consistent*.

Source: arXiv 2106.05237, sections 3.1 to 3.3 and table 1, and the authors' `distill/bit_i1k.py`.
All figures are published ones, on ImageNet; nothing here has been trained on it. `docs/recipes.md`
says what is not in it.
"""

from __future__ import annotations

from trickbag.data.config import DataConfig
from trickbag.optim.config import TrainConfig
from trickbag.optim.optimizers import AdamW
from trickbag.recipe import Recipe
from trickbag.recipes.arguments import Data, Model, to_model_config
from trickbag.tricks.cosine_decay import CosineDecay
from trickbag.tricks.distillation import Distillation
from trickbag.tricks.mixup import Mixup
from trickbag.tricks.no_bias_decay import NoBiasDecay
from trickbag.tricks.warmup import Warmup

__all__ = ["patient_teacher"]

_LR, _DECAY_OF_A_STEP = 0.03, 3e-4
_WARMUP_EPOCHS = 16.3
"""5,000 steps of 4,096 images, of the 98 % of ImageNet's training images that the authors take."""


def patient_teacher(
    *, data: Data = "digits", model: Model = "timm:resnetv2_50x1_bit", teacher: str | None = None
) -> Recipe:
    """Match a teacher's function on crops and mixtures of images: 9,600 epochs, no labels.

    Give the `teacher`, a run's folder, a weights file or `timm:NAME`: on the command line `--set
    tricks.distillation.teacher=RUN`. It sees every batch as the network does, mirrored, cropped and
    mixed. Expect 82.31 % top-1 on ImageNet with a BiT-M-ResNet-152x2 at 224 px as the teacher,
    which has 83.0 % (Beyer et al. 2021, table 1): a published figure, not measured here. The
    authors vary the epochs from 300 to 9,600.
    """
    return Recipe(
        name="patient_teacher",
        data=(
            data
            if isinstance(data, DataConfig)
            # As the published networks BiT take images: from -1 to 1.
            else DataConfig(
                source=data,
                crop_area=(0.05, 1.0),
                eval_crop=0.875,
                mean=(127.5, 127.5, 127.5),
                std=(127.5, 127.5, 127.5),
            )
        ),
        model=to_model_config(model),
        training=TrainConfig(
            epochs=9600,
            batch_size=4096,
            optimizer=AdamW(),
            lr=_LR,
            # AdamW multiplies it by the rate; the authors' decay does not have that factor.
            weight_decay=_DECAY_OF_A_STEP / _LR,
            clip_norm=1.0,
        ),
        tricks=(
            Warmup(epochs=_WARMUP_EPOCHS),
            CosineDecay(),
            NoBiasDecay(),
            Mixup(alpha=1.0),
            Distillation(
                teacher=() if teacher is None else (teacher,),
                form="kl",
                temperature=1.0,
                weight=1.0,
            ),
        ),
    )
