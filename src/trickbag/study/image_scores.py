"""The scores of a study's images, read from the folders of its trials."""

from __future__ import annotations

import contextlib
import functools
from typing import TYPE_CHECKING

from trickbag.errors import UserError
from trickbag.study.analysis.images import BY_IMAGE
from trickbag.train.folder.image_scores import read_image_scores
from trickbag.train.folder.run_folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from trickbag.study.analysis.images import ScoresByImage
    from trickbag.study.units import Unit
    from trickbag.train.folder.image_scores import ScoredPart

__all__ = ["scores_by_image"]

_TEST = "test_"
_KEPT = 64
"""Trials whose scores stay in memory: effects share their trials."""


def scores_by_image(
    ids: Mapping[tuple[str, str], Mapping[Unit, str]], outcome: str, folders: Sequence[Path]
) -> ScoresByImage | None:
    """Return what reads the scores of an outcome; None for one that is no mean over images.

    `ids` are those of the trials by (network, variant) and seed; `folders` hold the trials' own
    folders, by id.
    """
    part: ScoredPart = "test" if outcome.startswith(_TEST) else "val"
    metric = outcome.removeprefix(_TEST)
    if metric not in BY_IMAGE:
        return None

    @functools.lru_cache(maxsize=_KEPT)
    def read(trial: str) -> NDArray[np.float32] | None:
        for folder in folders:
            # Its trials are done: nothing that lies there keeps a study from its effects.
            with contextlib.suppress(UserError):
                values = read_image_scores(RunFolder(folder / trial).image_scores, part, metric)
                if values is not None:
                    return values
        return None

    def scores(model: str, label: str, seed: Unit) -> NDArray[np.float32] | None:
        trial = ids.get((model, label), {}).get(seed)
        return None if trial is None else read(trial)

    return scores
