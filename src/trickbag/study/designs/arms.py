"""What designs share whose arms are compared with the first of them, and study no tricks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from trickbag.errors import UserError
from trickbag.study.designs.design import Design
from trickbag.study.designs.layout import ALL, Contrast

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from trickbag.recipe import Recipe
    from trickbag.study.designs.layout import Variant
    from trickbag.tricks.trick import Trick

__all__ = ["ArmDesign"]


@dataclass(frozen=True, kw_only=True)
class ArmDesign(Design, ABC):
    """A design whose arms name their own networks, and are each compared with the first arm.

    `label_way` is what a person does about two arms with one label.
    """

    label_way: ClassVar[str]

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tricks is not None:
            raise UserError(f"a study of {self.subject}s compares no tricks", "leave tricks out")

    @abstractmethod
    def first(self, recipe: Recipe) -> str:
        """Return the label of the arm with which the others are compared."""

    def check(self, recipe: Recipe, models: Sequence[str], seeds: int | None) -> None:
        """Raise UserError for networks by name: each arm has its own."""
        super().check(recipe, models, seeds)
        if models:
            raise UserError(
                f"models = {', '.join(models)}: the {self.subject}s of a study name its networks",
                "leave models out",
            )

    def studied(self, recipe: Recipe) -> tuple[Trick, ...]:
        """Return no trick: none is studied."""
        return ()

    def _check_labels(self, labels: Iterable[str]) -> None:
        """Raise UserError for labels that cannot be, or that two arms share."""
        for label, times in Counter(labels).items():
            if not label.strip() or label == ALL:
                raise UserError(f"no arm can be called {label!r}", "choose another label")
            if times > 1:
                raise UserError(f"two {self.subject}s are called {label}", self.label_way)

    @staticmethod
    def _against_first(variants: Sequence[Variant]) -> list[Contrast]:
        """Return the effects: each arm minus the first."""
        first, *others = variants
        return [
            # Of no trick: an arm may be called like one.
            Contrast(label=variant.label, trick="", plus=variant.label, minus=first.label)
            for variant in others
        ]
