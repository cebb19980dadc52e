"""What differs by task when images are predicted: how they are prepared, and what is said of them.

Shapes: N images of a batch, C channels, H and W pixels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from trickbag.data.loading.raw_batch import RawBatch
    from trickbag.evaluate.trained import Trained
    from trickbag.tasks.box_predictions import ImageBoxes
    from trickbag.tasks.mask_predictions import ImageMask

__all__ = ["NOT_FINITE", "TaskForm", "form_of"]

NOT_FINITE = "the network gives {} that are not finite"
"""The error of an image for which nothing can be predicted."""


class TaskForm(ABC):
    """Prepares images for the network of a task, and names what it says of them."""

    def __init__(self, trained: Trained) -> None:
        self.classes, self.preprocessing = trained.classes, trained.preprocessing

    @abstractmethod
    def sample(self, image_HWC: NDArray[np.uint8]) -> Any:
        """Return an upright image of RGB or of the network's channels as in validation."""

    @abstractmethod
    def batch(self, samples: Sequence[Any]) -> RawBatch:
        """Return samples as a batch, without labels."""

    @abstractmethod
    def predictions(
        self, names: Sequence[str], outputs: Any, raw: RawBatch
    ) -> Sequence[ImageBoxes | ImageMask]:
        """Return what the network says of each image of a batch, in pixels of its file."""

    @abstractmethod
    def unread(self, name: str, error: str) -> ImageBoxes | ImageMask:
        """Return what stands for an image that could not be read."""


def form_of(trained: Trained, *, least: float = 0.0) -> TaskForm:
    """Return the form of a network's task; of boxes those with a score of `least` are kept.

    Raises TypeError for a classifier, see `evaluate.prediction`.
    """
    if trained.task.kind == "detection":
        from trickbag.evaluate.by_task.boxes import BoxForm

        return BoxForm(trained, least)
    if trained.task.kind == "segmentation":
        from trickbag.evaluate.by_task.masks import MaskForm

        return MaskForm(trained)
    raise TypeError("a classifier predicts neither boxes nor masks")
