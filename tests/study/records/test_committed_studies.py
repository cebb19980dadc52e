"""Studies that were written before notes and statuses were values give the same effects."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from trickbag.errors import Note
from trickbag.recipe import Recipe
from trickbag.study.analysis.effects import Effect, effects
from trickbag.study.analysis.looks import judgement
from trickbag.study.designs.layout import Layout, Variant
from trickbag.study.folder import StudyFolder
from trickbag.study.progress import StudyProgress
from trickbag.study.records.effect import effect_to_dict
from trickbag.study.records.result import StoredResult
from trickbag.study.records.study import LayoutRecord
from trickbag.study.tuning.effects import with_tuning_notes
from trickbag.study.tuning.stage import TuningStage
from trickbag.study.units import Folds

STUDIES = sorted(
    path.parent for path in Path(__file__).parents[3].glob("docs/studies/*/results.jsonl")
)


OF_IMAGES = {
    *("images", "low_images", "high_images", "p_images", "p_images_raw", "verdict_images"),
    *("p_equivalence_images", "p_equivalence_images_raw"),
}
"""What follows from the scores of single images, which are not committed."""


@dataclasses.dataclass(frozen=True)
class FinishedTrials:
    """What notes on the tuning read of a study's progress."""

    by_id: Mapping[str, StoredResult]

    def metrics(self, trial: str) -> Mapping[str, Any]:
        return self.by_id[trial].metrics


def layout_of(record: LayoutRecord) -> Layout:
    """The layout of a record; a variant that applies has some recipe."""
    variants = tuple(
        Variant(
            label=variant.label,
            model=record.model,
            recipe=Recipe() if variant.status == "applies" else None,
            reason=variant.reason,
        )
        for variant in record.variants
    )
    return Layout(
        model=record.model, variants=variants, contrasts=record.contrasts, factors=record.factors
    )


def computed(folder: StudyFolder) -> list[Effect]:
    """The effects that follow from `study.json` and `results.jsonl`."""
    study = folder.read_study()
    assert study is not None
    results, torn = folder.read_results()
    assert torn is None
    by_id = {result.trial: result for result in results if result.status == "finished"}
    ids = {
        (layout.model, variant.label): variant.trials
        for layout in study.layouts
        for variant in layout.variants
    }
    cells = {
        cell: {seed: by_id[trial].metrics for seed, trial in trials.items()}
        for cell, trials in ids.items()
    }
    notes = {
        cell: {
            seed: [Note.from_dict(note) for note in by_id[trial].notes]
            for seed, trial in trials.items()
        }
        for cell, trials in ids.items()
    }
    judged = judgement(
        study.looks,
        study.outcome,
        study.seeds,
        study.max_seeds,
        study.margin,
        stops=study.until_settled,
        on_folds=study.folds is not None,
    )
    folds = None if study.folds is None else Folds(count=study.folds, splits=study.splits)
    untuned = effects(
        list(map(layout_of, study.layouts)),
        cells,
        notes,
        study.outcome,
        margin=study.margin,
        judgement=judged,
        folds=folds,
    )
    if study.tuning is None:
        return untuned
    results_of_trials = cast("StudyProgress", FinishedTrials(by_id))
    return with_tuning_notes(untuned, TuningStage(record=study.tuning, progress=results_of_trials))


def without_images(effect: Effect) -> Effect:
    """The effect without what follows from the scores of single images."""
    tests = effect.equivalence
    if tests is not None:
        tests = dataclasses.replace(tests, p_images=None, p_images_raw=None)
    return dataclasses.replace(
        effect, images=None, p_images=None, verdict_images=None, equivalence=tests
    )


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.name)
def test_effects_are_those_that_were_written(path: Path) -> None:
    folder = StudyFolder(path)
    stored = json.loads(folder.effects.read_text())
    again: list[dict[str, Any]] = [effect_to_dict(effect) for effect in computed(folder)]
    known = [{key: entry[key] for key in entry if key not in OF_IMAGES} for entry in stored]
    present = [
        {key: after[key] for key in before} for before, after in zip(known, again, strict=True)
    ]
    assert present == known
    written = tuple(map(without_images, computed(folder)))
    if "level_with" not in stored[0]:  # levels came later than most of these studies
        no_levels = {"level_with": None, "level_without": None}
        written = tuple(dataclasses.replace(effect, **no_levels) for effect in written)
    read = folder.read_effects() or ()
    assert tuple(map(without_images, read)) == written


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.name)
def test_a_study_comes_back_as_it_was(path: Path) -> None:
    record = StudyFolder(path).read_study()
    stored = json.loads((path / "study.json").read_text())
    assert record is not None
    again = record.to_dict()
    # Reasons of tricks that do not apply had the way out of a single run in their texts.
    changed = {key for key in stored if again[key] != stored[key]} - {"inapplicable", "layouts"}
    assert not changed
    for before, after in zip(stored["layouts"], again["layouts"], strict=True):
        # The status of a variant came later than most of these studies.
        variants = [
            {key: value for key, value in variant.items() if key in written}
            for written, variant in zip(before["variants"], after["variants"], strict=True)
        ]
        assert after | {"variants": variants} == before


def test_there_are_studies() -> None:
    assert len(STUDIES) >= 6
