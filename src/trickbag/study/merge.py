"""Merge the folders of a study's shards into one."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trickbag.errors import UserError
from trickbag.models.deleted_weights import DELETED_WEIGHTS
from trickbag.models.weights_names import BEST_WEIGHTS, LAST_WEIGHTS
from trickbag.recipe import Recipe, differences
from trickbag.study.analysis.looks import Look, judgement, unfinished
from trickbag.study.designs.named import read_design
from trickbag.study.findings import Findings
from trickbag.study.folder import StudyFolder
from trickbag.study.plan import StudyPlan
from trickbag.study.progress import StudyProgress
from trickbag.study.stored_recipes import recipe_differences
from trickbag.train.folder.caller import PYTHON
from trickbag.train.folder.run_folder import RunFolder

if TYPE_CHECKING:
    from trickbag.study.records.result import StoredResult
    from trickbag.study.records.study import StudyRecord
    from trickbag.train.folder.caller import Caller

__all__ = ["merge"]

_PER_SHARD = ("shard", "command", "layouts", "notes", "note_values", "keep_weights")
"""The keys of `study.json` in which the shards of one study may differ."""

_KEPT = (
    BEST_WEIGHTS,
    LAST_WEIGHTS,
    DELETED_WEIGHTS,
    "recipe.json",
    "metrics.jsonl",
    "result.json",
    "predictions.csv",
    "image_scores.npz",
    "data_errors.csv",
    "environment.json",
    "evaluations",
)
"""What comes along of a trial's folder: all but checkpoints and TensorBoard's files."""


def merge(folders: Sequence[Path], out: Path, *, caller: Caller = PYTHON) -> Findings:
    """Join the results of shards into a new study's folder, and return what they find together.

    Raises UserError where a folder is no study, where two are of different studies (naming what
    differs), or where `out` holds something already. Trials that no shard has finished are simply
    missing: the study, run in `out`, runs them.
    """
    shards = [_read(StudyFolder(folder)) for folder in folders]
    first = shards[0][0]
    for folder, (record, _) in zip(folders[1:], shards[1:], strict=True):
        changed = recipe_differences(record.recipe, first.recipe)
        changed += differences(_common(record), _common(first))
        if changed:
            raise UserError(
                f"{folder} and {folders[0]} are of different studies: {'; '.join(changed)}"
            )
    target = StudyFolder(out)
    if target.holds_study:
        raise UserError(f"{out} already holds a study", f"choose another {caller.out}")
    recipe = Recipe.from_dict(first.recipe)
    plan = StudyPlan(
        recipe=recipe,
        # The plan sets it in the recipe: by its default the trials would have other ids.
        keep=recipe.training.keep,
        design=read_design(first.design),
        models=first.models,
        seeds=first.seeds,
        outcome=first.outcome,
        beside=first.beside,
        evaluated=first.evaluations,
        margin=first.margin,
        max_seeds=first.max_seeds,
        folds=first.folds,
        splits=first.splits if first.folds else None,
    )
    results = [result for _, shard in shards for result in shard]
    trial_plan = plan.trial_plan(first.inapplicable, first.data)
    progress = StudyProgress(trial_plan, results, first.answers, plan.evaluations)
    kept = {record.keep_weights for record, _ in shards}
    # What a shard found at chance is found again among the results of all.
    notes = [note for note in first.notes if note.kind != "chance"]
    notes += progress.chance_notes(plan.outcome)
    record = dataclasses.replace(
        first,
        shard=None,
        command="",
        layouts=progress.layout_records(),
        # Shards that keep different weights leave none of their settings to what is run later.
        keep_weights=first.keep_weights if len(kept) == 1 else None,
        notes=tuple(notes),
    )
    # Before the folder is created: nothing is left of a study whose effects cannot be computed.
    trials = [StudyFolder(folder).trials for folder in folders]
    judged = judgement((), plan.outcome, first.seeds, first.max_seeds, plan.margin)
    # A trial that has neither finished nor failed is still to be run.
    finished = not progress.pending(0)
    judged = judged if finished else unfinished(judged)
    effects = progress.effects(plan.outcome, trials, plan.margin, judged)
    look = Look(
        outcome=plan.outcome,
        seeds=first.seeds,
        level=judged.level,
        margin=plan.margin,
        verdicts={(e.model, e.label): (e.verdict, e.verdict_images) for e in effects},
    )
    record = dataclasses.replace(record, looks=(look,) if finished else ())
    with target.locked(caller):
        for folder in folders:
            for trial in sorted(StudyFolder(folder).trials.glob("*/")):
                _copy(trial, target.trials / trial.name)
        with target.appending([], torn=False) as append:
            for result in results:
                append(result)
        target.write_effects(effects)
        # The last file: its presence makes the folder a study.
        target.write_study(record)
    return Findings.of(progress, effects, target.path)


def _read(folder: StudyFolder) -> tuple[StudyRecord, list[StoredResult]]:
    record = folder.read_study()
    if record is None:
        raise UserError(f"{folder.path} is no study's folder: it holds no study.json")
    return record, folder.read_results()[0]


def _common(record: StudyRecord) -> dict[str, Any]:
    """Return what the shards of a study have in common besides its recipe."""
    data = {key: value for key, value in record.to_dict().items() if key not in _PER_SHARD}
    del data["recipe"]
    if record.registration is not None:
        design = record.registration.design
        data["registration"] = {key: value for key, value in design.items() if key != "recipe"}
    return data


def _copy(trial: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for name in _KEPT:
        if (trial / name).is_file():
            shutil.copyfile(trial / name, target / name)
        elif (trial / name).is_dir():
            shutil.copytree(trial / name, target / name, dirs_exist_ok=True)
    # Two shards can have run the same trial, and one of them have kept its weights.
    if any(file.is_file() for file in RunFolder(target).weights):
        (target / DELETED_WEIGHTS).unlink(missing_ok=True)
