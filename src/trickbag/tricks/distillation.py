"""Distillation: learn from the predictions of a better network, the teacher, besides the labels.

Shapes: N images of a batch, M teachers, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from os import PathLike
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from trickbag.errors import UserError
from trickbag.ranges import AtLeast, Between, Positive
from trickbag.tricks.trick import Batch, Loss, TeacherSpec, Trick, View

if TYPE_CHECKING:
    from torch import Tensor

    from trickbag.data.config import DataConfig

__all__ = ["Distillation", "DistillationLoss", "Form", "soften", "teacher_loss"]

Form = Literal["paper", "code", "assemble", "kl"]

EXTRA = "teacher"
"""The key of the teacher's probabilities in the extras of a batch."""


def soften(logits_NMK: Tensor, temperature: float = 1.0, *, multi_label: bool = False) -> Tensor:
    """Return the teachers' probabilities at temperature T, (N, K), in float32 at least.

    They are `softmax(logits / T)`, or `sigmoid(logits / T)` for `multi_label` data, averaged over
    the M teachers. Cross-entropy with that mean is the mean of the cross-entropies.
    """
    # Half precision would lose the small probabilities that a high temperature brings out.
    logits = (logits_NMK if logits_NMK.dtype.itemsize >= 4 else logits_NMK.float()) / temperature
    return (logits.sigmoid() if multi_label else logits.softmax(dim=-1)).mean(dim=1)


def teacher_loss(
    logits_NK: Tensor,
    teacher_NK: Tensor,
    temperature: float = 1.0,
    *,
    divergence: bool = False,
    weights_N: Tensor | None = None,
) -> Tensor:
    """Return `T^2 CE(teacher, softmax(logits / T))` of each row, (N,).

    `teacher_NK` are probabilities at the temperature T, mixed if the images are; a row of zeros
    counts nothing. With `divergence` it is `T^2 KL`, which is smaller by the teacher's entropy and
    has the same gradient. Source: He et al. 2018, section 5.3; Hinton et al. 2015, arXiv
    1503.02531, section 2.

    For multi-label data give `weights_N`, how much each row counts: 1, or 0 for an image that could
    not be read. Each class is then a choice of two, and the K binary cross-entropies with
    `sigmoid(logits / T)` are summed, as in `binary_cross_entropy`.
    """
    import torch

    logits = (logits_NK if logits_NK.dtype.itemsize >= 4 else logits_NK.float()) / temperature
    if weights_N is None:
        loss_N = -(teacher_NK * logits.log_softmax(dim=1)).sum(dim=1)
        outcomes, totals = [teacher_NK], teacher_NK.sum(dim=1)[:, None]
    else:
        from trickbag.optim.losses import binary_cross_entropy

        loss_N = binary_cross_entropy(logits, teacher_NK, weights_N)
        # The clamp is for mixed rows: a probability of 1 may round to just above the row's weight.
        outcomes = [teacher_NK, (weights_N[:, None] - teacher_NK).clamp(min=0)]
        totals = weights_N[:, None].expand_as(logits)
    if divergence:
        # The entropy of q is -sum q log q + v log v for outcomes that sum to v, which is below 1 in
        # a row that was mixed with an unreadable image.
        # `xlogy` has 0 log 0 = 0, where a product gives NaN.
        totals_N = torch.special.xlogy(totals, totals).sum(dim=1)
        outcomes_N = sum(torch.special.xlogy(outcome, outcome).sum(dim=1) for outcome in outcomes)
        loss_N = loss_N - totals_N + outcomes_N
    return temperature**2 * loss_N


@dataclass(frozen=True)
class DistillationLoss:
    """The sum `hard * loss + soft * teacher_loss`, each the mean over the rows."""

    loss: Loss
    hard: float
    soft: float
    temperature: float
    divergence: bool = False

    def __call__(self, logits_NK: Tensor, batch: Batch) -> Tensor:
        """Return the loss of a batch with the teacher's probabilities in its extras, a scalar."""
        soft_N = teacher_loss(
            logits_NK,
            batch.extras[EXTRA],
            self.temperature,
            divergence=self.divergence,
            weights_N=batch.row_weights,
        )
        return self.hard * self.loss(logits_NK, batch) + self.soft * soft_N.mean()


# The weight of `code` counts for the labels too, as 1 - 0.5: its loss is half of the paper's.
_FORMS: dict[Form, tuple[float, float]] = {
    "paper": (20.0, 1.0),
    "code": (20.0, 0.5),
    "assemble": (1.0, 1.0),
    "kl": (1.0, 1.0),
}
"""The published temperature and weight of the teacher's loss in each form."""


@dataclass(frozen=True, kw_only=True)
class Distillation(Trick):
    """Learn from the predictions of one or more trained networks besides the labels.

    `teacher` is a run's folder, a weights file that a run wrote, or `timm:NAME` with its published
    weights, or a tuple of these, whose probabilities are averaged. A teacher must know every class
    by name, and must be a multi-label network if and only if the data are multi-label. `form` is
    the form of the loss, see `docs/tricks/distillation.md`; with None, `temperature` and `weight`
    are those of the form.

    With `view="online"` the teacher predicts on every batch as the network sees it. Otherwise it
    predicts before training, and its `top` largest logits are stored in the file `cache`: on the
    `centre` crop of each image, or with `replay` on the crops and flips of `views` epochs, which
    the network then sees again and again.
    """

    name: ClassVar[str] = "distillation"
    slot: ClassVar[str] = "teacher"
    paper: ClassVar[str] = (
        "He et al. 2018, arXiv 1812.01187, section 5.3; Lee et al. 2020, arXiv 2001.06268; "
        "Hinton et al. 2015, arXiv 1503.02531"
    )
    paths: ClassVar[tuple[str, ...]] = ("teacher", "cache")

    teacher: tuple[str, ...] = ()
    form: Form = "paper"
    temperature: Annotated[float, Positive] | None = None
    weight: Annotated[float, Between(0, 1, open_low=True)] | None = None
    view: View = "online"
    views: Annotated[int, AtLeast(1, 1000)] = 10
    top: Annotated[int, AtLeast(1, 10_000)] = 50
    cache: str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.teacher, str | PathLike):  # a single teacher, as on the command line
            object.__setattr__(self, "teacher", (str(self.teacher),))
        super().__post_init__()  # checks the types, so it comes after the conversion

    def data(self, data: DataConfig) -> DataConfig:
        """Repeat the crops for which the predictions are stored."""
        return replace(data, repeat_epochs=self.views) if self.view == "replay" else data

    def teachers(self) -> TeacherSpec:
        """Return the teachers and what they see; UserError if there is none."""
        if not self.teacher:
            raise UserError(
                "distillation has no teacher",
                "give the folder of a trained run, its weights file, or timm:NAME: --with "
                "distillation:teacher=RUN, or, of a recipe that has the trick, --set "
                "tricks.distillation.teacher=RUN",
            )
        return TeacherSpec(self.teacher, self.view, self.top, self.cache)

    def teach(self, batch: Batch, logits_NMK: Tensor) -> Batch:
        """Add the teacher's probabilities to the extras, multiplied by the weight of each row.

        As an extra they are mixed whenever the targets are.
        """
        weights_N = batch.targets.sum(dim=1) if batch.row_weights is None else batch.row_weights
        teacher_NK = soften(logits_NMK, self._temperature, multi_label=batch.multi_label)
        return batch._replace(extras={**batch.extras, EXTRA: weights_N[:, None] * teacher_NK})

    def loss(self, loss: Loss) -> Loss:
        """Add the teacher's loss."""
        hard, soft = self._weights
        return DistillationLoss(loss, hard, soft, self._temperature, self.form == "kl")

    @property
    def ignores_labels(self) -> bool:
        """Whether the teacher's loss has all of the weight."""
        return self._weights[0] == 0

    @property
    def _weights(self) -> tuple[float, float]:
        """The weights of the loss of the labels, and of the teacher's."""
        soft = _FORMS[self.form][1] if self.weight is None else self.weight
        return (1.0 if self.form in ("paper", "assemble") else 1 - soft), soft

    @property
    def _temperature(self) -> float:
        return _FORMS[self.form][0] if self.temperature is None else self.temperature
