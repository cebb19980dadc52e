"""Distillation: besides the labels, learn what a better network says of the same images.

Shapes: N images of a batch, M teachers, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from os import PathLike
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from trickbag.errors import UserError
from trickbag.settings import AtLeast, Between, Positive
from trickbag.tricks.trick import Batch, Loss, TeacherSpec, Trick, View

if TYPE_CHECKING:
    from torch import Tensor

    from trickbag.data.config import DataConfig

__all__ = ["Distillation", "Distilled", "Form", "soften", "teacher_loss"]

Form = Literal["paper", "code", "assemble", "kl"]

EXTRA = "teacher"
"""The name of the teacher's probabilities among the extras of a batch."""


def soften(logits_NMK: Tensor, temperature: float = 1.0, *, several: bool = False) -> Tensor:
    """Return `softmax(logits / T)`, or `sigmoid(logits / T)` for `several` labels an image: (N, K) float32 at least.

    Of several teachers it is the mean of the probabilities: cross-entropy with it is the mean of
    the cross-entropies.
    """
    logits = (logits_NMK if logits_NMK.dtype.itemsize >= 4 else logits_NMK.float()) / temperature
    return (logits.sigmoid() if several else logits.softmax(dim=-1)).mean(dim=1)


def teacher_loss(
    logits_NK: Tensor,
    teacher_NK: Tensor,
    temperature: float = 1.0,
    *,
    divergence: bool = False,
    valid_N: Tensor | None = None,
) -> Tensor:
    """Return `T^2 CE(teacher, softmax(logits / T))` of each row, (N,): what the paper adds to the loss.

    `teacher_NK` are probabilities at that temperature, mixed where the images are; a row of zeros
    counts nothing. With `divergence` it is `T^2 KL`, less by the teacher's entropy, which has no
    gradient. Source: He et al. 2018, section 5.3; Hinton et al. 2015, arXiv 1503.02531, section 2.

    For several labels an image give `valid_N`, how much of each row counts (v: 1, or 0 for an image
    that could not be read). Each class is then a question with two answers, and the K
    cross-entropies with `sigmoid(logits / T)` are summed, as in `binary_cross_entropy`.
    """
    import torch

    logits = (logits_NK if logits_NK.dtype.itemsize >= 4 else logits_NK.float()) / temperature
    if valid_N is None:
        loss_N = -(teacher_NK * logits.log_softmax(dim=1)).sum(dim=1)
        answers, counts = [teacher_NK], teacher_NK.sum(dim=1)[:, None]
    else:
        from trickbag.optim.losses import binary_cross_entropy

        loss_N = binary_cross_entropy(logits, teacher_NK, valid_N)
        # Mixing rounds: a certain yes would be a no of a little less than nothing.
        answers, counts = (
            [teacher_NK, (valid_N[:, None] - teacher_NK).clamp(min=0)],
            valid_N[:, None].expand_as(logits),
        )
    if divergence:
        # Of a row that counts less than 1 these are shares of it, not probabilities.
        whole_N = torch.special.xlogy(counts, counts).sum(dim=1)
        loss_N = (
            loss_N
            - whole_N
            + sum(torch.special.xlogy(answer, answer).sum(dim=1) for answer in answers)
        )
    return temperature**2 * loss_N


@dataclass(frozen=True)
class Distilled:
    """A loss with the teacher's added: `hard * loss + soft * teacher_loss`, each the mean over the
    rows."""

    loss: Loss
    hard: float
    soft: float
    temperature: float
    divergence: bool = False

    def __call__(self, logits_NK: Tensor, batch: Batch) -> Tensor:
        """Return the loss of a batch whose extras hold the teacher's probabilities, a scalar."""
        soft_N = teacher_loss(
            logits_NK,
            batch.extras[EXTRA],
            self.temperature,
            divergence=self.divergence,
            valid_N=batch.row_weights,
        )
        return self.hard * self.loss(logits_NK, batch) + self.soft * soft_N.mean()


_FORMS: dict[Form, tuple[float, float]] = {
    "paper": (20.0, 1.0),
    "code": (20.0, 0.5),
    "assemble": (1.0, 1.0),
    "kl": (1.0, 1.0),
}
"""Temperature and weight of the teacher's loss, as published."""


@dataclass(frozen=True, kw_only=True)
class Distillation(Trick):
    """Learn from one or more trained networks besides the labels; the mean of several counts.

    `teacher`, one or a tuple: runs' folders, weights files that runs wrote, or `timm:NAME` with its
    published weights, which must know every class by name, and give an image one label or several,
    as the data do. `form`: of the loss, see `docs/tricks/distillation.md`; `temperature` and
    `weight` None are the form's own. `view="online"` asks the teacher about every batch as the
    network sees it. Asked once for all, its `top` largest logits lie in `cache`: of the `centre` of
    each image, or with `replay` of the crops and mirrors of `views` epochs, which the network then
    sees over and over.
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
    views: Annotated[int, AtLeast(1)] = 10
    top: Annotated[int, AtLeast(1)] = 50
    cache: str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.teacher, str | PathLike):  # one, as on the command line
            object.__setattr__(self, "teacher", (str(self.teacher),))
        super().__post_init__()

    def data(self, data: DataConfig) -> DataConfig:
        """Let the crops repeat that are replayed."""
        return replace(data, repeat_epochs=self.views) if self.view == "replay" else data

    def teachers(self) -> TeacherSpec:
        """Ask the teachers; UserError where there is none."""
        if not self.teacher:
            raise UserError(
                "distillation has no teacher",
                "give the folder of a trained run, its weights file, or timm:NAME: "
                "--with distillation:teacher=RUN",
            )
        return TeacherSpec(self.teacher, self.view, self.top, self.cache)

    def teach(self, batch: Batch, logits_NMK: Tensor) -> Batch:
        """Keep the teacher's probabilities, which are mixed as targets are and count as much as an
        image does."""
        weights_N = batch.targets.sum(dim=1) if batch.row_weights is None else batch.row_weights
        teacher_NK = soften(logits_NMK, self._temperature, several=batch.multi_label)
        return batch._replace(extras={**batch.extras, EXTRA: weights_N[:, None] * teacher_NK})

    def loss(self, loss: Loss) -> Loss:
        """Add the teacher's loss."""
        weight = _FORMS[self.form][1] if self.weight is None else self.weight
        hard = 1.0 if self.form in ("paper", "assemble") else 1 - weight
        return Distilled(loss, hard, weight, self._temperature, self.form == "kl")

    @property
    def _temperature(self) -> float:
        return _FORMS[self.form][0] if self.temperature is None else self.temperature
