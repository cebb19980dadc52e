"""The identity of a trial: the plain data whose hash is its id."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from trickbag.models.config import TimmConfig

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trickbag.recipe import Recipe
    from trickbag.tricks.trick import Trick

__all__ = ["NETWORKS_VERSION", "WEIGHTS_VERSION", "teachers_of", "trial_of"]

WEIGHTS_VERSION = 2
"""Version of what runs compute that start from weights, or learn from those that timm publishes.

See `trickbag.recipe.NUMBERS`. Version 1, which is not written, had other images for these weights.
"""

NETWORKS_VERSION = 2
"""Version of what runs of timm's networks compute; see `trickbag.recipe.NUMBERS`."""


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
    if recipe.training.init or recipe.training.pretrained or of_timm:
        trial["weights_version"] = WEIGHTS_VERSION
    # Without teachers the key is absent, as it was before there were any: ids stay.
    return trial | {"teachers": teachers} if teachers else trial


def teachers_of(tricks: Iterable[Trick]) -> list[str]:
    """Return the ids of the tricks' teachers. Raises UserError if there is no such teacher."""
    specs = [spec for trick in tricks if (spec := trick.teachers()) is not None]
    if not specs:
        return []
    from trickbag.train.teachers.teacher import teacher_id

    return [teacher_id(teacher) for spec in specs for teacher in spec.teachers]
