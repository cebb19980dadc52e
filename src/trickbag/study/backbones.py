"""Backbones as a person names them: runs, patterns of runs, trials of a study, networks."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import TYPE_CHECKING

from trickbag.errors import UserError, choices
from trickbag.models.weights_names import folder_of_run
from trickbag.paths import exists
from trickbag.recipes.backbone import is_weights
from trickbag.study.designs.backbones import Arm, Backbones
from trickbag.study.folder import StudyFolder
from trickbag.train.folder.run_folder import RunFolder
from trickbag.train.folder.run_recipe import RunRecipe

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from trickbag.study.records.study import VariantRecord

__all__ = ["backbones"]


def backbones(texts: Iterable[str]) -> Backbones:
    """Return the design whose arms are given as texts, `LABEL=START,START,...` or `START`.

    A start is what `Backbones` takes; a pattern such as `runs/plain-*`, of whose runs each is for
    one seed, in the order of their own seeds; or `STUDY:VARIANT`, the trials of a study's variant
    by seed. The folder of a study alone stands for all its variants, an arm each. Without a label
    an arm is called by the name of what it starts from. Raises UserError for what cannot be.
    """
    arms = [arm for text in texts for arm in _arms(text)]
    return Backbones(arms=tuple(arms))


def _arms(text: str) -> list[Arm]:
    label, equals, starts = text.partition("=")
    # A path that holds an equals sign, without a label.
    if not equals or is_weights(text):
        label, starts = "", text
    elif not label.strip():
        raise UserError(f"--backbone {text!r}: it has no label before the =", "write LABEL=RUN")
    study = Path(starts)
    if is_weights(starts) and StudyFolder(study).holds_study:
        if label:
            raise UserError(
                f"--backbone {text!r}: {study} is a study, whose variants are an arm each",
                f"name one, {label}={study}:VARIANT, or leave the label out",
            )
        return [(each.label, _trials(study, each)) for each in _variants(study)]
    meant = [start for each in starts.split(",") for start in _meant(each.strip(), text)]
    return [(label.strip() or _name(starts), tuple(meant))]


def _meant(start: str, text: str) -> list[str]:
    """Return what a start stands for; a text that is none is left for the design to refuse."""
    if not start:
        raise UserError(f"--backbone {text!r}: a comma has no backbone beside it")
    if is_weights(start):
        return [start]
    study, colon, label = start.partition(":")
    if colon and StudyFolder(Path(study)).holds_study:
        variants = {variant.label: variant for variant in _variants(Path(study))}
        if label not in variants:
            raise UserError(
                f"--backbone {text!r}: {study} has no variant {label!r}",
                f"choose from {choices(variants)}",
            )
        return list(_trials(Path(study), variants[label]))
    if any(sign in start for sign in "*?["):
        return _matching(start, text)
    return [start]


def _matching(pattern: str, text: str) -> list[str]:
    """Return the runs of a pattern in the order of their seeds."""
    paths = [path for path in sorted(glob.glob(pattern)) if not Path(path).name.startswith(".")]
    if not paths:
        raise UserError(
            f"--backbone {text!r}: nothing is called {pattern}",
            "give the folders of runs, such as runs/plain-*",
        )
    records = [RunRecipe.read(RunFolder(folder_of_run(Path(path))).recipe) for path in paths]
    seeds = [None if record is None else record.seed for record in records]
    if None in seeds or len(set(seeds)) < len(seeds):
        known = ", ".join(
            f"{path}: {'no run' if seed is None else f'seed {seed}'}"
            for path, seed in zip(paths, seeds, strict=True)
        )
        raise UserError(
            f"--backbone {text!r}: {pattern} needs one run of each seed ({known})",
            "list the runs in the order of the seeds, with commas between them",
        )
    return [
        path for _, path in sorted(zip(seeds, paths, strict=True), key=lambda each: each[0] or 0)
    ]


def _variants(study: Path) -> Sequence[VariantRecord]:
    """Return the variants of a study of one network that apply to it."""
    record = StudyFolder(study).read_study()
    assert record is not None
    if record.folds is not None:
        raise UserError(
            f"{study} is a study on {record.folds} folds: its networks have seen other images each",
            "name the folders of the trials, LABEL=RUN,RUN,...",
        )
    if len(record.layouts) != 1:
        raise UserError(
            f"{study} is a study of {len(record.layouts)} networks, which share their labels",
            "name the folders of the trials, LABEL=RUN,RUN,...",
        )
    return [variant for variant in record.layouts[0].variants if variant.status == "applies"]


def _trials(study: Path, variant: VariantRecord) -> tuple[str, ...]:
    """Return the folders of a variant's trials, in the order of their seeds.

    Raises UserError where one has not finished.
    """
    folders = []
    for seed, trial in sorted(variant.trials.items()):
        folder = StudyFolder(study).trials / trial
        if not exists(RunFolder(folder).result):
            raise UserError(
                f"{study} has not finished: {variant.label}, seed {seed} is missing",
                "run the same study again, with --keep-weights all",
            )
        folders.append(str(folder))
    return tuple(folders)


def _name(start: str) -> str:
    """Return the label of an arm that was given none."""
    study, colon, variant = start.partition(":")
    if colon and StudyFolder(Path(study)).holds_study:
        return variant
    if is_weights(start):
        return Path(start).name
    return start
