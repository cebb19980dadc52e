"""The table of metrics agrees with what is measured."""

from __future__ import annotations

import numpy as np
import pytest

from trickbag.metrics.classification import Classification
from trickbag.metrics.metric import (
    ALIASES,
    EVALUATED,
    METRICS,
    PREFIXES,
    TaskKind,
    defined_metrics,
    interval_decimals,
    metric,
)
from trickbag.metrics.multi_label import MultiLabel
from trickbag.metrics.scores import class_scores


def of_task(task: TaskKind) -> set[str]:
    return {name for name, entry in EVALUATED.items() if task in entry.tasks}


def test_every_metric_that_is_measured_has_an_entry() -> None:
    labels = MultiLabel.of(np.zeros((0, 2)), np.zeros((0, 2), np.int64), None).metrics()
    classes = {*Classification(2).compute(), "auc"}
    scores = class_scores(np.zeros((0, 2), np.float32), np.zeros(0, np.int64))
    assert not classes & {*scores}
    assert classes | {*scores, *labels} == of_task("classification")
    assert set(labels) - {*scores} == {name for name in EVALUATED if EVALUATED[name].multi_label}
    assert set(scores) == {name for name in EVALUATED if EVALUATED[name].needs_logits}
    neither_good_nor_bad = {name for name, entry in EVALUATED.items() if entry.better is None}
    assert neither_good_nor_bad == {"ece_of_calibrated"}


def test_other_names_of_metrics() -> None:
    assert {*ALIASES.values()} <= {*EVALUATED}
    assert not {*ALIASES} & {*METRICS}


CLASSES = {"top1", "loss", "ece", "balanced_accuracy", "macro_f1", "auc_ovr", "quadratic_kappa"}
CLASSES |= {"aurc", "adaptive_ece", "classwise_ece", "brier"}
CLASSES |= {"calibrated_ece", "calibrated_loss", "ece_of_calibrated"}


@pytest.mark.parametrize(
    ("multi_label", "classes", "names"),
    [
        (False, 1, CLASSES - {"auc_ovr", "quadratic_kappa"}),
        (False, 2, CLASSES | {"auc", "sensitivity_at_95"}),
        (False, 3, CLASSES),
        (False, 6, CLASSES | {"top5"}),
        (True, 2, {"loss", "auc_ovr", "map", "f1", "f1_micro", "f1_at_half"}),
        (None, None, of_task("classification")),
    ],
)
def test_which_are_defined(multi_label: bool | None, classes: int | None, names: set[str]) -> None:
    assert set(defined_metrics(multi_label, classes)) == names


@pytest.mark.parametrize("task", ["detection", "segmentation"])
def test_which_are_defined_for_another_task(task: TaskKind) -> None:
    # Labels of images as a whole do not matter.
    assert set(defined_metrics(True, 1, task)) == of_task(task)
    assert defined_metrics(False, 9, task) == defined_metrics(None, None, task)
    assert "top1" not in defined_metrics(None, None, task)


def test_metrics_of_every_task_where_the_task_is_not_known() -> None:
    assert set(defined_metrics(None, None, None)) == set(EVALUATED)


def test_prefixes_stand_before_the_metrics_of_an_evaluation() -> None:
    titles = {prefix: metric(f"{prefix}auc") for prefix in PREFIXES}
    assert {prefix: entry and entry.title for prefix, entry in titles.items()} == {
        "best_": "highest area under the ROC curve of all epochs",
        "last_": "last epoch, area under the ROC curve",
        "raw_": "not averaged, area under the ROC curve",
        "test_": "test area under the ROC curve",
    }
    loss = metric("best_loss")
    assert loss is not None
    assert loss.title == "lowest loss of all epochs"
    assert metric("test_params") is None
    assert metric("top2") is None
    assert all(metric(name) is METRICS[name] for name in METRICS)


@pytest.mark.parametrize(
    ("interval", "decimals", "shown"),
    [
        ((96.4, 99.4), 2, 1),
        ((0.0, 100.0), 2, 1),
        ((0.01, 0.08), 2, 3),
        ((99.9931, 99.9999), 2, 3),
        ((0.98, 1.0), 4, 3),
        ((1.0, 1.0), 2, 2),
        ((10.0, 400.0), 0, 0),
    ],
)
def test_a_narrow_interval_has_more_decimals(
    interval: tuple[float, float], decimals: int, shown: int
) -> None:
    assert interval_decimals(interval, decimals) == shown
