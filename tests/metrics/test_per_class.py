"""Scores of each class and their means, against scikit-learn."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from trickbag.metrics.classification import Classification
from trickbag.metrics.per_class import ClassCounts, ClassScore


def counted(labels_N: np.ndarray, predicted_N: np.ndarray, classes: int) -> Classification:
    """Count predictions; the logit of the predicted class is the highest."""
    counter = Classification(classes)
    logits_NK = torch.nn.functional.one_hot(torch.tensor(predicted_N), classes).double()
    counter.update(logits_NK, torch.tensor(labels_N))
    return counter


def case(n: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw skewed labels, of which some classes have none, and predictions that are often right."""
    rng = np.random.default_rng(seed)
    labels_N = np.minimum(rng.geometric(0.4, n) - 1, classes - 1)
    wrong_N = rng.integers(0, classes, n)
    return labels_N, np.where(rng.random(n) < 0.6, labels_N, wrong_N)


@pytest.mark.parametrize(
    ("n", "classes", "seed"), [(300, 5, 0), (40, 30, 1), (3, 4, 2), (90, 2, 3)]
)
def test_scores_and_means_are_scikit_learns(n: int, classes: int, seed: int) -> None:
    labels_N, predicted_N = case(n, classes, seed)
    counter = counted(labels_N, predicted_N, classes)
    values = counter.compute()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a class that is predicted and that no image shows
        balanced = sk.balanced_accuracy_score(labels_N, predicted_N)
        macro = sk.f1_score(labels_N, predicted_N, average="macro")
    assert values["balanced_accuracy"] == pytest.approx(100 * balanced, rel=1e-12)
    assert values["macro_f1"] == pytest.approx(100 * macro, rel=1e-12)
    expected = sk.precision_recall_fscore_support(
        labels_N, predicted_N, labels=range(classes), zero_division=np.nan
    )
    scores = counter.class_counts().scores()
    for score, precision, recall, f1, support in zip(scores, *expected, strict=True):
        assert score.support == support
        for value, reference in ((score.precision, precision), (score.recall, recall)):
            assert value == (None if np.isnan(reference) else pytest.approx(100 * reference))
        # Where one of the two is not defined scikit-learn's F1 is 0, as here.
        assert score.f1 == (None if np.isnan(f1) else pytest.approx(100 * f1))


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 30), classes=st.integers(1, 6), cut=st.integers(0, 30), seed=st.integers(0, 99)
)
def test_order_and_parts_change_nothing(n: int, classes: int, cut: int, seed: int) -> None:
    labels_N, predicted_N = case(n, classes, seed)
    expected = counted(labels_N, predicted_N, classes)
    values, scores = expected.compute(), expected.class_counts().scores()
    order = np.random.default_rng(seed).permutation(n)
    shuffled = counted(labels_N[order], predicted_N[order], classes)
    assert shuffled.class_counts().scores() == scores
    assert shuffled.compute()["macro_f1"] == values["macro_f1"]
    # The counters of two parts, summed, are those of all.
    parts = [counted(labels_N[p], predicted_N[p], classes) for p in (slice(cut), slice(cut, None))]
    states = [part.state() for part in parts]
    parts[0].load_state({name: states[0][name] + states[1][name] for name in states[0]})
    assert parts[0].class_counts().scores() == scores
    assert parts[0].compute()["balanced_accuracy"] == values["balanced_accuracy"]
    # Another numbering of the classes permutes the scores.
    names = np.random.default_rng(seed + 1).permutation(classes)
    renamed = counted(names[labels_N], names[predicted_N], classes).class_counts()
    assert [renamed.scores()[k] for k in names] == list(scores)
    assert renamed.macro_f1 == pytest.approx(values["macro_f1"], rel=1e-12)
    # Weighted by the images of the classes, the mean recall is top-1.
    right = sum(score.support * (score.recall or 0) for score in scores)
    assert right / n == pytest.approx(values["top1"])


def test_of_skewed_classes_the_mean_recall_is_not_top1() -> None:
    counts = ClassCounts(
        right=np.array([90, 0]), predicted=np.array([100, 0]), support=np.array([90, 10])
    )
    assert counts.balanced_accuracy == 50.0
    # Of the rare class precision is not defined, F1 is 0.
    assert counts.macro_f1 == pytest.approx(100 * (180 / 190) / 2)
    assert counts.scores()[1] == ClassScore(support=10, recall=0.0, precision=None, f1=0.0)


def test_without_images_nothing_is_defined() -> None:
    nothing = Classification(3)
    assert set(nothing.compute().values()) == {None}
    assert set(nothing.class_counts().scores()) == {
        ClassScore(support=0, recall=None, precision=None, f1=None)
    }


def test_a_nan_is_predicted_as_no_class() -> None:
    counter = Classification(2)
    counter.update(torch.tensor([[torch.nan, 1.0], [0.0, 1.0]]), torch.tensor([1, 1]))
    assert counter.class_counts().predicted.tolist() == [0, 1]
    assert counter.compute()["balanced_accuracy"] == 50.0


def test_twenty_thousand_classes_need_no_matrix() -> None:
    counter = Classification(20_000)
    assert sum(tensor.numel() for tensor in counter.state().values()) < 4 * 20_000
