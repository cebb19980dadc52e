"""What a detector computes in a file: the boxes of one image on a canvas of a fixed size.

Shapes: C channels, H and W pixels of the canvas, D detections.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor, nn

from trickbag.data.loading.box_samples import CANVAS_MULTIPLE, evaluation_sample
from trickbag.data.loading.letterbox import border_colour
from trickbag.data.size import height_width
from trickbag.export.graph import Computation, Difference, Graph, Inputs
from trickbag.export.images import images_of_the_run
from trickbag.models.detection.graph import DetectionGraph
from trickbag.streams import stream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from trickbag.evaluate.trained import Trained
    from trickbag.models.detection.detector import Detector

__all__ = ["BoxComputation", "canvas_size"]

_EDGE = 1e-5
"""How near to a limit of the scores a box may be there in one network and not in the other."""


def canvas_size(trained: Trained) -> tuple[int, int]:
    """Return height and width of the canvas that holds every image, upright or on its side."""
    sides = height_width(trained.preprocessing.image_size)
    side = -(-max(sides) // CANVAS_MULTIPLE) * CANVAS_MULTIPLE
    return side, side


class BoxComputation(Computation):
    """`boxes` (D, 4), `labels` (D,) and `scores` (D,) of one image on its canvas.

    The inputs are `images` (1, C, H, W) and `extent` (2,) int64, height and width of the image
    within the canvas. See `models.detection.graph`.
    """

    compared = "score, or of an edge as a share of the canvas,"
    outputs = "boxes and scores"

    def graph(self, network: nn.Module, trained: Trained) -> Graph:
        """Return the detector as a graph of fixed shapes."""
        height, width = canvas_size(trained)
        image = torch.zeros(1, trained.preprocessing.count, height, width)
        return Graph(
            module=self.module(network),
            weights=network,
            example=(image, torch.tensor([height, width])),
            inputs=("images", "extent"),
            outputs=("boxes", "labels", "scores"),
            any_number=False,
            facts={"canvas": [height, width]},
        )

    def module(self, network: nn.Module) -> nn.Module:
        """Return the detector as a graph of fixed shapes."""
        return DetectionGraph(cast("Detector", network)).eval()

    def checks(self, trained: Trained) -> tuple[list[Inputs], str]:
        """Return each image with its extent."""
        images = images_of_the_run(trained, 8)
        text = f"{len(images)} images of its data"
        if not images:
            rng = stream(0, "export")
            size = (*height_width(trained.preprocessing.image_size), trained.preprocessing.count)
            images = [rng.integers(0, 256, size, np.uint8) for _ in range(4)]
            text = f"{len(images)} generated images"
        return [_on_canvas(image, trained) for image in images], text

    def difference(self, actual: Sequence[Tensor], expected: Sequence[Tensor]) -> Difference:
        """Compare each box with the nearest one of its class, in both directions.

        Boxes of nearly equal scores may change places.
        """
        if not all(bool(scores.isfinite().all()) for _, _, scores in (actual, expected)):
            return Difference(float("nan"), float("nan"))
        rows, others = _rows(actual), _rows(expected)
        # Beside the limit that decides which boxes are there, one more or less is no difference.
        lowest = min(float(each[:, 5].min()) if len(each) else 1.0 for each in (rows, others))
        limit = lowest + _EDGE
        return Difference(max(_farthest(rows, others, limit), _farthest(others, rows, limit)), 1.0)


def _on_canvas(image_HWC: NDArray[np.uint8], trained: Trained) -> Inputs:
    preprocessing = trained.preprocessing
    sample = evaluation_sample(image_HWC, np.zeros((0, 6)), preprocessing)
    canvas = np.empty((preprocessing.count, *canvas_size(trained)), np.uint8)
    canvas[:] = np.array(border_colour(preprocessing.mean), np.uint8)[:, None, None]
    rows, columns = sample.image.shape[:2]
    canvas[:, :rows, :columns] = sample.image.transpose(2, 0, 1)
    image = preprocessing.normalise(torch.from_numpy(canvas[None]))
    return image, torch.tensor([rows, columns])


def _rows(outputs: Sequence[Tensor]) -> Tensor:
    """Return the detections as rows (D, 6): label, box, score."""
    boxes, labels, scores = (output.double() for output in outputs)
    rows = torch.cat([labels[:, None], boxes, scores[:, None]], dim=1)
    return rows[scores >= 0]


def _farthest(rows: Tensor, others: Tensor, limit: float) -> float:
    """Return how far the rows above a score are from the nearest others; infinity without one."""
    farthest = 0.0
    side = max(1.0, float(others[:, 1:5].max()) if len(others) else 1.0)
    for row in rows[rows[:, 5] > limit]:
        same = others[others[:, 0] == row[0]]
        if not len(same):
            return float("inf")
        edges = (same[:, 1:5] - row[1:5]).abs().amax(dim=1) / side
        scores = (same[:, 5] - row[5]).abs()
        farthest = max(farthest, float(torch.maximum(edges, scores).min()))
    return farthest
