"""How often the predictions for two shifted views of an image agree: shift consistency.

Zhang 2019, "Making Convolutional Networks Shift-Invariant Again" (arXiv 1904.11486), section 4.1,
and its code, adobe/antialiased-cnns: two crops of 224 px at random places of the 256 px to which
the image was scaled, five pairs an image. Small images, whose crop leaves nothing out, are shifted
in a circle, as the paper does on CIFAR-10.

Shapes: N images, C channels, H and W pixels.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import torch

from trickbag.data.size import as_size, height_width
from trickbag.errors import Note, RunFailed, UserError, shown
from trickbag.evaluate.robustness.crops import Crops
from trickbag.evaluate.robustness.perturbations.details import ShiftDetails
from trickbag.functional.device import copied
from trickbag.metrics.bootstrap import mean_intervals
from trickbag.streams import stream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from trickbag.evaluate.record import EvaluationRecord
    from trickbag.evaluate.trained import Trained
    from trickbag.metrics.bootstrap import Interval

__all__ = ["PAIRS", "ShiftMode", "Shifts", "evaluate_shifts"]

PAIRS = 5
"""Pairs of views of an image, as in the published code."""

ShiftMode = Literal["crop", "circular"]
"""crop: another part of the scaled image is cut out. circular: what leaves an edge comes in at the
opposite one."""

_METRICS = {"random": "shift_consistency", "diagonal": "diagonal_shift_consistency"}
"""The metric of each of `details.PATHS`."""


class Shifts(NamedTuple):
    """How images are shifted: the mode, the frame's height and width, and the numbers of places.

    A view begins at a row and a column, each from 0 to below its number of `places`.
    """

    mode: ShiftMode
    size: tuple[int, int]
    places: tuple[int, int]

    @classmethod
    def of(cls, size: tuple[int, int], scaled: tuple[int, int]) -> Shifts:
        """Choose the mode: crops where the scaled image has two places or more on both axes."""
        margins = scaled[0] - size[0], scaled[1] - size[1]
        return cls("crop", size, margins) if min(margins) > 1 else cls("circular", size, size)

    def draw(
        self, path: str, seed: int, pair: int, row: int
    ) -> tuple[tuple[int, int], tuple[int, int]]:
        """Draw the places (row, column) of both views of an image.

        On the `diagonal` path the row and the column of a place are the same.
        """
        rng = stream(seed, f"shift:{path}", pair, row)
        if path == "diagonal":
            first, second = rng.integers(0, min(self.places), 2).tolist()
            return (first, first), (second, second)
        (y, y2), (x, x2) = (rng.integers(0, places, 2).tolist() for places in self.places)
        return (y, x), (y2, x2)

    def distance(self, first: tuple[int, int], second: tuple[int, int]) -> int:
        """Return how far apart two places are: the larger of the distances in rows and columns."""
        apart = [abs(a - b) for a, b in zip(first, second, strict=True)]
        if self.mode == "circular":
            apart = [min(d, places - d) for d, places in zip(apart, self.places, strict=True)]
        return max(apart)

    def views(self, images_NCHW: Tensor, places: Sequence[tuple[int, int]]) -> Tensor:
        """Return a view (N, C, H, W) of each image at its place."""
        height, width = self.size
        pairs = zip(images_NCHW, places, strict=True)
        if self.mode == "circular":
            return torch.stack([image.roll((-y, -x), (1, 2)) for image, (y, x) in pairs])
        return torch.stack([image[:, y : y + height, x : x + width] for image, (y, x) in pairs])


def evaluate_shifts(
    trained: Trained,
    *,
    data: str | None = None,
    image_root: str | tuple[str, ...] | None = None,
    part: str | None = None,
    limit: int | None = None,
    pairs: int = PAIRS,
    seed: int = 0,
    batch_size: int | None = None,
    workers: int | None = None,
    checking: Callable[[int, int], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> EvaluationRecord:
    """Evaluate how often the predictions for two shifted views of an image agree.

    The images are those of `evaluate`: with `limit` at most so many, spread over the part. `pairs`
    pairs of views of each are drawn at random places, and as many on the diagonal; the draws depend
    on `seed`, the pair and the image's place in the part alone. The record says whether views are
    crops of the scaled image, or circular shifts where the crop leaves nothing of it out.

    Raises UserError for a network with several labels an image and for data that cannot be used;
    RunFailed if too many images cannot be read, or the network gives finite logits for none.
    """
    if trained.thresholds is not None:
        raise UserError(
            f"{trained.path} gives several labels an image, and consistency is of one prediction",
            "evaluate it without --shift-consistency",
        )
    if isinstance(pairs, bool) or not isinstance(pairs, int) or pairs < 1:
        raise UserError(f"pairs = {shown(pairs)}: must be a whole number from 1 up")
    preprocessing = trained.preprocessing
    size, scaled = height_width(preprocessing.image_size), height_width(preprocessing.resize)
    shifts = Shifts.of(size, scaled)
    if shifts.mode == "crop":
        preprocessing = dataclasses.replace(preprocessing, image_size=as_size(*scaled))
    crops = Crops(
        trained,
        data=data,
        image_root=image_root,
        part=part,
        limit=limit,
        batch_size=batch_size,
        workers=workers,
        preprocessing=preprocessing,
        progress=checking,
    )
    counts = {path: np.zeros((2, max(shifts.places)), np.int64) for path in _METRICS}
    shares: dict[str, list[float]] = {path: [] for path in _METRICS}
    not_finite = 0
    with crops:
        for batch in crops.batches():
            images = copied(batch.images, trained.device)
            for path in _METRICS:
                agreeing_N = np.zeros(len(batch.index))
                for pair in range(pairs):
                    drawn = [shifts.draw(path, seed, pair, row) for row in batch.index.tolist()]
                    first_N, second_N = (
                        _predicted(trained, shifts.views(images, places))
                        for places in zip(*drawn, strict=True)
                    )
                    # Without finite logits no pair agrees.
                    agree_N = (first_N == second_N) & (first_N >= 0)
                    distances_N = [shifts.distance(*places) for places in drawn]
                    np.add.at(counts[path], (0, distances_N), 1)
                    np.add.at(counts[path], (1, distances_N), agree_N)
                    not_finite += int((first_N < 0).sum() + (second_N < 0).sum())
                    agreeing_N += agree_N
                shares[path] += (agreeing_N / pairs).tolist()
            if progress is not None:
                progress(crops.images, len(crops))
    details = ShiftDetails(
        pairs={path: rows[0].tolist() for path, rows in counts.items()},
        agreeing={path: rows[1].tolist() for path, rows in counts.items()},
    )
    settings = {"limit": limit, "seed": seed, "pairs": pairs}
    values = {metric: 100 * np.array(shares[path]) for path, metric in _METRICS.items()}
    return _record(crops, shifts, details, settings, not_finite, mean_intervals(values))


def _predicted(trained: Trained, images_NCHW: Tensor) -> NDArray[np.int64]:
    """Return the predicted classes (N,); -1 where logits are not finite."""
    logits_NK = trained.logits(images_NCHW)
    finite_N = logits_NK.isfinite().all(dim=1)
    predicted: NDArray[np.int64] = torch.where(finite_N, logits_NK.argmax(dim=1), -1).cpu().numpy()
    return predicted


def _record(
    crops: Crops,
    shifts: Shifts,
    details: ShiftDetails,
    settings: Mapping[str, int | None],
    not_finite: int,
    intervals: Mapping[str, Interval],
) -> EvaluationRecord:
    views = 2 * sum(sum(counts) for counts in details.pairs.values())
    if not_finite and not_finite == views:
        raise RunFailed(
            f"{crops.trained.weights_title} gives finite logits for no shifted image",
            "try --precision float32, or give the weights of another run",
        )
    notes = []
    if shifts.mode == "circular":
        reason = "the crop leaves nothing of the scaled image out: images are shifted in a circle,"
        compared = "which published consistencies on ImageNet are not"
        notes.append(Note("choice", None, f"{reason} {compared}"))
    if not_finite:
        reason = (
            f"logits are not finite for {not_finite:,} of {views:,} shifted images: none agrees"
        )
        notes.append(Note("weights", None, reason))
    return crops.record(
        "shifts",
        metrics={metric: details.consistency(path) for path, metric in _METRICS.items()},
        settings={
            **settings,
            "mode": shifts.mode,
            "places": list(shifts.places),
            "image_size": list(shifts.size),
        },
        details=details.to_dict(),
        notes=tuple(notes),
        intervals=intervals,
    )
