"""Label smoothing: a little of each target's probability goes to the other classes.

Shapes: N images, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from trickbag.settings import Between
from trickbag.tricks.trick import Batch, Trick

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["LabelSmoothing", "smooth"]

Definition = Literal["uniform", "others"]


def smooth(
    targets_NK: Tensor,
    smoothing: float = 0.1,
    definition: Definition = "uniform",
    valid: Tensor | None = None,
) -> Tensor:
    """Smooth targets (N, K): move the share `smoothing` of each row's sum away from where it is.

    `uniform`: `(1 - eps) q + eps / K`, the share spread over all K classes, as the paper's code,
    TensorFlow and `torch.nn.functional.cross_entropy` do. `others`: `1 - eps` for the true class
    and `eps / (K - 1)` for each other one (equation 4 of the paper). Both are linear in the
    targets: rows that are mixed, or zero, keep their sum. With one class nothing changes. Source:
    Szegedy et al. 2015; He et al. 2018, section 5.2.

    For several labels an image give `valid`, how much of each row counts, (N,), or of each of its
    classes, (N, K) (v: 1, or 0 for an image that could not be read). Each class is then a question
    with two teacher_logits: `uniform` is `(1 - eps) q + eps / 2 v`, `others` is `(1 - eps) q + eps
    (v - q)`.
    """
    if valid is not None:
        valid_NK = valid if valid.ndim == 2 else valid[:, None]
        if definition == "uniform":
            return (1 - smoothing) * targets_NK + smoothing / 2 * valid_NK
        return (1 - smoothing) * targets_NK + smoothing * (valid_NK - targets_NK)
    classes = targets_NK.shape[1]
    sums_N1 = targets_NK.sum(dim=1, keepdim=True)
    if definition == "uniform":
        return (1 - smoothing) * targets_NK + smoothing / classes * sums_N1
    if classes == 1:
        return targets_NK
    return (1 - smoothing) * targets_NK + smoothing / (classes - 1) * (sums_N1 - targets_NK)


@dataclass(frozen=True, kw_only=True)
class LabelSmoothing(Trick):
    """Give a share of each target's probability to the other classes.

    `definition="uniform"`, the default, spreads it over all K classes, as the code that gave the
    published numbers, TensorFlow and torch do; `"others"` spreads it over the K - 1 others, as the
    paper writes. The true class of 1000 then has 0.9001 or 0.9, that of two 0.95 or 0.9. With
    several labels an image each class is a question with two answers, shown or not.
    """

    name: ClassVar[str] = "label_smoothing"
    paper: ClassVar[str] = (
        "He et al. 2018, arXiv 1812.01187, section 5.2; Szegedy et al. 2015, arXiv 1512.00567"
    )

    smoothing: Annotated[float, Between(0, 1, open_low=True, open_high=True)] = 0.1
    definition: Definition = "uniform"

    @property
    def by_image(self) -> bool:
        """True: it mixes no images, though it comes when they are mixed."""
        return True

    def batch(self, batch: Batch, *draw: Tensor) -> Batch:
        """Smooth the targets."""
        targets = smooth(batch.targets, self.smoothing, self.definition, batch.label_weights())
        return batch._replace(targets=targets)
