"""A recipe that trains a detector on the feature maps of a network."""

from __future__ import annotations

from trickbag.models.task_config import DetectionConfig
from trickbag.optim.config import TrainConfig
from trickbag.recipe import Recipe
from trickbag.recipes.arguments import Data, Model, to_data_config, to_model_config
from trickbag.tricks.mixed_precision import MixedPrecision
from trickbag.tricks.step_decay import StepDecay
from trickbag.tricks.warmup import Warmup

__all__ = ["detection"]


def detection(*, data: Data = "VOCdevkit", model: Model = "resnet50_d") -> Recipe:
    """Train Faster R-CNN with a feature pyramid: 20 epochs in batches of 8, images of 600x1000.

    `model` is the backbone, which starts from its weights with `--pretrained` or `--init`, and
    whose normalisations are then frozen. Rate, steps and weight decay are those of gluon-cv. He et
    al. 2018 (table 8) have 81.33 % mAP on VOC2007 from a backbone that all of their tricks trained,
    in the form with a single map (`--set task.features=single`): a published figure, not measured
    here.
    """
    return Recipe(
        name="detection",
        task=DetectionConfig(),
        data=to_data_config(data, image_size=(600, 1000), crop_area=(1.0, 1.0), resize="letterbox"),
        model=to_model_config(model),
        # 0.001 for each image of a batch, divided by 10 after 14 of 20 epochs.
        training=TrainConfig(
            epochs=20, batch_size=8, lr=0.008, weight_decay=5e-4, clip_norm=10.0, keep="best"
        ),
        # Without warm-up a detector that starts anew can diverge in its first steps.
        tricks=(Warmup(epochs=0.5), MixedPrecision(), StepDecay(at=(0.7,))),
    )
