"""What a reader of a study on folds should know: how it divides the data, and who has seen them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from trickbag.errors import Note, UserError
from trickbag.models.weights_names import folder_of_run
from trickbag.train.folder.run_folder import RunFolder
from trickbag.train.folder.run_recipe import RunRecipe

if TYPE_CHECKING:
    from trickbag.recipe import Recipe
    from trickbag.study.plan import StudyPlan

__all__ = ["fold_notes"]


def fold_notes(plan: StudyPlan, recipes: Iterable[Recipe], fingerprint: str) -> list[Note]:
    """Say how a study divides the data of a fingerprint; nothing of a study without folds."""
    folds = plan.division
    if folds is None:
        return []
    times = "" if folds.splits == 1 else f", {folds.splits} times"
    reason = (
        f"the training and validation images together are divided into {folds.count} folds{times}; "
        "every arm is trained for each fold, with the same seeds as the others, and each fold has "
        "seeds of its own; intervals are for new splits"
    )
    return [Note("study", None, reason), *_seen(recipes, fingerprint)]


def _seen(recipes: Iterable[Recipe], fingerprint: str) -> list[Note]:
    """Say which weights, that arms start from or learn from, were trained on the same images."""
    notes = []
    for weights, trick in dict.fromkeys(each for recipe in recipes for each in _weights(recipe)):
        trained_on = _fingerprint(weights)
        use = "learn from" if trick else "start from"
        if trained_on == fingerprint:
            reason = (
                f"{weights} was trained on these images, also on those of the fold that validates: "
                f"arms that {use} it are flattered"
            )
        elif trained_on is None:
            reason = (
                f"on which images {weights} was trained is not known: arms that {use} it are "
                "flattered if it has seen those of the fold that validates"
            )
        else:
            continue
        notes.append(Note("study", trick, reason))
    return notes


def _weights(recipe: Recipe) -> Iterator[tuple[str, str | None]]:
    """Yield the weights of runs that a recipe starts from, or has a teacher from, by trick."""
    if recipe.training.init:
        yield recipe.training.init, None
    for trick in recipe.tricks:
        try:
            spec = trick.teachers()
        except UserError:
            continue  # the trick names no teacher, which a trial reports
        for teacher in spec.teachers if spec is not None else ():
            if not teacher.startswith("timm:"):
                yield teacher, trick.name


def _fingerprint(weights: str) -> str | None:
    """Return the fingerprint of the data that weights were trained on; None if it is not known."""
    try:
        stored = RunRecipe.read(RunFolder(folder_of_run(Path(weights))).recipe)
    except UserError:
        return None
    return None if stored is None else stored.fingerprint
