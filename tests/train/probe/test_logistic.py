from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from trickbag.train.probe import logistic
from trickbag.train.probe.logistic import fit_path, log_losses


def blobs(n: int, features: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return features of very different scales, some of them the same, and labels."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    centres = rng.normal(0, 1, (classes, features))
    x = centres[labels] + rng.normal(0, 2, (n, features))
    x = x * 10.0 ** rng.integers(-3, 3, features) + rng.normal(0, 5, features)
    x[:, 1] = x[:, 0]
    x[:, 2] = 7.0
    return x.astype(np.float32), labels


def fitted(x: np.ndarray, targets: np.ndarray, l2: float, *, multi_label: bool) -> torch.Tensor:
    path = fit_path(
        torch.as_tensor(x), torch.as_tensor(targets), [1.0, l2], multi_label=multi_label
    )
    *_, linear = path
    return linear.logits(torch.as_tensor(x))


def reference(x: np.ndarray, labels: np.ndarray, l2: float) -> LogisticRegression:
    standardised = StandardScaler().fit_transform(x.astype(np.float64))
    solver = LogisticRegression(C=1 / (l2 * len(x)), tol=1e-9, max_iter=10_000)
    return solver.fit(standardised, labels)


@pytest.mark.parametrize(("n", "features"), [(120, 8), (40, 60)], ids=["many", "few"])
@pytest.mark.parametrize("l2", [1.0, 0.01])
def test_one_label_is_as_scikit_learn_fits_it(n: int, features: int, l2: float) -> None:
    x, labels = blobs(n, features, 3)
    logits = fitted(x, np.eye(3)[labels], l2, multi_label=False)
    expected = reference(x, labels, l2).predict_proba(
        StandardScaler().fit_transform(x.astype(np.float64))
    )
    np.testing.assert_allclose(logits.softmax(dim=1), expected, atol=2e-4)


def test_several_labels_are_a_regression_for_each() -> None:
    l2 = 0.03
    x, labels = blobs(90, 6, 3)
    targets = np.stack([labels == 0, labels != 1], axis=1).astype(np.int64)
    logits = fitted(x, targets, l2, multi_label=True)
    for k in range(2):
        standardised = StandardScaler().fit_transform(x.astype(np.float64))
        expected = reference(x, targets[:, k], l2).decision_function(standardised)
        np.testing.assert_allclose(logits[:, k], expected, atol=2e-3)


def test_many_numbers_are_kept_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    x, labels = blobs(120, 8, 3)
    exact = fitted(x, np.eye(3)[labels], 0.1, multi_label=False)
    monkeypatch.setattr(logistic, "_EXACT_NUMBERS", 0)
    monkeypatch.setattr(logistic, "_ROWS", 32)
    short = fitted(x, np.eye(3)[labels], 0.1, multi_label=False)
    assert not torch.equal(exact, short)
    torch.testing.assert_close(exact, short, atol=2e-3, rtol=0)


def test_a_class_without_images_and_features_that_never_change() -> None:
    x = np.full((6, 3), 2.0, np.float32)
    targets = np.eye(4)[[0, 0, 0, 0, 1, 1]]
    logits = fitted(x, targets, 0.1, multi_label=False)
    # Nothing but the shares of the classes is known.
    share = logits.softmax(dim=1)[0]
    assert share[:2].tolist() == pytest.approx([2 / 3, 1 / 3], abs=1e-3)
    assert float(share[2:].sum()) < 1e-3


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 12), st.integers(1, 4), st.integers(0, 1000), st.booleans())
def test_the_loss_is_that_of_the_formula(n: int, classes: int, seed: int, multi: bool) -> None:
    rng = np.random.default_rng(seed)
    z = rng.normal(0, 5, (n, classes))
    if multi:
        y = rng.integers(0, 2, (n, classes)).astype(np.float64)
        p = 1 / (1 + np.exp(-z))
        expected = -(y * np.log(p) + (1 - y) * np.log1p(-p)).sum(axis=1)
    else:
        y = np.eye(classes)[rng.integers(0, classes, n)]
        expected = -np.log((np.exp(z) * y).sum(axis=1) / np.exp(z).sum(axis=1))
    losses = log_losses(torch.as_tensor(z), torch.as_tensor(y), multi_label=multi)
    np.testing.assert_allclose(losses, expected, rtol=1e-6, atol=1e-9)


def test_a_step_can_end_the_work() -> None:
    class End(Exception):
        pass

    def end() -> None:
        raise End

    x, labels = blobs(20, 4, 2)
    path = fit_path(torch.as_tensor(x), torch.eye(2)[labels], [0.1], multi_label=False, on_step=end)
    with pytest.raises(End):
        next(path)
