"""Evaluations apart from a run's own, whose metrics can be a study's outcome.

Importing this module imports no torch: the functions are imported when they are called.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, cast

from trickbag.ranges import AtLeast
from trickbag.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from trickbag.evaluate.record import EvaluationRecord
    from trickbag.evaluate.trained import Trained

__all__ = ["EXTRA", "MAX_IMAGES", "ExtraEvaluation", "ExtraSettings", "extra_of"]

MAX_IMAGES = 10_000_000
MAX_SEED = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class ExtraSettings(Settings):
    """What an evaluation of a study's trials is made with.

    `limit` is the most images of the validation part, None for all; `seed` is that of the random
    draws; `directory` holds images with boxes, for an evaluation that needs them.
    """

    limit: Annotated[int, AtLeast(1, MAX_IMAGES)] | None = None
    seed: Annotated[int, AtLeast(0, MAX_SEED)] = 0
    directory: str | None = None


@dataclass(frozen=True, kw_only=True)
class ExtraEvaluation:
    """An evaluation of a trained network: the `metrics` that it gives, and how it is called.

    `description` says in a few words what is measured. `function` is `package.module:name`; it is
    called with the trained network and those of the settings that `arguments` names, as keywords.
    """

    metrics: tuple[str, ...]
    description: str
    function: str
    arguments: tuple[str, ...] = ("limit", "seed")

    @property
    def needs_directory(self) -> bool:
        """Whether there is nothing to evaluate without `ExtraSettings.directory`."""
        return "directory" in self.arguments

    def settings(self, settings: ExtraSettings) -> ExtraSettings:
        """Return those of the settings that the evaluation has, the others by default."""
        return ExtraSettings(**{name: getattr(settings, name) for name in self.arguments})

    def __call__(self, trained: Trained, settings: ExtraSettings) -> EvaluationRecord:
        """Evaluate a trained network. Raises what the function raises."""
        module, _, name = self.function.partition(":")
        function = cast(
            "Callable[..., EvaluationRecord]", getattr(importlib.import_module(module), name)
        )
        return function(trained, **{name: getattr(settings, name) for name in self.arguments})


EXTRA: Mapping[str, ExtraEvaluation] = MappingProxyType(
    {
        "robustness": ExtraEvaluation(
            metrics=("mce", "mean_corruption_error", "relative_mce"),
            description="errors on corrupted images",
            function="trickbag.evaluate.robustness.evaluation:evaluate_robustness",
        ),
        "perturbations": ExtraEvaluation(
            metrics=("mfr", "mean_flip_probability", "mean_top5_distance"),
            description="changes of the prediction along perturbation sequences",
            function="trickbag.evaluate.robustness.perturbations.evaluation:evaluate_perturbations",
        ),
        "shifts": ExtraEvaluation(
            metrics=("shift_consistency", "diagonal_shift_consistency"),
            description="agreement of the predictions for shifted images",
            function="trickbag.evaluate.robustness.perturbations.shifts:evaluate_shifts",
        ),
        "localization": ExtraEvaluation(
            metrics=(
                "max_box_acc",
                "max_box_acc_v2",
                "gt_known_localization",
                "top1_localization",
            ),
            description="boxes by class activation maps",
            function="trickbag.evaluate.localization.evaluation:evaluate_localization",
            arguments=("directory", "limit"),
        ),
    }
)
"""The evaluations by name, which is the kind of their records."""


def extra_of(metric: str) -> str | None:
    """Return the name of the evaluation that gives a metric; None where none of these does."""
    return next((name for name, extra in EXTRA.items() if metric in extra.metrics), None)
