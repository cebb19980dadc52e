"""A recipe that trains a network to classify every pixel."""

from __future__ import annotations

from trickbag.models.task_config import SegmentationConfig
from trickbag.optim.config import TrainConfig
from trickbag.recipe import Recipe
from trickbag.recipes.arguments import Data, Model, to_data_config, to_model_config
from trickbag.tricks.mixed_precision import MixedPrecision
from trickbag.tricks.poly_decay import PolyDecay

__all__ = ["segmentation"]


def segmentation(*, data: Data = "images", model: Model = "resnet50_d") -> Recipe:
    """Train an FCN on a dilated backbone: 50 epochs in batches of 16, crops of 480 px.

    `model` is the backbone, which starts from its weights with `--pretrained` or `--init`. Rate,
    decay, weight decay, auxiliary loss and crop are those of gluon-cv, with which He et al. 2018
    (table 9) measured 79.25 % pixel accuracy and 39.33 % mIoU on ADE20K: published figures, not
    measured here.
    """
    return Recipe(
        name="segmentation",
        task=SegmentationConfig(),
        data=to_data_config(data, image_size=480, resize="letterbox"),
        model=to_model_config(model),
        training=TrainConfig(epochs=50, batch_size=16, lr=0.01, weight_decay=1e-4, keep="best"),
        tricks=(MixedPrecision(), PolyDecay()),
    )
