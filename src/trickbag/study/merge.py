"""Merge the folders of a study's shards into one."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trickbag.errors import UserError
from trickbag.recipe import Recipe, differences
from trickbag.study.analysis.effects import to_dict
from trickbag.study.analysis.table import effects_csv
from trickbag.study.designs.design import read_design
from trickbag.study.folder import StoredResult, StudyFolder
from trickbag.study.study import Findings, Study, findings, plain_layouts
from trickbag.study.trial_plan import StudyProgress

__all__ = ["merge"]

_PER_SHARD = ("shard", "command", "layouts", "notes")
_KEPT = (
    "recipe.json",
    "metrics.jsonl",
    "result.json",
    "predictions.csv",
    "data_errors.csv",
    "environment.json",
)
"""What of a trial's folder comes along: all but weights, checkpoints and logs of boards."""


def merge(folders: Sequence[Path], out: Path) -> Findings:
    """Join the results of shards into a new study's folder, and return what they find together.

    Raises UserError where a folder is no study, where two are of different studies (naming what
    differs), or where `out` holds something already. Trials that no shard has finished are simply
    missing: the study command, with `--out`, runs them.
    """
    parts = [_read(StudyFolder(folder)) for folder in folders]
    first = parts[0][0]
    for folder, (other, _) in zip(folders[1:], parts[1:], strict=True):
        changed = differences(_common(other), _common(first))
        if changed:
            raise UserError(
                f"{folder} and {folders[0]} are of different studies: {'; '.join(changed)}"
            )
    target = StudyFolder(out)
    if target.holds_study:
        raise UserError(f"{out} already holds a study; choose another --out")
    study = Study(
        recipe=Recipe.from_dict(first["recipe"]),
        design=read_design(first["design"]),
        models=tuple(first["models"]),
        seeds=first["seeds"],
        outcome=first["outcome"],
    )
    trial_plan = study.trial_plan(first["inapplicable"], first["data"])
    results: list[StoredResult] = [result for _, found in parts for result in found]
    progress = StudyProgress(trial_plan, results)
    with target.locked():
        for folder in folders:
            for trial in sorted(StudyFolder(folder).trials.glob("*/")):
                _copy(trial, target.trials / trial.name)
        whole = first | {"shard": None, "command": "", "layouts": plain_layouts(progress)}
        effects = progress.effects(study.outcome)
        with target.appending([], torn=False) as append:
            for result in results:
                append(result)
        rows = [to_dict(effect) for effect in effects]
        target.write_effects(rows, effects_csv(rows))
        target.write_study(whole)
    return findings(progress, effects, target)


def _read(folder: StudyFolder) -> tuple[dict[str, Any], list[StoredResult]]:
    study = folder.read_study()
    if study is None:
        raise UserError(f"{folder.path} is no study's folder: it holds no study.json")
    return study, folder.read_results()[0]


def _common(study: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in study.items() if key not in _PER_SHARD}


def _copy(trial: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    for name in _KEPT:
        if (trial / name).is_file():
            shutil.copyfile(trial / name, target / name)
