"""The papers' cumulative tables as data, to stand beside a study's results.

In a table each trick is added to the rows above it. A figure that could not be checked against the
paper's pages, figures or published logs has `checked=False`, and so has every step that such a
figure is part of.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from trickbag.study.designs.layout import ALL

__all__ = ["CHAINS", "Chain", "LadderStep", "reported"]


@dataclass(frozen=True, kw_only=True)
class LadderStep:
    """A row of a paper's table: the trick that was added, and the top-1 in percent with it.

    `base` is the top-1 without the trick; it is None in the row of the baseline, which has no
    `trick`. If the paper added the trick at more than one place, `after` is the trick whose row is
    then part of the base. The row of what the paper claims for all tricks together has the `trick`
    ALL.
    """

    trick: str
    top1: float
    base: float | None = None
    after: str = ""
    note: str = ""
    checked: bool = True

    @property
    def delta(self) -> float | None:
        """The gain of the trick in points; None in the row of the baseline."""
        return None if self.base is None else self.top1 - self.base


@dataclass(frozen=True, kw_only=True)
class Chain:
    """A cumulative table of a paper, for one network on ImageNet."""

    paper: str
    network: str
    source: str
    steps: tuple[LadderStep, ...]

    def step(self, trick: str, before: Collection[str] = ()) -> LadderStep | None:
        """Return the row of a trick; None if the table has none.

        If the trick has more than one row, the one whose `after` is among the tricks `before` it is
        preferred.
        """
        rows = [
            step
            for step in self.steps
            if step.trick == trick and (not step.after or step.after in before)
        ]
        return max(rows, key=lambda step: bool(step.after), default=None)

    @property
    def baseline(self) -> LadderStep:
        """The first row, before any trick."""
        return self.steps[0]


_HE, _LEE = "He et al. 2018", "Lee et al. 2020"

CHAINS: tuple[Chain, ...] = (
    Chain(
        paper=_HE,
        network="ResNet-50",
        source="tables 4, 5 and 6, batch 1,024",
        steps=(
            LadderStep(trick="", top1=75.87, note="batch 256", checked=False),
            LadderStep(
                trick="linear_scaling",
                top1=75.17,
                base=75.87,
                note="batch 256 to 1,024",
                checked=False,
            ),
            LadderStep(trick="warmup", top1=75.93, base=75.17, checked=False),
            LadderStep(trick="zero_init_residual", top1=76.37, base=75.93, checked=False),
            LadderStep(trick="no_bias_decay", top1=76.03, base=76.37, checked=False),
            LadderStep(trick="mixed_precision", top1=76.21, base=76.03, checked=False),
            LadderStep(trick="resnet_b", top1=76.66, base=76.21, checked=False),
            LadderStep(trick="resnet_c", top1=76.87, base=76.66, note="on top of B", checked=False),
            LadderStep(
                trick="resnet_d", top1=77.16, base=76.21, note="with B and C in it", checked=False
            ),
            LadderStep(trick="cosine_decay", top1=77.91, base=77.16, checked=False),
            LadderStep(trick="label_smoothing", top1=78.31, base=77.91, checked=False),
            LadderStep(trick="distillation", top1=78.67, base=78.31, checked=False),
            LadderStep(
                trick="mixup", top1=79.15, base=78.31, note="200 epochs, before 120", checked=False
            ),
            LadderStep(
                trick="distillation", top1=79.29, base=79.15, after="mixup", note="200 epochs"
            ),
            LadderStep(
                trick=ALL,
                top1=79.29,
                base=75.3,
                note="in all, from the reference ResNet-50 of 75.3 %",
            ),
        ),
    ),
    Chain(
        paper=_HE,
        network="Inception-V3",
        source="table 6",
        steps=(
            LadderStep(trick="", top1=77.50, note="the efficient baseline", checked=False),
            LadderStep(trick="cosine_decay", top1=78.19, base=77.50, checked=False),
            LadderStep(trick="label_smoothing", top1=78.40, base=78.19, checked=False),
            LadderStep(trick="distillation", top1=78.26, base=78.40, checked=False),
            LadderStep(
                trick="mixup", top1=78.77, base=78.40, note="200 epochs, before 120", checked=False
            ),
            LadderStep(
                trick="distillation",
                top1=78.34,
                base=78.77,
                after="mixup",
                note="200 epochs",
                checked=False,
            ),
        ),
    ),
    Chain(
        paper=_HE,
        network="MobileNet",
        source="table 6",
        steps=(
            LadderStep(trick="", top1=71.90, note="the efficient baseline", checked=False),
            LadderStep(trick="cosine_decay", top1=72.83, base=71.90, checked=False),
            LadderStep(trick="label_smoothing", top1=72.93, base=72.83, checked=False),
            LadderStep(trick="distillation", top1=71.97, base=72.93, checked=False),
            LadderStep(trick="mixup", top1=73.28, base=72.93, note="200 epochs, before 120"),
            LadderStep(
                trick="distillation",
                top1=72.51,
                base=73.28,
                after="mixup",
                note="200 epochs",
                checked=False,
            ),
        ),
    ),
    Chain(
        paper=_LEE,
        network="ResNet-50",
        source="table 7",
        steps=(
            LadderStep(trick="", top1=76.87),
            LadderStep(trick="resnet_d", top1=77.37, base=76.87),
            LadderStep(trick="label_smoothing", top1=78.35, base=77.37),
            LadderStep(trick="mixup", top1=79.10, base=78.35, note="200 epochs, before 120"),
            LadderStep(trick="squeeze_excite", top1=79.71, base=79.10, note="200 epochs"),
            LadderStep(trick="drop_block", top1=80.40, base=79.71, note="270 epochs, before 200"),
            LadderStep(
                trick="selective_kernel", top1=81.40, base=80.40, note="270 epochs, in place of SE"
            ),
            LadderStep(trick="distillation", top1=81.69, base=81.40, note="270 epochs"),
            LadderStep(
                trick="big_little", top1=82.44, base=82.10, note="600 epochs, tested at 256 px"
            ),
            LadderStep(trick="anti_alias", top1=82.69, base=82.44, note="600 epochs"),
            LadderStep(trick="auto_augment", top1=82.78, base=82.69, note="600 epochs"),
            LadderStep(trick=ALL, top1=82.78, base=76.87, note="in all, 600 epochs, before 120"),
        ),
    ),
    Chain(
        paper=_LEE,
        network="MobileNet-V1",
        source="table 9",
        steps=(
            LadderStep(trick="", top1=72.59),
            LadderStep(trick="label_smoothing", top1=72.66, base=72.59),
            LadderStep(trick="mixup", top1=73.54, base=72.66, note="200 epochs, before 120"),
            LadderStep(trick="distillation", top1=74.18, base=73.54, note="200 epochs"),
        ),
    ),
)
"""The papers' cumulative tables: validation top-1 on ImageNet."""


def reported(tricks: Iterable[str]) -> list[Chain]:
    """Return the papers' tables that have a row for at least one of the tricks."""
    names = set(tricks) - {ALL}
    return [chain for chain in CHAINS if any(step.trick in names for step in chain.steps)]
