"""The metric that chooses the best epoch: which ones data allow, and which epoch they choose."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.builders.recipes import bare_recipe
from trickbag.data.config import DataConfig
from trickbag.data.dataset import Dataset, prepare
from trickbag.errors import UserError
from trickbag.metrics.metric import EVALUATED, defined_metrics
from trickbag.optim.config import TrainConfig
from trickbag.train.folder.score import is_better
from trickbag.train.plan.resolve import resolve
from trickbag.train.plan.score import order_notes, require_score, score_notes

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def dataset(pictures: Path) -> Dataset:
    return prepare(DataConfig(source=str(pictures)))


def with_classes(dataset: Dataset, classes: int, multi_label: bool) -> Dataset:
    """The data set with other labels, spread over so many classes."""
    labels = np.arange(len(dataset.val)) % classes
    labels = np.eye(classes, dtype=np.int64)[labels] if multi_label else labels
    val = dataclasses.replace(dataset.val, labels=labels)
    names = tuple(f"c{k}" for k in range(classes))
    return dataclasses.replace(dataset, val=val, classes=names)


@pytest.mark.parametrize("name", [*EVALUATED, "top2", "test_top1"])
@pytest.mark.parametrize(("classes", "multi_label"), [(2, False), (10, False), (3, True)])
def test_a_score_must_be_a_metric_of_the_images(
    dataset: Dataset, name: str, classes: int, multi_label: bool
) -> None:
    data = with_classes(dataset, classes, multi_label)
    allowed = [each for each in defined_metrics(multi_label, classes) if EVALUATED[each].better]
    if name in allowed:
        require_score(name, data)
        return
    with pytest.raises(UserError, match=f"training.score = '{name}'.*{classes} classes") as caught:
        require_score(name, data)
    assert caught.value.way_out == f"choose from {', '.join(sorted(allowed))}"


def test_the_plan_is_resolved_with_a_metric_alone(pictures: Path, dataset: Dataset) -> None:
    with pytest.raises(UserError, match=r"training.score = 'auc': no metric .* 3 classes; choose"):
        resolve(bare_recipe(pictures, training__score="auc"), dataset, 0)
    plan, _ = resolve(bare_recipe(pictures, training__score="macro_f1"), dataset, 0)
    assert plan.score == "macro_f1"


@pytest.mark.parametrize("score", ["auc", "auc_ovr", "sensitivity_at_95"])
def test_auc_needs_validation_images_of_both_classes(dataset: Dataset, score: str) -> None:
    two = with_classes(dataset, 2, multi_label=False)
    val = dataclasses.replace(two.val, labels=np.ones_like(two.val.labels))
    with pytest.raises(UserError, match="all validation images show one class"):
        require_score(score, dataclasses.replace(two, val=val))


def test_a_name_from_elsewhere_is_explained(dataset: Dataset) -> None:
    with pytest.raises(UserError, match=r"classes \('loss' is the name\); choose from"):
        require_score("log_loss", dataset)


@pytest.mark.parametrize(
    ("settings", "noted"),
    [
        ({"score": "loss", "keep": "last"}, True),
        ({"score": "loss", "keep": "best"}, False),
        ({"score": None, "keep": "last"}, False),
        ({"score": "loss", "keep": "last", "epochs": 1}, False),
    ],
)
def test_a_score_that_chooses_nothing_is_noted(
    dataset: Dataset, settings: dict[str, object], noted: bool
) -> None:
    training = TrainConfig(**({"epochs": 3} | settings))
    notes = score_notes(training, dataset)
    assert [note.text for note in notes if "chooses no weights" in note.text] == [
        note.text for note in notes
    ]
    assert bool(notes) == noted


@pytest.mark.parametrize(
    ("names", "noted"),
    [(["0", "1", "10", "2"], True), (["00", "01", "10"], False), (["a", "b"], False)],
)
def test_grades_that_are_not_in_the_order_of_their_numbers_are_noted(
    dataset: Dataset, names: list[str], noted: bool
) -> None:
    data = dataclasses.replace(with_classes(dataset, len(names), False), classes=tuple(names))
    training = TrainConfig(score="quadratic_kappa", keep="best")
    notes = score_notes(training, data)
    assert ["order 0, 1, 10, 2" in note.text for note in notes] == [True] * noted
    assert score_notes(TrainConfig(score="loss", keep="best"), data) == []
    assert order_notes("test_quadratic_kappa", names) == notes


@pytest.mark.parametrize("name", EVALUATED)
def test_the_better_value_chooses_the_epoch(name: str) -> None:
    good, bad = (1.0, 2.0) if EVALUATED[name].better == "lower" else (2.0, 1.0)
    assert is_better(name, (good, 5.0), (bad, 0.1))
    assert not is_better(name, (bad, 0.1), (good, 5.0))
    assert not is_better(name, (None, 0.1), (bad, 5.0))
    assert is_better(name, (good, 1.0), (good, 1.0))
