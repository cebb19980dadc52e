"""A recipe that fits the classifier of a trained network to images of the size of the test."""

from __future__ import annotations

from trickbag.optim.config import TrainConfig
from trickbag.recipe import Recipe
from trickbag.recipes.arguments import Data, Model, to_data_config, to_model_config
from trickbag.tricks.cosine_decay import CosineDecay
from trickbag.tricks.mixed_precision import MixedPrecision

__all__ = ["fixres"]


def fixres(*, data: Data = "digits", model: Model = "resnet50_d") -> Recipe:
    """Train the classifier alone, on images prepared as in evaluation, of the size of the test.

    For a network that was trained on random crops: objects are larger in these than in a test at
    the same size. Give the run as `training.init` (`--init RUN`), its data and its network, and a
    larger `--image-size` than that of the training (Touvron et al. 2019, arXiv 1906.06423). The
    classifier goes on from its weights. Training and validation see the largest
    central part of the shape of `data.image_size`, without a random scale; all else of the network
    stays as it is, its running statistics too. Unlike in the paper the last batch normalisation
    is not trained.

    The settings are a guess that fits small data, and nothing is measured with them.
    """
    return Recipe(
        name="fixres",
        data=to_data_config(data, crop_area=(1.0, 1.0), crop_ratio=(1.0, 1.0), eval_crop=1.0),
        model=to_model_config(model),
        training=TrainConfig(
            epochs=5,
            batch_size=64,
            lr=0.01,
            pretrained=True,
            freeze="body",
            layout="channels_last",
        ),
        tricks=(MixedPrecision(dtype="auto_on_gpu"), CosineDecay()),
    )
