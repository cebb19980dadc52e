"""The area under the ROC curve, against scikit-learn and by its definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from trickbag.metrics.ranking import roc_auc


@pytest.mark.parametrize("levels", [3, 20, 10**9])
def test_it_is_scikit_learns_with_ties(levels: int) -> None:
    rng = np.random.default_rng(levels)
    positive_N = rng.random(200) < 0.3
    scores_N = np.round((0.4 * positive_N + rng.random(200)) * levels) / levels
    assert roc_auc(scores_N, positive_N) == pytest.approx(
        roc_auc_score(positive_N, scores_N), rel=1e-12
    )


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=1, max_size=25))
def test_it_is_the_share_of_pairs_in_order(rows: list[tuple[int, bool]]) -> None:
    scores_N = np.array([float(score) for score, _ in rows])
    positive_N = np.array([positive for _, positive in rows])
    pairs = [(p > q) + (p == q) / 2 for p in scores_N[positive_N] for q in scores_N[~positive_N]]
    area = roc_auc(scores_N, positive_N)
    assert area == (pytest.approx(np.mean(pairs)) if pairs else None)
    order = np.random.default_rng(0).permutation(len(rows))
    assert roc_auc(scores_N[order], positive_N[order]) == area
    # Only the order of the scores counts, and the classes can change places.
    assert roc_auc(np.exp(scores_N), positive_N) == area
    assert roc_auc(-scores_N, ~positive_N) == area


def test_what_is_not_defined_is_none() -> None:
    assert roc_auc(np.zeros(0), np.zeros(0, bool)) is None
    assert roc_auc(np.array([0.1, np.nan]), np.array([True, False])) is None
    assert roc_auc(np.array([0.1, 0.2]), np.array([True, True])) is None
