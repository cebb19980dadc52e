"""Pictures of a policy: a few images of the data under each of its sub-policies.

Shapes: H and W pixels of the network's input.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from trickbag.data.decoding.decode import DecodeError
from trickbag.streams import stream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from trickbag.data.loading.preprocess import Preprocessing
    from trickbag.data.policies.policies import LearnedPolicy, Step
    from trickbag.data.source import Part

__all__ = ["PolicyPictures", "SubPolicyPictures", "policy_pictures"]


class SubPolicyPictures(NamedTuple):
    """The images under one sub-policy, each uint8 (H, W, 3), and its steps."""

    steps: tuple[Step, ...]
    images: list[NDArray[np.uint8]]


class PolicyPictures(NamedTuple):
    """Images as they are, each uint8 (H, W, 3), and under each sub-policy, in the same order."""

    plain: list[NDArray[np.uint8]]
    rows: list[SubPolicyPictures]


def policy_pictures(
    policy: LearnedPolicy, preprocessing: Preprocessing, part: Part, n: int, seed: int = 0
) -> PolicyPictures:
    """Return up to `n` random images of a part under each sub-policy of a policy.

    The crops are those of `preprocessing`, of three channels. Each image has its own draw of
    probabilities and signs, as in training: a step with a probability of 0.5 changes about half of
    a row. Images that cannot be read are left out. Sub-policies that are equal have one row.
    """
    crops = dict(_crops(preprocessing, part, n, seed))
    rows = []
    for number, steps in enumerate(dict.fromkeys(policy.table)):
        alone = replace(policy, table=(steps,))
        images = [
            np.asarray(alone(crop, stream(seed, "policy pictures", number, row)))
            for row, crop in crops.items()
        ]
        rows.append(SubPolicyPictures(steps, images))
    return PolicyPictures([np.asarray(crop) for crop in crops.values()], rows)


def _crops(
    preprocessing: Preprocessing, part: Part, n: int, seed: int
) -> Iterator[tuple[int, Image.Image]]:
    """Yield place and crop of up to `n` images of a part, in a random order."""
    left = n
    for row in stream(seed, "images of policy pictures").permutation(len(part)).tolist():
        if not left:
            return
        try:
            crop_CHW = preprocessing.crop(part.read(row))
        except DecodeError:
            continue
        yield row, Image.fromarray(np.ascontiguousarray(crop_CHW.transpose(1, 2, 0)))
        left -= 1
