"""Images of the data of a search, as they are and under the policy that it found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from trickbag.errors import TrickbagError
from trickbag.report.search.records import read_search

if TYPE_CHECKING:
    from pathlib import Path

    from trickbag.report.pictures import Image

__all__ = ["PolicyImages", "policy_images"]

_SHOWN = 8


@dataclass(frozen=True, kw_only=True)
class PolicyImages:
    """A few images as they are, and under each row of a policy; `absent` says why there are none.

    `rows` are in the order of the policy's table.
    """

    plain: Sequence[Image] = field(default_factory=tuple)
    rows: Sequence[Sequence[Image]] = field(default_factory=tuple)
    absent: str = ""


def policy_images(folder: Path) -> PolicyImages:
    """Read a few training images of a search and change them by the policy that it found.

    Raises UserError if the folder is no search, or one of its files is damaged.
    """
    search = read_search(folder)
    if search.policy is None:
        return PolicyImages()
    from trickbag.data.dataset import prepare
    from trickbag.data.loading.preprocess import Preprocessing
    from trickbag.data.policies.policies import LearnedPolicy
    from trickbag.recipe import Recipe
    from trickbag.search.autoaugment.pictures import policy_pictures
    from trickbag.train.plan.resolve import resolve

    table = search.policy.table
    try:
        recipe = Recipe.from_dict(search.record.recipe)
        dataset = prepare(recipe.data)
        plan, _ = resolve(recipe, dataset, search.record.seed)
        preprocessing = Preprocessing.of(plan.data, plan.image_size)
        pictures = policy_pictures(LearnedPolicy(table=table), preprocessing, dataset.train, _SHOWN)
    except TrickbagError as error:
        return PolicyImages(absent=f"the images of the data cannot be read: {error}")
    # Rows that are equal have one list of pictures.
    by_steps = {row.steps: row.images for row in pictures.rows}
    return PolicyImages(plain=pictures.plain, rows=[by_steps[row] for row in table])
