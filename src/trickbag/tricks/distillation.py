"""Distillation: besides the labels, learn what a better network says of the same images.

Shapes: N images of a batch, M teachers, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from trickbag.errors import DoesNotApply, UserError
from trickbag.settings import AtLeast, Fraction, Positive
from trickbag.tricks.trick import Batch, Lesson, Loss, Trick, View

if TYPE_CHECKING:
    from torch import Tensor

    from trickbag.data.config import DataConfig

__all__ = ["Distillation", "Distilled", "Form", "soften", "teacher_loss"]

Form = Literal["paper", "code", "assemble", "kl"]

EXTRA = "teacher"
"""The name of the teacher's probabilities among the extras of a batch."""


def soften(logits_NMK: Tensor, temperature: float = 1.0) -> Tensor:
    """Return `softmax(logits / T)`, the mean over the teachers, (N, K) float32 at least.

    The mean is that of the probabilities: cross-entropy with it is the mean of the cross-entropies.
    """
    logits = logits_NMK if logits_NMK.dtype.itemsize >= 4 else logits_NMK.float()
    return (logits / temperature).softmax(dim=-1).mean(dim=1)


def teacher_loss(
    logits_NK: Tensor, teacher_NK: Tensor, temperature: float = 1.0, *, divergence: bool = False
) -> Tensor:
    """Return `T^2 CE(teacher, softmax(logits / T))` of each row, (N,): what the paper adds to the loss.

    `teacher_NK` are probabilities at that temperature, mixed where the images are; a row of zeros counts nothing. With
    `divergence` it is `T^2 KL`, less by the teacher's entropy, which has no gradient. Source: He et al. 2018, section
    5.3; Hinton et al. 2015, arXiv 1503.02531, section 2.
    """
    import torch

    logits = logits_NK if logits_NK.dtype.itemsize >= 4 else logits_NK.float()
    terms_NK = -teacher_NK * (logits / temperature).log_softmax(dim=1)
    if divergence:
        terms_NK = terms_NK + torch.special.xlogy(teacher_NK, teacher_NK)
    return temperature**2 * terms_NK.sum(dim=1)


@dataclass(frozen=True)
class Distilled:
    """A loss with the teacher's added: `hard * loss + soft * teacher_loss`, each the mean over the rows."""

    loss: Loss
    hard: float
    soft: float
    temperature: float
    divergence: bool = False

    def __call__(self, logits_NK: Tensor, batch: Batch) -> Tensor:
        """Return the loss of a batch whose extras hold the teacher's probabilities, a scalar."""
        soft = teacher_loss(logits_NK, batch.extras[EXTRA], self.temperature, divergence=self.divergence).mean()
        return self.hard * self.loss(logits_NK, batch) + self.soft * soft


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

    `teacher`: runs' folders, weights files that runs wrote, or `timm:NAME` with its published weights, which must know
    every class by name. `form`: of the loss, see `docs/tricks/distillation.md`; `temperature` and `weight` None are
    the form's own. `view="online"` asks the teacher about every batch as the network sees it. Asked once for all, its
    `top` largest logits lie in `cache`: of the `centre` of each image, or with `replay` of the crops and mirrors of
    `views` epochs, which the network then sees over and over.
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
    weight: Annotated[float, Fraction] | None = None
    view: View = "online"
    views: Annotated[int, AtLeast(1)] = 10
    top: Annotated[int, AtLeast(1)] = 50
    cache: str | None = None

    def data(self, data: DataConfig) -> DataConfig:
        """Let the crops repeat that are replayed; DoesNotApply where an image can have several labels."""
        if data.multi_label:
            raise DoesNotApply(
                "distillation learns which one class the teacher sees, and these images have several labels. Take it "
                "out: --without distillation"
            )
        return replace(data, repeat_epochs=self.views) if self.view == "replay" else data

    def lesson(self) -> Lesson:
        """Ask the teachers; UserError where there is none."""
        if not self.teacher:
            raise UserError(
                "distillation has no teacher; give the folder of a trained run, its weights file, or timm:NAME: "
                "--with distillation:teacher=RUN"
            )
        return Lesson(self.teacher, self.view, self.top, self.cache)

    def teach(self, batch: Batch, logits_NMK: Tensor) -> Batch:
        """Keep the teacher's probabilities, which are mixed as targets are, where there is an image."""
        shares_N1 = batch.targets.sum(dim=1, keepdim=True).clamp(max=1)
        return batch._replace(extras={**batch.extras, EXTRA: shares_N1 * soften(logits_NMK, self._temperature)})

    def loss(self, loss: Loss) -> Loss:
        """Add the teacher's loss."""
        weight = _FORMS[self.form][1] if self.weight is None else self.weight
        hard = 1.0 if self.form in ("paper", "assemble") else 1 - weight
        return Distilled(loss, hard, weight, self._temperature, self.form == "kl")

    @property
    def _temperature(self) -> float:
        return _FORMS[self.form][0] if self.temperature is None else self.temperature
