"""A batch of images with all that is said about them, as the hooks of tricks and the losses see it.

Shapes: N images of a batch, V further views of each, K classes, H and W pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

__all__ = ["Batch"]


class Batch(NamedTuple):
    """A batch on the training device.

    images: (N, 3, H, W) float.

    targets: (N, K) float; of detection (N, M, 6) and of segmentation (N, H, W), as they are loaded
    (`data.loading.raw_batch`), and all that follows here is of classification. With one label an
    image a row holds probabilities and counts by its sum: a row of zeros, an image that could not
    be read, counts nothing. With several labels each class has a probability of its own.

    index: (N,) int64, the place of each image in its part of the data set.

    extras: further target-like tensors (N, ...) by name, such as a teacher's probabilities.

    multi_label: whether an image can have several labels.

    row_weights: (N,) float, how much each row counts: 1, or 0 for an image that could not be read,
    in between where it was mixed with another. Given with several labels an image, where the sum of
    a row does not say it; else None.

    class_weights: (N, K) float, how much each class of a row counts; given with several labels an
    image if classes are weighted, else None.

    views: (N, V, 3, H, W), further views of the images, if `data.views` asks for them. The pipeline
    adds them behind the last batch hook. view_logits: (N, V, K), the logits of these views; only
    the loss has them.

    extents: (N, 4) int64, height and width of each image within the padded canvas, then of its
    file; None for classification.

    owned: whether a hook may change the images in place. A hook that stores elsewhere the images
    that it was given returns a batch with `owned=False`.
    """

    # A named tuple, as a compiled step takes it apart into tensors by itself.
    images: Tensor
    targets: Tensor
    index: Tensor  # type: ignore[assignment]  # a field of this name hides the method of tuple
    extras: dict[str, Tensor]
    owned: bool = False
    multi_label: bool = False
    row_weights: Tensor | None = None
    class_weights: Tensor | None = None
    views: Tensor | None = None
    view_logits: Tensor | None = None
    extents: Tensor | None = None

    def label_weights(self) -> Tensor | None:
        """Return how much each row (N,), or each class of a row (N, K), counts in a binary loss.

        None with one label an image: there a row counts by the sum of its targets.
        """
        return self.row_weights if self.class_weights is None else self.class_weights

    def map_labels(self, function: Callable[[Tensor], Tensor]) -> Batch:
        """Return the batch with `function` applied to all that is said about its images.

        That is the targets, the extras and the weights of rows and classes: whatever mixes images
        has to mix these with the same weights. Images and index stay as they are.
        """
        return self._replace(
            targets=function(self.targets),
            extras={name: function(extra) for name, extra in self.extras.items()},
            row_weights=None if self.row_weights is None else function(self.row_weights),
            class_weights=None if self.class_weights is None else function(self.class_weights),
        )
