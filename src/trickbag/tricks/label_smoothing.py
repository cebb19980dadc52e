"""Label smoothing: a part of each target's probability goes to the other classes.

Shapes: N images, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from trickbag.ranges import Between
from trickbag.tricks.trick import Batch, Trick

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["LabelSmoothing", "smooth"]

Definition = Literal["uniform", "others"]


def smooth(
    targets_NK: Tensor,
    smoothing: float = 0.1,
    definition: Definition = "uniform",
    weights: Tensor | None = None,
) -> Tensor:
    """Smooth targets (N, K): spread the fraction eps = `smoothing` of each row over the classes.

    `uniform` spreads it over all K classes, `(1 - eps) q + eps / K`, as the paper's code,
    TensorFlow and `torch.nn.functional.cross_entropy` do. `others` leaves `1 - eps` to the true
    class and gives `eps / (K - 1)` to each other class (equation 4 of the paper). Both are linear
    in the targets q: mixed rows and rows of zeros keep their sum. With one class nothing changes.
    Source: Szegedy et al. 2015; He et al. 2018, section 5.2.

    For multi-label targets give the `weights` v of the rows, (N,), or of the classes of each row,
    (N, K): 1, or 0 for an image that could not be read. Each class is then a choice of two:
    `uniform` is `(1 - eps) q + eps / 2 v`, `others` is `(1 - eps) q + eps (v - q)`.
    """
    if weights is not None:
        weights_NK = weights if weights.ndim == 2 else weights[:, None]
        if definition == "uniform":
            return (1 - smoothing) * targets_NK + smoothing / 2 * weights_NK
        return (1 - smoothing) * targets_NK + smoothing * (weights_NK - targets_NK)
    classes = targets_NK.shape[1]
    sums_N1 = targets_NK.sum(dim=1, keepdim=True)
    if definition == "uniform":
        return (1 - smoothing) * targets_NK + smoothing / classes * sums_N1
    if classes == 1:  # there are no others: K - 1 would divide by 0
        return targets_NK
    return (1 - smoothing) * targets_NK + smoothing / (classes - 1) * (sums_N1 - targets_NK)


@dataclass(frozen=True, kw_only=True)
class LabelSmoothing(Trick):
    """Give a fraction of each target's probability to the other classes.

    `definition="uniform"`, the default, spreads it over all K classes, as TensorFlow, torch and the
    code behind the published numbers do; `"others"` spreads it over the K - 1 others, as the paper
    writes. The true class then has 0.9001 or 0.9 with 1000 classes, 0.95 or 0.9 with two. With
    multi-label data each class is smoothed as a choice of two: shown or not.
    """

    name: ClassVar[str] = "label_smoothing"
    paper: ClassVar[str] = (
        "He et al. 2018, arXiv 1812.01187, section 5.2; Szegedy et al. 2015, arXiv 1512.00567"
    )

    only_labels: ClassVar[bool] = True

    smoothing: Annotated[float, Between(0, 1, open_low=True, open_high=True)] = 0.1
    definition: Definition = "uniform"

    @property
    def by_image(self) -> bool:
        """True: the phase is `mix`, because smoothing comes last, but no image needs another."""
        return True

    def batch(self, batch: Batch, *draw: Tensor) -> Batch:
        """Smooth the targets."""
        targets = smooth(batch.targets, self.smoothing, self.definition, batch.label_weights())
        return batch._replace(targets=targets)
