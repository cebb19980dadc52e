"""The identity of a trial: the plain data whose hash is its id."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from trickbag.models.config import TimmConfig

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trickbag.recipe import Recipe
    from trickbag.tricks.trick import Trick

__all__ = [
    "HEAD_VERSION",
    "NETWORKS_VERSION",
    "RESIZE_VERSION",
    "WEIGHTS_VERSION",
    "teachers_of",
    "trial_of",
]

WEIGHTS_VERSION = 2
"""Version of what runs compute that start from weights, or learn from those that timm publishes.

See `trickbag.recipe.NUMBERS`. Version 1, which is not written, had other images for these weights.
"""

HEAD_VERSION = 2
"""Version of the classifier of runs that start from weights.

Version 1, which is not written, drew the rows that start anew; they are zero now.
"""

NETWORKS_VERSION = 2
"""Version of what runs of timm's networks compute; see `trickbag.recipe.NUMBERS`."""


RESIZE_VERSION = 2
"""Version of what runs compute whose images timm's config of a network shapes.

Version 1, which is not written, cut the centre out of images that timm squashes or pads, and had
squares where timm's images are none.
"""


def trial_of(recipe: Recipe, seed: int, fingerprint: str) -> dict[str, Any]:
    """Return the identity of a trial: recipe, seed, fingerprint of the data, digests of weights.

    `trickbag.recipe.digest` of it is the trial's id. Raises UserError if the initial weights or
    those of a teacher cannot be read.
    """
    init = None
    if recipe.training.init:
        from trickbag.models.weights import weights_digest

        init = weights_digest(Path(recipe.training.init))
    trial = {"recipe": recipe.identity(), "seed": seed, "data": fingerprint, "init": init}
    if isinstance(recipe.model, TimmConfig):
        # Before, weight decay was on position embeddings too, some families had other layer groups,
        # and Inception no auxiliary head.
        trial["networks_version"] = NETWORKS_VERSION
    teachers = teachers_of(recipe.tricks)
    of_timm = any(teacher.startswith("timm:") for teacher in teachers)
    from_weights = bool(recipe.training.init or recipe.training.pretrained)
    if from_weights or of_timm:
        trial["weights_version"] = WEIGHTS_VERSION
    if from_weights:
        trial["head_version"] = HEAD_VERSION
    if _follows_timms_shape(recipe, teachers, from_weights=from_weights):
        trial["resize_version"] = RESIZE_VERSION
    # Without teachers the key is absent, as it was before there were any: ids stay.
    return trial | {"teachers": teachers} if teachers else trial


def _follows_timms_shape(recipe: Recipe, teachers: Iterable[str], *, from_weights: bool) -> bool:
    """Tell whether images get another shape by timm's config of the network or of a teacher."""
    model = recipe.model
    weights = [teacher.removeprefix("timm:") for teacher in teachers if teacher.startswith("timm:")]
    if from_weights and recipe.data.resize is None:
        from trickbag.models.pretrained import timm_name

        name = model.name if isinstance(model, TimmConfig) else timm_name(model)
        weights += [name] if name is not None else []
    names = list(weights)
    if isinstance(model, TimmConfig) and recipe.data.image_size is None:
        names.append(model.name)
    if not names:
        return False
    from trickbag.models.published import published

    prepared = {name: of.preprocessing for name in names if (of := published(name)) is not None}
    return any(
        isinstance(given.image_size, tuple) or (name in weights and given.resize_policy != "crop")
        for name, given in prepared.items()
    )


def teachers_of(tricks: Iterable[Trick]) -> list[str]:
    """Return the ids of the tricks' teachers. Raises UserError if there is no such teacher."""
    specs = [spec for trick in tricks if (spec := trick.teachers()) is not None]
    if not specs:
        return []
    from trickbag.train.teachers.teacher import teacher_id

    return [teacher_id(teacher) for spec in specs for teacher in spec.teachers]
