"""The temperature of logits: its optimum, its bounds, and how it is judged."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from trickbag.metrics.calibration_errors import ece, negative_log_likelihood
from trickbag.metrics.calibration_scores import Calibration, calibrated_scores
from trickbag.metrics.probabilities import Confidences, softmax
from trickbag.metrics.scores import class_scores
from trickbag.metrics.temperature import (
    LARGEST,
    SMALLEST,
    calibrated_logits,
    cross_fitted,
    fit_temperature,
    fold_of_images,
    logits_of,
)
from trickbag.settings import plain, read

if TYPE_CHECKING:
    from numpy.typing import NDArray

Data = tuple["NDArray[np.float64]", "NDArray[np.int64]"]


def drawn(n: int = 400, classes: int = 5, spread: float = 2.0, seed: int = 0) -> Data:
    """Logits whose probabilities are right: the labels are drawn from them."""
    rng = np.random.default_rng((n, classes, seed))
    logits_NK = spread * rng.normal(size=(n, classes))
    labels_N = (softmax(logits_NK).cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    return logits_NK, labels_N


@pytest.mark.parametrize("temperature", [0.05, 0.6, 1.0, 4.0, 60.0])
def test_a_known_temperature_is_recovered(temperature: float) -> None:
    logits_NK, labels_N = drawn(4000)
    fitted = fit_temperature(temperature * logits_NK, labels_N)
    assert fitted.status == "fitted"
    assert fitted.reason is None
    assert fitted.images == 4000
    assert fitted.value == pytest.approx(temperature, rel=0.05)


@pytest.mark.parametrize(("n", "classes"), [(30, 2), (400, 5), (300, 40)])
def test_it_is_the_minimum(n: int, classes: int) -> None:
    logits_NK, labels_N = drawn(n, classes)
    logits_NK = 3 * logits_NK

    def loss(log_temperature: float) -> float:
        return negative_log_likelihood(logits_NK / np.exp(log_temperature), labels_N) or 0.0

    by_values = minimize_scalar(loss, bounds=(-5, 5), method="bounded", options={"xatol": 1e-9})
    fitted = fit_temperature(logits_NK.astype(np.float32), labels_N)
    assert fitted.value == pytest.approx(np.exp(by_values.x), rel=1e-5)
    assert fitted.loss == pytest.approx(loss(0.0), rel=1e-6)
    assert fitted.calibrated_loss == pytest.approx(by_values.fun, rel=1e-6)


def test_it_is_scikit_learns() -> None:
    calibration = pytest.importorskip("sklearn.calibration")
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.frozen import FrozenEstimator

    class Logits(ClassifierMixin, BaseEstimator):
        classes_ = np.arange(5)

        def fit(self, x: object, y: object) -> Logits:
            self.fitted_ = True
            return self

        def predict(self, x: NDArray[np.float64]) -> NDArray[np.int64]:
            return x.argmax(axis=1)

        def decision_function(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
            return x

    logits_NK, labels_N = drawn(600)
    logits_NK = 2.5 * logits_NK
    by_sklearn = calibration.CalibratedClassifierCV(
        FrozenEstimator(Logits().fit(logits_NK, labels_N)), method="temperature"
    )
    expected_NK = by_sklearn.fit(logits_NK, labels_N).predict_proba(logits_NK)
    value = fit_temperature(logits_NK, labels_N).value
    np.testing.assert_allclose(softmax(logits_NK / value), expected_NK, atol=1e-3)


def test_images_that_are_all_right_do_not_make_every_confidence_1() -> None:
    logits_NK, _ = drawn(40)
    labels_N = logits_NK.argmax(axis=1)
    fitted = fit_temperature(logits_NK, labels_N)
    assert fitted.status == "most_confident"
    assert "40 validation images" in (fitted.reason or "")
    calibrated = Confidences.of(calibrated_logits(logits_NK, fitted.value), labels_N)
    assert calibrated.confidence.mean() == pytest.approx(41 / 42, abs=1e-6)


@pytest.mark.parametrize("factor", [1e-9, 1.0, 1e9])
def test_logits_that_say_nothing_of_the_labels(factor: float) -> None:
    logits_NK, _ = drawn(40)
    fitted = fit_temperature(factor * logits_NK, logits_NK.argmin(axis=1))
    assert fitted.status == "least_confident"
    assert fitted.value == pytest.approx(LARGEST)
    assert "nothing" in (fitted.reason or "")


@pytest.mark.parametrize(
    ("logits_NK", "labels_N"),
    [
        (np.zeros((0, 3)), np.zeros(0, np.int64)),
        (np.ones((9, 3)), np.zeros(9, np.int64)),
        (np.arange(9.0)[:, None], np.zeros(9, np.int64)),
        (np.full((9, 3), np.nan), np.zeros(9, np.int64)),
    ],
)
def test_what_says_nothing_leaves_the_logits(
    logits_NK: NDArray[np.float64], labels_N: NDArray[np.int64]
) -> None:
    fitted = fit_temperature(logits_NK, labels_N)
    assert (fitted.value, fitted.status) == (1.0, "undefined")
    assert fitted.reason


def test_images_without_finite_logits_are_left_out() -> None:
    logits_NK, labels_N = drawn(60)
    broken_NK = np.insert(logits_NK, 7, [0.0, np.nan, 1.0, 2.0, np.inf], axis=0)
    more_N = np.insert(labels_N, 7, 2)
    assert fit_temperature(broken_NK, more_N) == fit_temperature(logits_NK, labels_N)
    temperature_N = cross_fitted(broken_NK, more_N)
    assert temperature_N is not None
    assert temperature_N[7] == 1
    np.testing.assert_array_equal(np.delete(temperature_N, 7), cross_fitted(logits_NK, labels_N))


def test_cross_fitting_takes_the_other_folds_alone() -> None:
    logits_NK, labels_N = drawn(203)
    temperature_N = cross_fitted(logits_NK, labels_N)
    fold_N = fold_of_images(labels_N)
    assert temperature_N is not None
    for fold in range(5):
        others = fold_N != fold
        expected = fit_temperature(logits_NK[others], labels_N[others]).value
        assert temperature_N[~others] == pytest.approx(expected, rel=1e-8)
    # The temperature of an image does not depend on its own logits.
    changed_NK = logits_NK.copy()
    changed_NK[fold_N == 2] = logits_NK[fold_N == 2][:, ::-1]
    again_N = cross_fitted(changed_NK, labels_N)
    assert again_N is not None
    assert again_N[fold_N == 2] == pytest.approx(temperature_N[fold_N == 2], rel=1e-8)
    assert (again_N[fold_N != 2] != temperature_N[fold_N != 2]).all()


@pytest.mark.parametrize("n", [0, 1, 2, 4])
def test_cross_fitting_of_a_few_images(n: int) -> None:
    logits_NK, labels_N = drawn(n, 3)
    temperature_N = cross_fitted(logits_NK, labels_N)
    assert (temperature_N is None) is (n < 2)
    assert temperature_N is None or ((temperature_N > 0).all() and len(temperature_N) == n)


@settings(max_examples=30, deadline=None)
@given(labels=st.lists(st.integers(0, 3), min_size=1, max_size=40), folds=st.integers(2, 7))
def test_folds_are_equal_and_hold_every_class(labels: list[int], folds: int) -> None:
    labels_N = np.array(labels)
    fold_N = fold_of_images(labels_N, folds)
    for part_N in (fold_N, *(fold_N[labels_N == k] for k in set(labels))):
        counts = np.bincount(part_N, minlength=folds)
        assert counts.max() - counts.min() <= 1


@settings(max_examples=30, deadline=None)
@given(
    rows=st.lists(
        st.tuples(*[st.floats(-30, 30, width=32)] * 3, st.integers(0, 2)), min_size=1, max_size=12
    )
)
def test_any_logits_give_a_temperature_that_leaves_the_class(rows: list[tuple[float, ...]]) -> None:
    table = np.array(rows)
    logits_NK, labels_N = table[:, :3], table[:, 3].astype(np.int64)
    fitted = fit_temperature(logits_NK, labels_N)
    assert SMALLEST * 0.999 <= fitted.value <= LARGEST * 1.001
    before, after = logits_NK, calibrated_logits(logits_NK, fitted.value)
    np.testing.assert_array_equal(before.argmax(axis=1), after.argmax(axis=1))
    if fitted.status == "fitted":
        assert (fitted.calibrated_loss or 0) <= (fitted.loss or 0) + 1e-9


def test_probabilities_have_logits_too() -> None:
    logits_NK, labels_N = drawn(300)
    fitted = fit_temperature(2 * logits_NK, labels_N)
    of_probabilities = fit_temperature(logits_of(softmax(2 * logits_NK)), labels_N)
    assert of_probabilities.value == pytest.approx(fitted.value, rel=1e-9)
    assert np.isfinite(logits_of(np.array([[0.0, 1.0]]))).all()


def test_logits_and_labels_must_fit_together() -> None:
    with pytest.raises(ValueError, match=r"\(N, K\), \(N,\)"):
        fit_temperature(np.zeros((3, 2)), np.zeros(4, np.int64))


def test_the_scores_of_calibrated_confidences() -> None:
    logits_NK, labels_N = drawn(2000)
    raw_NK = (3 * logits_NK).astype(np.float32)
    scores = class_scores(raw_NK, labels_N)
    assert scores["calibrated_ece"] is not None
    assert scores["ece_of_calibrated"] is not None
    raw = ece(raw_NK, labels_N)
    assert raw is not None
    # As good as chance allows, and far better than before.
    assert scores["calibrated_ece"] < 1.6 * scores["ece_of_calibrated"] < raw / 3
    # A temperature from elsewhere is judged as it is.
    at_3 = calibrated_scores(raw_NK, labels_N, 3.0)
    assert at_3["calibrated_ece"] == pytest.approx(ece(raw_NK / 3, labels_N), rel=1e-5)
    assert at_3["calibrated_loss"] == pytest.approx(
        negative_log_likelihood(raw_NK / 3, labels_N), rel=1e-5
    )
    raw_NK[5] = np.nan
    assert set(class_scores(raw_NK, labels_N).values()) == {None}
    assert set(class_scores(raw_NK[:1], labels_N[:1]).values()) >= {None}


def test_the_summary_of_a_calibration() -> None:
    logits_NK, labels_N = drawn(300)
    logits_NK[4] = np.nan
    fitted, summary = (
        fit_temperature(2 * logits_NK, labels_N),
        Calibration.of(2 * logits_NK, labels_N),
    )
    assert summary.temperature == fitted.value == pytest.approx(2, rel=0.3)
    assert summary.reason is None
    assert read(Calibration, json.loads(json.dumps(plain(summary)))) == summary
    assert summary.after is not None
    for bins in (summary.before, summary.after):
        assert sum(bins.images) == summary.images == 299
        assert all(r <= n and s <= n for n, r, s in zip(*vars(bins).values(), strict=True))
    gaps = np.subtract(summary.before.right, summary.before.confidence)
    finite_N = np.isfinite(logits_NK).all(axis=1)
    expected = ece(2 * logits_NK[finite_N], labels_N[finite_N])
    assert 100 * np.abs(gaps).sum() / 299 == pytest.approx(expected)
    single = Calibration.of(logits_NK[:1], labels_N[:1])
    assert single.after is None
    assert single.reason
